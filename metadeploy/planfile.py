"""A saved plan ⇄ Plans. Pure. It holds no secret, and says which version wrote it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from metadeploy.errors import ConfigError
from metadeploy.plan import Before, Plan, Seen

_VERSION = 1


class _Form(msgspec.Struct, frozen=True):
    metadeploy_plan: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    metadeploy_plan: int
    plans: tuple[Plan, ...]


# Made here, before any thread needs them: see `orgfile`.
_FORM_READER = msgspec.json.Decoder(_Form)
_READER = msgspec.json.Decoder(_File)


def dumps(plans: Iterable[Plan]) -> bytes:
    """Return the plans as JSON text, without what is read again anyway."""
    kept = tuple(replace(plan, before=Before(), seen=Seen()) for plan in plans)
    file = _File(_VERSION, kept)
    # Sets have no order of their own: the same plans give the same bytes.
    return msgspec.json.format(msgspec.json.encode(file, order="deterministic"))


def loads(data: bytes) -> tuple[Plan, ...]:
    """Return the plans of a file. Raises ConfigError for what is none of ours."""
    try:
        form = _FORM_READER.decode(data).metadeploy_plan
        if form == _VERSION:
            return _READER.decode(data).plans
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"this is no plan that can be applied: {error}",
            hint="Make one with `metadeploy plan ORG --out FILE`.",
        ) from error
    what = f"the plan is of form {form}, not {_VERSION}"
    raise ConfigError(what, hint="Plan again with this version of metadeploy.")
