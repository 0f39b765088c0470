"""What the templates make of an org's values: the wanted side of a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from metadeploy import keys
from metadeploy.access import AppAccess, Raised
from metadeploy.keys import KeyChoice
from metadeploy.model import Component, Ref


class Wanted(Struct, frozen=True):
    """What an org is to be like: its components, and who may use what.

    absent: components that it must not have. whole: how many components there are in
    all, where these are a part of them; else 0.
    """

    org: str
    api_version: str
    components: tuple[Component, ...]
    access: Mapping[str, AppAccess]
    keys: Mapping[str, KeyChoice] = field(default_factory=dict)
    places: tuple[tuple[str, Ref, str, int], ...] = ()
    absent: tuple[Ref, ...] = ()
    whole: int = 0

    @classmethod
    def of(
        cls,
        org: str,
        api_version: str,
        raised: Raised,
        choices: Mapping[str, KeyChoice],
    ) -> Wanted:
        places = tuple(
            (app, holder, *place) for (app, holder), place in raised.places.items()
        )
        return cls(org, api_version, raised.components, raised.access, choices, places)

    def says_what(self, other: Wanted) -> bool:
        """Tell whether another is of the same org and meaning, wherever it is said."""
        return replace(self, places=()) == replace(other, places=())

    def key_choice(self, component: Component, app: str) -> KeyChoice:
        """Return how the app gets its key; one in the template is pinned."""
        choice = self.keys.get(app, KeyChoice())
        pinned = keys.key_in(component) or choice.pinned
        return KeyChoice(choice.generation, pinned)
