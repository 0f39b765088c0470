"""The published JSON Schema of an org file."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import msgspec
import pytest

from metadeploy import orgfile, orgschema, yamlfile

ROOT = Path(__file__).parent.parent


def test_the_file_is_current() -> None:
    written = (ROOT / orgschema.FILE).read_text("utf-8")
    command = f"python -m metadeploy.orgschema > {orgschema.FILE}"
    assert written == orgschema.text(), command


def test_the_file_is_written_by_one_command(capsys, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "metadeploy.orgschema")
    runpy.run_module("metadeploy.orgschema", run_name="__main__")
    assert capsys.readouterr().out == orgschema.text()


def test_every_key_says_what_it_is() -> None:
    for name, found in json.loads(orgschema.text())["$defs"].items():
        properties = found["properties"]
        assert set(properties) == set(orgschema.SAYS[name]), name
        assert all(entry["description"].endswith(".") for entry in properties.values())
    assert set(orgschema.SAYS["OrgFile"]) == set(orgfile.OrgFile.__struct_fields__)


@pytest.mark.parametrize("name", orgschema.SAYS)
def test_every_example_can_be_said(name) -> None:
    for field in msgspec.structs.fields(getattr(orgfile, name)):
        _, example = orgschema.SAYS[name][field.encode_name]
        msgspec.convert(example, field.type)
        assert example != field.default


@pytest.mark.parametrize("path", sorted((ROOT / "orgs").glob("*.yaml")), ids=str)
def test_the_example_keeps_to_it(path) -> None:
    schema = json.loads(orgschema.text())["$defs"]["OrgFile"]
    document = yamlfile.read(path.read_text("utf-8"), path.name)
    assert set(document.value) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
