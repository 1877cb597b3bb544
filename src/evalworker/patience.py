"""How often a record is brought again before it is put aside, so that none holds up its shard for ever. Pure.

Two kinds of failure are a record's own: this worker stumbles at it, or the judge fails at it while it answers
others. A judge, a key or a store that answers nobody is waited for, however long that takes.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from evalworker.judging.judge import UnavailableReason

Place = tuple[str, str]

MAX_FAILURES: Final = 5
CANDIDATES_OWN: Final[frozenset[UnavailableReason]] = frozenset(
    {"model_error", "model_timeout", "server_error", "timeout"}
)
"""What a judge may answer because of what it was asked; a throttle or a broken connection tells nothing."""


@dataclass(slots=True)
class Patience:
    """What has failed so far, by record."""

    verdicts: int = 0
    """Given by the judge, to whichever record."""
    _failures: Counter[Place] = field(default_factory=Counter)
    _verdicts_before: dict[Place, int] = field(default_factory=dict)

    def asks(self, place: Place) -> None:
        """The judge is asked about a record: from here on it is seen whether it answers others."""
        self._verdicts_before.setdefault(place, self.verdicts)

    def stumbled(self, place: Place) -> bool:
        """Whether a record at which this worker failed is to be put aside."""
        self._failures[place] += 1
        return self._failures[place] >= MAX_FAILURES

    def unanswered(self, place: Place, reason: UnavailableReason) -> bool:
        """Whether a record to which the judge gave no verdict is to be put aside."""
        if reason not in CANDIDATES_OWN:
            return False
        others_answered = self.verdicts > self._verdicts_before[place]
        return self.stumbled(place) and others_answered

    def forget(self, place: Place) -> None:
        """The record is done with."""
        self._failures.pop(place, None)
        self._verdicts_before.pop(place, None)
