"""What a rule is: its id, how grave it is, why it stands, what to do, who says so."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from metadeploy.model import Severity

GUIDE = "Metadata API Developer Guide"
WSDL = "Metadata API WSDL"


class Rule(Struct, frozen=True):
    """One rule. `why` and `source` are for the documentation, `remedy` for the user.

    id: stable, such as "MD201". name: the same for people, such as "callback-url".
    policy: the policy that has to be asked for before the rule counts, or "".
    """

    id: str
    name: str
    severity: Severity
    why: str
    remedy: str
    source: str
    policy: str = ""


def error(id_: str, name: str, *, why: str, remedy: str, source: str) -> Rule:
    """Return a rule that nothing may break."""
    return Rule(id_, name, Severity.ERROR, why, remedy, source)


def asked(policy: str, rule: Rule) -> Rule:
    """Return a rule that counts only where its policy is asked for."""
    return replace(rule, policy=policy)


def warning(id_: str, name: str, *, why: str, remedy: str, source: str) -> Rule:
    """Return a rule that may be broken knowingly."""
    return Rule(id_, name, Severity.WARNING, why, remedy, source)
