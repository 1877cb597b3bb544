"""What became of the drill's requests, and which of the failures nobody should have seen. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

GRACE: Final = timedelta(seconds=30)
"""After an endpoint is back: what was asked before, and the gateway's circuit until it tries again."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client. `failure` is None where a whole answer came."""

    at: datetime
    tenant: str
    model: str
    failure: str | None = None
    total_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which requests of a model may fail, for its endpoint is away."""

    model: str
    first: datetime
    last: datetime | None = None

    def covers(self, request: Request) -> bool:
        """Whether a failure is its."""
        return (
            request.model == self.model
            and request.at >= self.first - GRACE
            and (self.last is None or request.at <= self.last + GRACE)
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of one tenant to one model."""

    tenant: str
    model: str
    requests: int
    failed: int
    """Those that an outage does not explain among them."""
    unexplained: int
    failures: tuple[tuple[str, int], ...]


def tallies(requests: Iterable[Request], outages: Sequence[Outage]) -> tuple[Tally, ...]:
    """One for each tenant and model, in order."""
    by_lane: dict[tuple[str, str], list[Request]] = {}
    for request in requests:
        by_lane.setdefault((request.tenant, request.model), []).append(request)
    return tuple(_tally(lane, by_lane[lane], outages) for lane in sorted(by_lane))


def _tally(lane: tuple[str, str], requests: Sequence[Request], outages: Sequence[Outage]) -> Tally:
    failed = [request for request in requests if request.failure is not None]
    unexplained = [request for request in failed if not any(outage.covers(request) for outage in outages)]
    kinds = Counter(request.failure for request in failed if request.failure is not None)
    return Tally(*lane, len(requests), len(failed), len(unexplained), tuple(kinds.most_common()))
