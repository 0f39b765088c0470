"""What an edit reaches: which orgs and templates have to be judged again. Pure.

The promise: a problem that the whole project has after the edit, and had not before,
is found. What was wrong before, and the edit does not touch, may go untold. Wherever
that cannot be kept by looking at less, all is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from metadeploy import rules, sourcetree
from metadeploy.model import Problem
from metadeploy.orgfile import Org
from metadeploy.project import ORGS, Judged, Project, Verdict, pins_of
from metadeploy.reads import Reads, reads, touches
from metadeploy.render import SUFFIX
from metadeploy.rules import suppression
from metadeploy.rules.suppression import Suppression

# Parts of one app, which are judged together.
_CLIENT_APP = ("ExternalClientApplication", "ExtlClntApp")
_PINNED = "consumerKey"


class Reached(Struct, frozen=True):
    """What of one org is looked at, and why.

    texts: templates and what they read; None where it is the whole org.
    """

    org: str
    texts: frozenset[str] | None
    why: str


class Narrowed(Struct, frozen=True):
    """The problems that an edit could have made, and what was looked at for them.

    reached: () where the edit reaches no org. why: where all is, the reason.
    """

    verdict: Verdict
    reached: tuple[Reached, ...]
    why: str = ""


class _Wider(Exception):
    """Less than all is not enough."""


def examine(was: Project, now: Project) -> Narrowed:
    """Return the problems of `now` that `was` need not have had."""
    try:
        return _Edit(was, now).examine()
    except _Wider as wider:
        orgs = sorted(now.org_paths)
        verdict = now.examine(orgs)
        whole = tuple(Reached(org, None, str(wider)) for org in orgs)
        return Narrowed(verdict, whole, str(wider))


class _Edit:
    """Two states of a project, and what lies between them."""

    def __init__(self, was: Project, now: Project) -> None:
        self.was, self.now = was, now
        every = {**was.texts, **now.texts}
        self.changed = frozenset(
            p for p in every if was.texts.get(p) != now.texts.get(p)
        )
        self._templates = frozenset(p for p in self.changed if not p.startswith(ORGS))
        self._pinned: set[tuple[str, str]] = set()
        self._judged: dict[str, Judged] = {}
        self._whole_orgs: set[str] = set()

    def examine(self) -> Narrowed:
        self._check_project()
        found: set[Problem] = set()
        reached = [
            one
            for name in sorted(self.now.org_paths)
            if (one := self._org(name, found))
        ]
        for name in self.was.org_paths.keys() - self.now.org_paths.keys():
            self._gone(name)
        found.update(self._pins())
        found.update(suppression.unused(self._idle()))
        for judged in self._judged.values():
            found.update(judged.told)
        quiet = {s for j in self._judged.values() for s in j.quiet}
        verdict = Verdict(
            tuple(sorted(found, key=lambda p: p.order)),
            tuple(sorted(quiet, key=lambda s: (*s.problem.order, s.by.path))),
        )
        return Narrowed(verdict, tuple(reached))

    def _check_project(self) -> None:
        """Raise _Wider for what concerns all of the project."""
        if sourcetree.PROJECT_FILE in self.changed:
            raise _Wider(f"{sourcetree.PROJECT_FILE} is about all")
        same = self.changed.isdisjoint(self._defaults)
        for project in (self.now,) if same else (self.was, self.now):
            if project.defaults_problems():
                raise _Wider("the orgs' defaults are not usable")
        for project in (self.was, self.now):
            if project.has_doubles:
                raise _Wider("two files are of one org")
        for path in self._templates:
            was, now = (
                {_key(s) for s in p.renderer.header_suppressions(path)}
                for p in (self.was, self.now)
            )
            if was != now:
                raise _Wider(f"{path} suppresses otherwise")

    def _org(self, name: str, found: set[Problem]) -> Reached | None:
        """Judge what the edit reaches of an org; None where that is nothing."""
        path = self.now.org_paths[name]
        same = self.changed.isdisjoint({path, *self._defaults})
        if same and not self._templates:
            return None
        org, problems = self.now.read(name)
        if same and org is None:
            return None  # as unusable as before
        before = org if same else None
        if not same:
            found.update(problems)
            if name in self.was.org_paths:
                before, _ = self.was.read(name)
                if before is None:
                    raise _Wider(f"{path} was not usable")
        if org is None:
            found.update(self.now.scanned(path))
            self._lose_pins(before)
            return Reached(name, frozenset(), f"{path} is not usable")
        if before is None:
            return self._whole(org, None, f"{path} is new")
        if replace(org.file, values={}) != replace(before.file, values={}):
            return self._whole(org, before, f"{path} changed beyond its values")
        return self._part(before, org)

    @cached_property
    def _defaults(self) -> frozenset[str]:
        names = (f"{ORGS}defaults.yaml", f"{ORGS}defaults.yml")
        return frozenset(n for n in names if n in self.now.texts or n in self.was.texts)

    def _part(self, before: Org, org: Org) -> Reached | None:
        values = frozenset(_differing(before.values, org.values, ""))
        texts = self._new.reached(org, self.changed, values)
        texts |= self._old.reached(before, self.changed, values)
        makers = frozenset(filter(self._makes, texts))
        mine = self.changed & {org.path, *self._defaults}
        mine |= self._templates & {*self.now.renderer.sources(org)}
        if not makers and not mine:
            return None
        why = ", ".join(sorted(self.changed & (texts | mine)))
        for path in sorted(makers):
            if self._is_part_of_an_app(path):
                return self._whole(org, before, f"{path} is a part of an app")
        old = self.was.judge(before, (), texts | mine)
        new = self.now.judge(org, (), texts | mine)
        if not old.rendered:
            raise _Wider(f"something did not render for {org.name}")
        if _facts(old) != _facts(new):
            other = f"names, or access to apps, are others by {why}"
            return self._whole(org, before, other)
        if {_key(s) for s in old.used} - {_key(s) for s in new.used}:
            raise _Wider("a suppression may not be needed any more")
        self._judged[org.name] = new
        self._pinned |= _pins(before, old) ^ _pins(org, new)
        return Reached(org.name, makers, why)

    def _makes(self, path: str) -> bool:
        return any(p.renderer.ref_of(path) for p in (self.was, self.now))

    def _is_part_of_an_app(self, path: str) -> bool:
        refs = (p.renderer.ref_of(path) for p in (self.was, self.now))
        return any(ref and ref.type.startswith(_CLIENT_APP) for ref in refs)

    def _whole(self, org: Org, before: Org | None, why: str) -> Reached:
        self._lose_pins(before)
        if before and self._suppresses and not self.was.judge(before).rendered:
            raise _Wider(f"something did not render for {org.name}")
        judged = self.now.judge(org)
        for said in judged.looked_at:
            if said.path != org.path and said not in judged.used:
                raise _Wider("a suppression may not be needed any more")
        self._judged[org.name] = judged
        self._whole_orgs.add(org.name)
        self._pinned ^= _pins(org, judged)
        return Reached(org.name, None, why)

    def _gone(self, name: str) -> None:
        org, _ = self.was.read(name)
        if org is None or self._suppresses:
            raise _Wider(f"{self.was.org_paths[name]} is gone")
        self._lose_pins(org)

    def _lose_pins(self, org: Org | None) -> None:
        if org is not None:
            if self._keys_in_templates:
                raise _Wider("templates pin consumer keys")
            self._pinned ^= _pins(org)

    @cached_property
    def _keys_in_templates(self) -> bool:
        texts = (*self.was.texts.items(), *self.now.texts.items())
        return any(_PINNED in text for path, text in texts if not path.startswith(ORGS))

    @cached_property
    def _suppresses(self) -> bool:
        """Tell whether a template's header, or the defaults, suppress anything."""
        texts = self.now.texts
        return any(
            self.now.renderer.header_suppressions(path)
            or (path in self._defaults and "suppress" in texts[path])
            for path in texts
        )

    def _idle(self) -> set[Suppression]:
        """Return what the file of an org that was judged whole suppresses in vain."""
        return {
            said
            for name in self._whole_orgs
            for said in self.now.idle({name: self._judged[name]})
        }

    def _pins(self) -> Iterable[Problem]:
        """Return the org ids and keys that two orgs pin, where one of them is new."""
        if not self._pinned:
            return ()
        if self._keys_in_templates:
            raise _Wider("templates pin consumer keys")
        pins: list[rules.Pin] = []
        shared = [t for p, t in self.now.texts.items() if p in self._defaults]
        for name, path in self.now.org_paths.items():
            texts = [self.now.texts[path], *shared]
            if any(self._may_pin(text) for text in texts):
                org, _ = self.now.read(name)
                if org is not None:
                    pins += pins_of(org, ())
        return rules.check_orgs(pins)

    def _may_pin(self, text: str) -> bool:
        """Tell whether an org file may pin one of the values that came or went."""
        # Written by its characters' numbers, a value is not seen as it is.
        return "\\" in text or any(value[:15] in text for _, value in self._pinned)

    @cached_property
    def _old(self) -> _Texts:
        return _Texts(self.was)

    @cached_property
    def _new(self) -> _Texts:
        return _Texts(self.now)


