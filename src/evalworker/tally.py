"""What became of every record that was read: no record is lost from the count. Pure.

read = scored + known + skipped + parked + pending, at any time; a record is counted as read once, however
often it is brought.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from evalworker.intake import ParkReason, SkipReason
from evalworker.records import StreamRecord

Place = tuple[str, str]
"""Shard and sequence number."""


@dataclass(slots=True)
class Tally:
    """Counts since the worker's start."""

    read: int = 0
    scored: int = 0
    known: int = 0
    """Scored before: brought again after a crash, a lost lease or a replay."""
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    parked: Counter[ParkReason] = field(default_factory=Counter)
    unfinished: int = 0
    """Times that a record had to be brought again."""
    _pending: dict[Place, datetime] = field(default_factory=dict)

    def begin(self, records: Iterable[StreamRecord]) -> None:
        """Count those that are new here."""
        for record in records:
            place = (record.shard_id, record.sequence_number)
            if place not in self._pending:
                self._pending[place] = record.arrived_at
                self.read += 1

    def scored_new(self, record: StreamRecord) -> None:
        """Count a result of our own."""
        self.scored += self._done(record)

    def scored_before(self, record: StreamRecord) -> None:
        """Count a result that was there."""
        self.known += self._done(record)

    def skip(self, record: StreamRecord, reason: SkipReason) -> None:
        """Count a sample that is not judged."""
        self.skipped[reason] += self._done(record)

    def park(self, record: StreamRecord, reason: ParkReason) -> None:
        """Count a record that was put aside."""
        self.parked[reason] += self._done(record)

    def bring_again(self, record: StreamRecord) -> None:
        """Count an attempt that came to nothing; the record stays pending."""
        del record
        self.unfinished += 1

    def forget(self, records: Iterable[StreamRecord]) -> None:
        """Give back what this worker will not finish: another one reads it from its checkpoint."""
        for record in records:
            self.read -= self._done(record)

    @property
    def pending(self) -> int:
        """Read, and nothing became of it yet."""
        return len(self._pending)

    def oldest_pending(self) -> datetime | None:
        """When the stream took in the oldest record that waits here."""
        return min(self._pending.values(), default=None)

    def by_result(self) -> Mapping[str, int]:
        """Counts by what became of the records, for the metric `eval_records`."""
        return {
            "read": self.read,
            "scored": self.scored,
            "known": self.known,
            "skipped": self.skipped.total(),
            "parked": self.parked.total(),
        }

    def _done(self, record: StreamRecord) -> int:
        """1 the first time that a pending record is done."""
        return int(self._pending.pop((record.shard_id, record.sequence_number), None) is not None)
