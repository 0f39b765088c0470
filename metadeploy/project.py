"""A project as texts: templates/, orgs/, certs/ → Orgs, components, problems. Pure.

The texts may come from the work tree, from git's index, or from a commit.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property

from msgspec import Struct

from metadeploy import externalapp, keys, orgfile, rules, yamlfile
from metadeploy.access import raise_access
from metadeploy.errors import ConfigError, InvalidMetadata
from metadeploy.externalapp import Converted
from metadeploy.keys import KeyChoice
from metadeploy.model import Component, Problem, Ref, Severity
from metadeploy.orgfile import Org
from metadeploy.render import CERTS, Renderer
from metadeploy.rules import secrets, suppression
from metadeploy.rules.suppression import Suppressed, Suppression
from metadeploy.wanted import Wanted
from metadeploy.xmlfile import XmlError
from metadeploy.yamlfile import Document

TEMPLATES, ORGS = "templates/", "orgs/"
FOLDERS = (TEMPLATES, ORGS, CERTS)
DEFAULTS = "orgs/defaults.yaml"
_SUFFIXES = (".yaml", ".yml")
_SECRETS = ("MD206", "MD214")


class Verdict(Struct, frozen=True):
    """The problems to tell, and those that somebody suppressed, both by place."""

    problems: tuple[Problem, ...]
    suppressed: tuple[Suppressed, ...]


class _Judged(Struct, frozen=True):
    """One org's components and what is wrong with them.

    used, looked_at: suppressions that were needed, or could have been. rendered:
    False where a template did not render, so that a suppression of what it makes is
    not needed just now.
    """

    components: tuple[Component, ...]
    told: list[Problem]
    quiet: list[Suppressed]
    used: set[Suppression]
    looked_at: list[Suppression]
    rendered: bool


class Project(Struct, frozen=True, dict=True):
    """All texts of a project: path, with "/", from its root → text.

    now: the time, with its zone, that certificates are judged at; None: not judged.
    """

    texts: Mapping[str, str]
    now: datetime | None = None

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer({p: t for p, t in self.texts.items() if not p.startswith(ORGS)})

    @cached_property
    def org_paths(self) -> Mapping[str, str]:
        """Org name → path; a name is the path below orgs/ without its suffix."""
        found = {
            path.removeprefix(ORGS).rpartition(".")[0]: path
            for path in sorted(self.texts)
            if path.startswith(ORGS) and path.endswith(_SUFFIXES)
        }
        found.pop("defaults", None)
        return found

    @cached_property
    def _defaults(self) -> tuple[str, Document] | None:
        text = self.texts.get(DEFAULTS)
        return None if text is None else (DEFAULTS, yamlfile.read(text, DEFAULTS))

    def read(self, name: str) -> tuple[Org | None, tuple[Problem, ...]]:
        """Return the Org of that name, None where its file is not usable."""
        path = self.org_paths[name]
        document = yamlfile.read(self.texts[path], path)
        return orgfile.read(name, path, document, self._defaults)

    def select(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the orgs that names, globs or tag:NAME mean, in that order.

        No pattern means all. Raises ConfigError for one that means none.
        """
        if not self.org_paths:
            raise ConfigError(
                "there is no orgs/*.yaml here",
                hint="Go to a project's folder, or make one with `metadeploy init`.",
            )
        found: dict[str, None] = {}
        for pattern in patterns or ["*"]:
            names = [n for n in self.org_paths if self._matches(n, pattern)]
            if not names:
                raise ConfigError(
                    f"no org is called {pattern!r}", hint=self._near(pattern)
                )
            found.update(dict.fromkeys(names))
        return tuple(found)

    def _matches(self, name: str, pattern: str) -> bool:
        if pattern.startswith("tag:"):
            org, _ = self.read(name)
            return org is not None and pattern.removeprefix("tag:") in org.file.tags
        return fnmatchcase(name, pattern)

    def _near(self, pattern: str) -> str:
        near = difflib.get_close_matches(pattern, self.org_paths, 1)
        known = ", ".join(list(self.org_paths)[:8])
        return f"Did you mean {near[0]}?" if near else f"The project has: {known}."

    def org(self, name: str) -> Org:
        """Return the Org of that name. Raises InvalidMetadata for an unusable file."""
        org, problems = self.read(name)
        if org is None:
            raise InvalidMetadata(problems or self.defaults_problems())
        return org

    def defaults_problems(self) -> tuple[Problem, ...]:
        if self._defaults is None:
            return ()
        return tuple(orgfile.check(*self._defaults))

    def render(
        self, org: Org, *, policies: Collection[str] = ()
    ) -> tuple[tuple[Component, ...], tuple[Problem, ...]]:
        """Return an org's components as templates say them, and every problem.

        policies: what to ask for beyond what the org's file asks for, such as "isv".
        """
        judged = self._judge(org, policies)
        return judged.components, tuple(judged.told)

    def _judge(self, org: Org, policies: Collection[str]) -> _Judged:
        rendered = self.renderer.render(org)
        found = rules.check(rendered.components, api_version=org.api_version)
        problems = [*rendered.problems, *found, *self._secrets(org, found)]
        components = rendered.components
        if any(app.kind == "external_client_app" for app in org.file.apps.values()):
            components, more = _converted(org, components)
            again = rules.check(components, api_version=org.api_version)
            problems += [p for p in (*more, *again) if p not in problems]
        asked = {*org.file.policy, *policies}
        problems += rules.check_posture(components, now=self.now, policies=asked)
        said = (*suppression.of_org(org), *self.renderer.suppressions(org))
        told, quiet, used = suppression.part(problems, said)
        told += suppression.check(said)
        looked_at = [s for s in said if suppression.counts(s, asked)]
        return _Judged(
            components, told, quiet, used, looked_at, rendered=not rendered.problems
        )

    def converted(self, org: Org, app: str) -> Converted:
        """Return the External Client App that an app's template would make in an org.

        Raises ConfigError where no template makes a ConnectedApp of that name there.
        """
        ref = Ref("ConnectedApp", app)
        found = [c for c in self.renderer.render(org).components if c.ref == ref]
        if not found:
            raise ConfigError(
                f"no template makes a ConnectedApp {app} for org {org.name}",
                hint="`metadeploy validate` tells if it does not render.",
            )
        return externalapp.convert(found[0])

    def _secrets(self, org: Org, told: Iterable[Problem]) -> Iterator[Problem]:
        """Yield the secrets in the texts of an org, but for those already told."""
        places = {(p.path, p.line) for p in told if p.rule in _SECRETS}
        for path in (DEFAULTS, org.path, *self.renderer.sources(org)):
            for problem in self._scanned.get(path, ()):
                if (problem.path, problem.line) not in places:
                    yield problem

    @cached_property
    def _scanned(self) -> Mapping[str, tuple[Problem, ...]]:
        found = {path: secrets.scan(path, text) for path, text in self.texts.items()}
        return {path: problems for path, problems in found.items() if problems}

    def wanted(self, org: Org) -> Wanted:
        """Return what the org is to be like. Raises InvalidMetadata for any error."""
        components, problems = self.render(org)
        errors = [p for p in problems if p.severity is Severity.ERROR]
        if errors:
            raise InvalidMetadata(errors)
        choices = {
            name: KeyChoice(app.generation, app.consumer_key or "")
            for name, app in org.file.apps.items()
        }
        raised = raise_access(components)
        return Wanted.of(org.name, org.api_version, raised, choices)

    def validate(
        self, names: Iterable[str], *, policies: Collection[str] = ()
    ) -> list[Problem]:
        """Return every problem of these orgs and all that they render, by place.

        A problem that several orgs share, word for word, is told once.
        policies: what to ask for of all of them, such as "isv".
        """
        return list(self.examine(names, policies=policies).problems)

    def examine(
        self, names: Iterable[str], *, policies: Collection[str] = ()
    ) -> Verdict:
        """Return what `validate` does, and what was kept quiet, both by place."""
        names = set(names)
        found: set[Problem] = set(self.defaults_problems())
        pins: list[rules.Pin] = []
        judged: dict[str, _Judged] = {}
        for name in sorted(names):
            org, problems = self.read(name)
            found.update(problems)
            if org is None:
                found.update(self._scanned.get(self.org_paths[name], ()))
                continue
            judged[name] = self._judge(org, policies)
            found.update(judged[name].told)
            pins += (*_pins(org), *_pinned_keys(org, judged[name].components))
        found.update(rules.check_orgs(pins))
        found.update(suppression.unused(self._idle(judged)))
        quiet = {s for j in judged.values() for s in j.quiet}
        return Verdict(
            tuple(sorted(found, key=lambda p: p.order)),
            tuple(sorted(quiet, key=lambda s: (*s.problem.order, s.by.path))),
        )

    def _idle(self, judged: Mapping[str, _Judged]) -> set[Suppression]:
        """Return the suppressions that no org needed.

        What the defaults or a template say may be needed by an org that was not
        looked at, so it counts only when all of them were.
        """
        used = {s for j in judged.values() for s in j.used}
        whole = len(judged) == len(self.org_paths)
        whole = whole and all(j.rendered for j in judged.values())
        return {
            said
            for name, j in judged.items()
            for said in j.looked_at
            if said not in used
            and (whole or (j.rendered and said.path == self.org_paths[name]))
        }


