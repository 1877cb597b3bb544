"""Conservation: whatever happens in whatever order, every record that was read is accounted for."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from evalworker.ends import Cause, End, Judged, Parked, Skipped, Unfinished
from evalworker.intake import PARK_REASONS, SKIP_REASONS
from evalworker.records import StreamRecord
from evalworker.tally import Tally

NOW = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)
JUDGED: Any = Judged(row=None)  # type: ignore[arg-type]  # the tally looks at no row
CAUSES: tuple[Cause, ...] = ("policies", "judge", "key", "store", "worker")
ENDS: tuple[End, ...] = (
    JUDGED,
    *(Skipped(reason) for reason in SKIP_REASONS),
    *(Parked(reason) for reason in PARK_REASONS),
)


def record(number: int, shard: int = 0) -> StreamRecord:
    return StreamRecord(f"shard-{shard}", str(number), NOW + timedelta(seconds=number), b"")


RECORDS = st.builds(record, st.integers(0, 5), st.integers(0, 1))
SOME = st.lists(RECORDS, max_size=6)


class Tallying(RuleBasedStateMachine):
    """A worker's life as the tally sees it, beside a model that knows each record's place in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.waiting: dict[tuple[str, str], StreamRecord] = {}
        self.claimed: set[tuple[str, str]] = set()
        self.ended = 0
        self.scored = 0

    @rule(records=SOME)
    def begin(self, records: list[StreamRecord]) -> None:
        self.tally.begin(records)
        self.waiting |= {one.place: one for one in records}

    @rule(one=RECORDS)
    def claim(self, one: StreamRecord) -> None:
        if one.place in self.waiting:
            self.tally.claim(one)
            self.claimed.add(one.place)

    @rule(one=RECORDS, end=st.sampled_from(ENDS), tenant=st.sampled_from(["acme", None]))
    def settle(self, one: StreamRecord, end: End, tenant: str | None) -> None:
        self.tally.settle(one, end, tenant_id=tenant, at=NOW)
        if self.waiting.pop(one.place, None) is not None:
            self.ended += 1
            self.scored += isinstance(end, Judged) and one.place in self.claimed
            self.claimed.discard(one.place)

    @rule(one=RECORDS, cause=st.sampled_from(CAUSES))
    def leave_unfinished(self, one: StreamRecord, cause: Cause) -> None:
        self.tally.settle(one, Unfinished(cause), tenant_id="acme", at=NOW)

    @rule(records=SOME)
    def forget(self, records: list[StreamRecord]) -> None:
        self.tally.forget(records)
        for one in records:
            self.waiting.pop(one.place, None)
            self.claimed.discard(one.place)

    @invariant()
    def nothing_is_lost_from_the_count(self) -> None:
        tally = self.tally
        ends = (tally.scored, tally.known, tally.skipped.total(), tally.parked.total())
        assert tally.read == sum(ends) + tally.pending
        assert min(*ends, tally.read, tally.pending, tally.unfinished) >= 0
        assert sum(ends) == self.ended
        assert tally.scored == self.scored
        assert tally.pending == len(self.waiting)
        oldest = min((one.arrived_at for one in self.waiting.values()), default=None)
        assert tally.oldest_pending() == oldest


TestTallying = Tallying.TestCase


def test_a_record_that_was_scored_here_before_its_history_was_written_counts_as_scored() -> None:
    tally = Tally()
    tally.begin([record(1)])
    tally.claim(record(1))
    tally.settle(record(1), Unfinished("store"), tenant_id="acme", at=NOW)
    tally.begin([record(1)])
    tally.settle(record(1), JUDGED, tenant_id="acme", at=NOW)
    assert (tally.read, tally.scored, tally.known) == (1, 1, 0)


def test_the_same_record_twice_in_a_batch_counts_once() -> None:
    tally = Tally()
    tally.begin([record(1), record(1)])
    for _ in range(2):
        tally.settle(record(1), JUDGED, tenant_id="acme", at=NOW)
    assert (tally.read, tally.known, tally.pending) == (1, 1, 0)


def test_activity_is_told_for_tenants_that_exist_and_for_no_other() -> None:
    tally = Tally()
    tally.begin([record(1), record(2)])
    tally.settle(record(1), Skipped("no_tenant"), tenant_id=None, at=NOW)
    tally.settle(record(2), Skipped("budget"), tenant_id="acme", at=NOW)
    assert tally.activity.last_at == {"acme": {"read": NOW, "skipped:budget": NOW}}
