"""Each refusal of an emulated org is one that our table explains."""

from __future__ import annotations

import pytest
from test_oauth_errors import SITUATIONS, Stage, stage

from metadeploy.oauth_errors import explain

__all__ = ["stage"]


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_the_org_says_has_a_cause_and_a_remedy(stage: Stage, name: str):
    told = SITUATIONS[name](stage)
    found = explain(told["error"], told["error_description"])
    assert found is not None, told
    assert found.words in ("", told["error_description"])