class _Texts:
    """What the texts of a project read, by others too."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._inside: dict[str, frozenset[str]] = {}

    def reached(
        self, org: Org, changed: Collection[str], values: frozenset[str]
    ) -> frozenset[str]:
        """Return the sources of an org that an edit reaches, and all that they read."""
        found: set[str] = set()
        for path in self._project.renderer.sources(org):
            if self._project.renderer.ref_of(path) is None:
                continue
            inside = self._follow(path)
            if not inside.isdisjoint(changed) or self._touch(inside, values):
                found |= inside
        return frozenset(found)

    def _follow(self, path: str) -> frozenset[str]:
        """Return a text with all that it reads."""
        if path not in self._inside:
            found: set[str] = set()
            todo = {path}
            while todo:
                at = todo.pop()
                found.add(at)
                if _READS.search(self._project.texts.get(at, "")):
                    names = self._reads(at).texts
                    todo |= {p for name in names for p in self._meant(name)} - found
            self._inside[path] = frozenset(found)
        return self._inside[path]

    def _meant(self, name: str) -> Iterable[str]:
        if name == "*":
            return [p for p in self._project.texts if not p.startswith(ORGS)]
        # Also one that is not there, for it may come.
        return [name, f"templates/{name}"]

    def _touch(self, inside: Iterable[str], values: frozenset[str]) -> bool:
        """Tell whether one of these texts reads one of these values."""
        for path in inside if values else ():
            # To look for its first word takes a tenth of what parsing takes.
            text = path + self._project.texts.get(path, "")
            named = {v for v in values if v.partition(".")[0] in text}
            if named and any(touches(v, self._reads(path).values) for v in named):
                return True
        return False

    def _reads(self, path: str) -> Reads:
        if path.endswith(SUFFIX):
            return self._project.renderer.reads(path)
        return reads(self._project.texts.get(path, ""), {})


# Without one of these words no text reads another.
_READS = re.compile(r"\b(?:import|include|extends|file)\b")


def _differing(was: object, now: object, name: str) -> Iterator[str]:
    """Yield the dotted names of the values that differ; a list counts as a whole."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            inner = f"{name}.{key}" if name else key
            if key not in was or key not in now:
                yield inner
            else:
                yield from _differing(was[key], now[key], inner)
    elif was != now or type(was) is not type(now):
        yield name


def _facts(judged: Judged) -> object:
    found = rules.facts(judged.plain)
    if judged.components == judged.plain:
        return found, found
    return found, rules.facts(judged.components)


def _pins(org: Org, judged: Judged | None = None) -> set[tuple[str, str]]:
    """Return what an org pins, places apart."""
    found = pins_of(org, judged.components if judged else ())
    return {(name, value) for name, _, _, _, value in found}


def _key(said: Suppression) -> tuple[object, ...]:
    return said.rule, said.reason, said.path, said.patterns, said.template