def _converted(
    org: Org, components: Iterable[Component]
) -> tuple[tuple[Component, ...], list[Problem]]:
    """Make External Client Apps of the apps that the org file wants as such."""
    found: list[Component] = []
    problems: list[Problem] = []
    for component in components:
        app = component.ref.full_name
        wanted = org.app(app).kind == "external_client_app"
        if component.ref.type != "ConnectedApp" or not wanted:
            found.append(component)
            continue
        try:
            converted = externalapp.convert(component)
        except XmlError:
            continue  # told by the rules already
        found += converted.components
        for lost in converted.lost:
            what = f"an External Client App has no place for {lost.element} of {app}"
            remedy = "Take it out, or keep the app a connected app in this org."
            problems.append(
                Problem(
                    lost.path,
                    lost.line,
                    what,
                    "MD011",
                    Severity.WARNING,
                    remedy,
                    template=component.source.path if component.source else "",
                )
            )
    return tuple(sorted(found, key=lambda c: c.ref)), problems


def _pins(org: Org) -> list[rules.Pin]:
    found: list[rules.Pin] = []
    if org.org_id is not None:
        found.append((org.name, *org.line_of("org_id"), "org_id", org.org_id))
    for name, app in org.file.apps.items():
        if app.consumer_key is not None:
            place = org.line_of("apps", name, "consumer_key")
            found.append((org.name, *place, "consumer_key", app.consumer_key))
    return found


def _pinned_keys(org: Org, components: Iterable[Component]) -> list[rules.Pin]:
    """Return the consumer keys that templates pin: the same in two orgs is wrong."""
    found: list[rules.Pin] = []
    for component in components:
        start = component.body.find(b"<consumerKey>")
        if start < 0 or component.source is None:
            continue
        try:
            key = keys.key_in(component)
        except XmlError:
            continue  # told by the rules already
        line = component.body.count(b"\n", 0, start) + 1
        place = component.source.locate(line)
        found.append((org.name, *place, "consumer_key", key))
    return found
