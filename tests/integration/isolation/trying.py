"""What a case is: something that is tried on a route, and what has to be answered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Final, Literal

from integration.isolation.routes import CONSOLE, Process, Route
from integration.isolation.subjects import Subject
from integration.isolation.wire import Sent

if TYPE_CHECKING:
    from integration.isolation.world import World

HTML: Final = ("Accept", "text/html")
FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
OWN: Final = "the attacker's own"

Sends = Callable[["World", Subject], Iterator[Sent]]
Compared = Literal["exactly", "in form", "not"]
"""`in form` leaves numbers out: an answer that tells of a request of the asker's own. `not` is for what is
the asker's own alone, in which nothing of others may be."""

_ADDRESSES = count(1)


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is tried on a route: the same requests for each subject, in the same order."""

    process: Process
    route: str
    tried: str
    answered: str
    """In words, for the table."""
    statuses: frozenset[int]
    sends: Sends
    compared: Compared = "exactly"

    @property
    def name(self) -> str:
        """As a test is called."""
        return f"{self.process}: {self.route}: {self.tried}"


def case(
    route: Route,
    tried: str,
    sends: Sends,
    *statuses: int,
    answered: str | None = None,
    compared: Compared = "exactly",
) -> Case:
    """A case of a route; what is answered are the statuses, unless that is told otherwise."""
    told = " or ".join(map(str, statuses)) if answered is None else answered
    return Case(route.process, route.name, tried, told, frozenset(statuses), sends, compared)


def ask_for(route: Route, world: "World", of: Subject, target: str | None = None) -> Sent:
    """The request for what is a subject's there, or for another target, without a credential."""
    filled = (route.asked if target is None else target).format(**of.words, days=world.days)
    sent = Sent("GET" if route.method == "any" else route.method, filled, (), route.body)
    if route.process != CONSOLE:
        return sent
    # As a load balancer says it: attempts are counted by address.
    sent = sent.with_headers(("X-Forwarded-For", _address()))
    return sent.with_headers(FORM) if route.body else sent


def with_query(sent: Sent, query: str) -> Sent:
    """The same request with more parameters."""
    mark = "&" if "?" in sent.target else "?"
    return replace(sent, target=f"{sent.target}{mark}{query}")


def _address() -> str:
    """An address that nothing came from yet."""
    number = next(_ADDRESSES)
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
