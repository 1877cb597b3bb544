"""What can become of a record that was read. Pure."""

from dataclasses import dataclass
from typing import Literal

from evalworker.intake import ParkReason, SkipReason
from evalworker.stores.history_rows import HistoryRow

Cause = Literal["policies", "judge", "key", "store", "worker"]
"""What did not answer, or failed."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not judged, and never will be by this judge."""

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Parked:
    """Cannot be evaluated: put aside."""

    reason: ParkReason


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Something did not answer: to be brought again."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Judged:
    """Has a result, of this worker or from before."""

    row: HistoryRow


End = Skipped | Parked | Unfinished | Judged
