"""A project as texts: templates/, orgs/, certs/ → Orgs, components, problems. Pure.

The texts may come from the work tree, from git's index, or from a commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property

from msgspec import Struct

from metadeploy import externalapp, keys, near, orgfile, rules, sourcetree, yamlfile
from metadeploy.access import raise_access
from metadeploy.errors import ConfigError, InvalidMetadata
from metadeploy.externalapp import Converted
from metadeploy.keys import KeyChoice
from metadeploy.model import (
    DEFAULT_API_VERSION,
    Component,
    Problem,
    Ref,
    Severity,
)
from metadeploy.orgfile import Org
from metadeploy.render import CERTS, TEMPLATES, Renderer
from metadeploy.rules import secrets, suppression
from metadeploy.rules.suppression import Suppressed, Suppression
from metadeploy.scopes import by_metadata_name
from metadeploy.wanted import Wanted
from metadeploy.xmlfile import XmlError
from metadeploy.yamlfile import Document

ORGS = "orgs/"
FOLDERS = (TEMPLATES, ORGS, CERTS)
_DEFAULTS = "defaults"
_SUFFIXES = (".yaml", ".yml")
_SECRETS = ("MD206", "MD214")


class Verdict(Struct, frozen=True):
    """The problems to tell, and those that somebody suppressed, both by place."""

    problems: tuple[Problem, ...]
    suppressed: tuple[Suppressed, ...]


class Judged(Struct, frozen=True):
    """One org's components and what is wrong with them.

    used, looked_at: suppressions that were needed, or could have been. rendered:
    False where a template did not render, so that a suppression of what it makes is
    not needed just now. plain: the components before apps were made others.
    """

    components: tuple[Component, ...]
    told: list[Problem]
    quiet: list[Suppressed]
    used: set[Suppression]
    looked_at: list[Suppression]
    rendered: bool
    plain: tuple[Component, ...] = ()


class Project(Struct, frozen=True, dict=True):
    """All texts of a project: path, with "/", from its root → text.

    now: the time, with its zone, that certificates are judged at; None: not judged.
    """

    texts: Mapping[str, str]
    now: datetime | None = None

    @cached_property
    def _api_version(self) -> str:
        text = self.texts.get(sourcetree.PROJECT_FILE)
        found = None if text is None else sourcetree.source_api_version(text)
        return found or DEFAULT_API_VERSION

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer({p: t for p, t in self.texts.items() if not p.startswith(ORGS)})

    @cached_property
    def org_paths(self) -> Mapping[str, str]:
        """Org name → path; a name is the path below orgs/ without its suffix."""
        return {n: paths[0] for n, paths in self._files.items() if n != _DEFAULTS}

    @cached_property
    def _files(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for path in sorted(self.texts):
            if path.startswith(ORGS) and path.endswith(_SUFFIXES):
                name = path.removeprefix(ORGS).rpartition(".")[0]
                found[name] = (*found.get(name, ()), path)
        return found

    @property
    def has_doubles(self) -> bool:
        """Tell whether two files are of one org."""
        return any(len(paths) > 1 for paths in self._files.values())

    def _doubles(self, name: str) -> tuple[Problem, ...]:
        """Return a problem for each further file of a name."""
        first, *others = self._files[name]
        what = f"{first} is of the same name: only one can be meant"
        return tuple(Problem(path, 0, what, "MD010") for path in others)

    @cached_property
    def _defaults(self) -> tuple[str, Document] | None:
        if _DEFAULTS not in self._files:
            return None
        path = self._files[_DEFAULTS][0]
        return path, yamlfile.read(self.texts[path], path)

    def read(self, name: str) -> tuple[Org | None, tuple[Problem, ...]]:
        """Return the Org of that name, None where its file is not usable.

        Raises ConfigError where there is no such file.
        """
        if name not in self.org_paths:
            raise ConfigError(f"no org is called {name!r}", hint=self._near(name))
        if doubles := self._doubles(name):
            return None, doubles
        path = self.org_paths[name]
        document = yamlfile.read(self.texts[path], path)
        if self._default_problems:  # what comes out on top of them means nothing
            return None, tuple(orgfile.check(path, document))
        return orgfile.read(
            name, path, document, self._defaults, api_version=self._api_version
        )

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
            tags = self._tags(name)
            return tags is None or pattern.removeprefix("tag:") in tags
        return name == pattern or fnmatchcase(name, pattern)

    def _tags(self, name: str) -> Collection[object] | None:
        """Return an org's tags; None where its file does not let us know.

        Such an org is taken for each tag: better told to be unusable than left out.
        """
        org, _ = self.read(name)
        if org is not None:
            return org.file.tags
        path = self.org_paths[name]
        said = yamlfile.read(self.texts[path], path).value
        tags = said.get("tags") if isinstance(said, dict) else None
        return tags if isinstance(tags, list) else None

    def _near(self, pattern: str) -> str:
        if pattern.startswith("tag:"):
            tags = {str(t) for name in self.org_paths for t in self._tags(name) or ()}
            if like := near.nearest(pattern.removeprefix("tag:"), tags):
                return f"Did you mean tag:{like}?"
        return near.hint(pattern, self.org_paths, "The project")

    def org(self, name: str) -> Org:
        """Return the Org of that name. Raises InvalidMetadata for an unusable file."""
        org, problems = self.read(name)
        if org is None:
            raise InvalidMetadata(problems or self.defaults_problems())
        return org

    def defaults_problems(self) -> tuple[Problem, ...]:
        return self._default_problems

    @cached_property
    def _default_problems(self) -> tuple[Problem, ...]:
        if self._defaults is None:
            return ()
        return (*self._doubles(_DEFAULTS), *orgfile.check(*self._defaults))

    def render(
        self, org: Org, *, policies: Collection[str] = ()
    ) -> tuple[tuple[Component, ...], tuple[Problem, ...]]:
        """Return an org's components as templates say them, and every problem.

        policies: what to ask for beyond what the org's file asks for, such as "isv".
        """
        judged = self.judge(org, policies)
        return judged.components, tuple(judged.told)

    def judge(
        self,
        org: Org,
        policies: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Judged:
        """Return an org's components, and what is wrong with them.

        only: the texts to look at; then what components are among one another is not
        judged. Default: all.
        """
        rendered = self.renderer.render(org, only)
        components = tuple(map(by_metadata_name, rendered.components))
        version, whole = org.api_version, only is None
        found = rules.check(components, api_version=version, together=whole)
        problems = [*rendered.problems, *found, *self._secrets(org, found, only)]
        plain = components
        if any(app.kind == "external_client_app" for app in org.file.apps.values()):
            components, more = _converted(org, components)
            again = rules.check(components, api_version=version, together=whole)
            problems += [p for p in (*more, *again) if p not in problems]
        asked = {*org.file.policy, *policies}
        problems += rules.check_posture(components, now=self.now, policies=asked)
        said = (*suppression.of_org(org), *self.renderer.suppressions(org))
        told, quiet, used = suppression.part(problems, said)
        told += suppression.check(said)
        looked_at = [s for s in said if suppression.counts(s, asked)]
        return Judged(
            components,
            told,
            quiet,
            used,
            looked_at,
            rendered=not rendered.problems,
            plain=plain,
        )

    def converted(self, org: Org, app: str) -> Converted:
        """Return the External Client App that an app's template would make in an org.

        Raises ConfigError where no template makes a ConnectedApp of that name there.
        """
        ref = Ref("ConnectedApp", app)
        rendered = self.renderer.render(org).components
        found = [c for c in rendered if c.ref == ref]
        if not found:
            made = [c.ref.full_name for c in rendered if c.ref.type == ref.type]
            like = near.nearest(app, made)
            hint = "`metadeploy validate` tells if it does not render."
            raise ConfigError(
                f"no template makes a ConnectedApp {app} for org {org.name}",
                hint=f"Did you mean {like}?" if like else hint,
            )
        return externalapp.convert(by_metadata_name(found[0]))

    def _secrets(
        self, org: Org, told: Iterable[Problem], only: Collection[str] | None
    ) -> Iterator[Problem]:
        """Yield the secrets in the texts of an org, but for those already told."""
        places = {(p.path, p.line) for p in told if p.rule in _SECRETS}
        sources = self.renderer.sources(org)
        for path in (*self._files.get(_DEFAULTS, ()), org.path, *sources):
            if only is not None and path not in only:
                continue
            for problem in self.scanned(path):
                if (problem.path, problem.line) not in places:
                    yield problem

    def scanned(self, path: str) -> tuple[Problem, ...]:
        """Return the secrets in one text."""
        if path not in self._scanned:
            self._scanned[path] = secrets.scan(path, self.texts[path])
        return self._scanned[path]

    @cached_property
    def _scanned(self) -> dict[str, tuple[Problem, ...]]:
        return {}

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
        judged: dict[str, Judged] = {}
        for name in sorted(names):
            org, problems = self.read(name)
            found.update(problems)
            if org is None:
                found.update(self.scanned(self.org_paths[name]))
                continue
            judged[name] = self.judge(org, policies)
            found.update(judged[name].told)
            pins += pins_of(org, judged[name].components)
        found.update(rules.check_orgs(pins))
        found.update(suppression.unused(self.idle(judged)))
        quiet = {s for j in judged.values() for s in j.quiet}
        return Verdict(
            tuple(sorted(found, key=lambda p: p.order)),
            tuple(sorted(quiet, key=lambda s: (*s.problem.order, s.by.path))),
        )

    def idle(self, judged: Mapping[str, Judged]) -> set[Suppression]:
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


def pins_of(org: Org, components: Iterable[Component]) -> Iterator[rules.Pin]:
    """Yield the org Id and the consumer keys that an org's files pin."""
    if org.org_id is not None:
        yield org.name, *org.line_of("org_id"), "org_id", org.org_id
    for name, app in org.file.apps.items():
        if app.consumer_key is not None:
            place = org.line_of("apps", name, "consumer_key")
            yield org.name, *place, "consumer_key", app.consumer_key
    for component in components:
        start = component.body.find(b"<consumerKey>")
        if start < 0 or component.source is None:
            continue
        try:
            app_name, key = keys.app_of(component), keys.key_in(component)
        except XmlError:
            continue  # told by the rules already
        # The org file's and the template's word for one app may well be the same.
        if app_name and key and key != org.app(app_name).consumer_key:
            line = component.body.count(b"\n", 0, start) + 1
            place = component.source.locate(line)
            yield org.name, *place, "consumer_key", key
