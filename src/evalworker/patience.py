"""How often a record is brought again before it is put aside, so that none holds up its shard for ever. Pure.

Two kinds of failure are a record's own: this worker stumbles at it, or the judge fails at it while it answers
others. A judge, a key or a store that answers nobody is waited for, however long that takes.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from evalworker.judging.judge import UnavailableReason
from evalworker.records import Place

MAX_FAILURES: Final = 5
CANDIDATES_OWN: Final[frozenset[UnavailableReason]] = frozenset(
    {"model_error", "model_timeout", "server_error", "timeout", "misconfigured", "internal"}
)
"""How a judge may fail because of what it was asked; a throttle or a broken connection tells nothing."""


@dataclass(slots=True)
class Patience:
    """What has failed so far, by record."""

    _failures: Counter[Place] = field(default_factory=Counter)

    def stumbled(self, place: Place) -> bool:
        """Whether a record at which this worker failed is to be put aside."""
        self._failures[place] += 1
        return self._failures[place] >= MAX_FAILURES

    def unanswered(self, place: Place, reason: UnavailableReason) -> bool:
        """Whether a record without a verdict is to be put aside, if the judge answers others."""
        return reason in CANDIDATES_OWN and self.stumbled(place)

    def forget(self, place: Place) -> None:
        """The record is done with."""
        self._failures.pop(place, None)
