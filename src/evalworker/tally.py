"""What became of every record that was read: none is lost from the count. Pure.

read = scored + known + skipped + parked + pending, at any time; a record is counted as read once, however
often it is brought.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from evalworker.ends import End, Judged, Parked, Skipped, Unfinished
from evalworker.intake import ParkReason, SkipReason
from evalworker.records import Place, StreamRecord
from llmplatform import eval_heartbeat as heartbeat
from llmplatform.eval_heartbeat import Activity


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
    activity: Activity = field(default_factory=Activity)
    """The same by tenant: what last happened, and when."""
    _pending: dict[Place, datetime] = field(default_factory=dict)
    _scored_here: set[Place] = field(default_factory=set)

    def begin(self, records: Iterable[StreamRecord]) -> None:
        """Count those that are new here."""
        for record in records:
            if record.place not in self._pending:
                self._pending[record.place] = record.arrived_at
                self.read += 1

    def claim(self, record: StreamRecord) -> None:
        """Its result is one that this worker stored: it will count as scored, not as known."""
        self._scored_here.add(record.place)

    def settle(self, record: StreamRecord, end: End, *, tenant_id: str | None, at: datetime) -> None:
        """Count a record by what became of it; its tenant is None where it is not a known one."""
        place = record.place
        if place not in self._pending:  # brought twice in one batch: it is counted
            return
        match end:
            case Unfinished(cause):
                self.unfinished += 1
                self._note(tenant_id, heartbeat.UNFINISHED, at, None if cause == "judge" else cause)
                return
            case Judged() if place in self._scored_here:
                self.scored += 1
                self._note(tenant_id, heartbeat.SCORED, at)
            case Judged():
                self.known += 1
                self._note(tenant_id, heartbeat.SCORED, at)
            case Skipped(reason):
                self.skipped[reason] += 1
                self._note(tenant_id, heartbeat.SKIPPED, at, reason)
            case Parked(reason):
                self.parked[reason] += 1
                self._note(tenant_id, heartbeat.PARKED, at, reason)
        del self._pending[place]
        self._scored_here.discard(place)

    def forget(self, records: Iterable[StreamRecord]) -> None:
        """Give back what this worker will not finish: who gets it next counts it."""
        for record in records:
            self._scored_here.discard(record.place)
            if self._pending.pop(record.place, None) is not None:
                self.read -= 1

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

    def _note(self, tenant_id: str | None, what: str, at: datetime, reason: str | None = None) -> None:
        if tenant_id is not None:
            self.activity.note(tenant_id, heartbeat.READ, at)
            self.activity.note(tenant_id, what, at, reason=reason)
