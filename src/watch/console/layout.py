"""What stands around every page: where one can go, by which key. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """A page that the navigation leads to."""

    path: str
    title: str
    key: str
    """Pressed after `g`."""


PLACES: Final = (
    Place("/", "Overview", "o"),
    Place("/requests", "Requests", "r"),
    Place("/evaluations", "Evaluations", "e"),
    Place("/cost", "Cost", "c"),
    Place("/alarms", "Alarms", "a"),
)


def is_at(place: Place, path: str) -> bool:
    """Whether a page belongs to a place."""
    return path == place.path or (place.path != "/" and path.startswith(f"{place.path}/"))
