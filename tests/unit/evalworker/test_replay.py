"""What a replay reads, how it tries, and that every record comes to one end."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from corpus.eval_results import EVENT_AT, make_event
from evalworker.ends import Parked, Skipped
from evalworker.records import StreamRecord
from evalworker.replay import FIRST_PAUSE_S, TRIES, Preview, Replayed, Scope, replay
from evalworker.tally import Tally
from llmplatform.evaluations import ResultKey
from llmplatform.policy import TenantPolicy
from llmplatform.samples import SampleEvent
from llmplatform.testing import make_policy

DAY = Scope(EVENT_AT - timedelta(hours=1), EVENT_AT + timedelta(hours=1))


def record(
    number: int, event: SampleEvent | bytes | None = None, arrived_at: datetime = EVENT_AT
) -> StreamRecord:
    data = event if isinstance(event, bytes) else msgspec.json.encode(event or make_event(number))
    return StreamRecord("shard", str(number), arrived_at, data)


async def coming(records: Iterable[StreamRecord]) -> AsyncIterator[StreamRecord]:
    for one in records:
        yield one


class Scripted:
    """Skips even records, parks odd ones; those named stay unfinished so many times."""

    def __init__(self, **stubborn: int) -> None:
        self.tally = Tally()
        self.batches: list[int] = []
        self._stubborn = {name.removeprefix("r"): times for name, times in stubborn.items()}

    async def process(self, records: Sequence[StreamRecord]) -> frozenset[str]:
        self.tally.begin(records)
        self.batches.append(len(records))
        left = set()
        for one in records:
            number = one.sequence_number
            if self._stubborn.get(number, 0) > 0:
                self._stubborn[number] -= 1
                left.add(number)
                continue
            end = Parked("undecodable") if int(number) % 2 else Skipped("hash_only")
            self.tally.settle(one, end, tenant_id="acme", at=one.arrived_at)
        return frozenset(left)

    def give_up(self, records: Sequence[StreamRecord]) -> None:
        self.tally.forget(records)


async def replayed(processor: Scripted, count: int, pauses: list[float] | None = None) -> Replayed:
    async def sleep(seconds: float) -> None:
        (pauses if pauses is not None else []).append(seconds)
        await asyncio.sleep(0)

    return await replay(processor, coming(map(record, range(count))), batch_records=4, sleep=sleep)


async def test_every_record_is_counted_once_in_batches() -> None:
    processor = Scripted()
    done = await replayed(processor, 10)
    assert processor.batches == [4, 4, 2]
    assert (done.read, done.skipped, done.parked, done.unfinished) == (
        10,
        {"hash_only": 5},
        {"undecodable": 5},
        0,
    )
    assert done.conserved
    assert (await replayed(Scripted(), 0)).read == 0


async def test_what_does_not_answer_is_brought_again_with_growing_pauses() -> None:
    processor = Scripted(r1=2)
    pauses: list[float] = []
    done = await replayed(processor, 4, pauses)
    assert processor.batches == [4, 1, 1]
    assert pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
    assert (done.read, done.unfinished, done.conserved) == (4, 0, True)


async def test_what_never_answers_ends_the_replay_and_is_counted() -> None:
    processor = Scripted(r1=99)
    done = await replayed(processor, 12)
    assert len(processor.batches) == TRIES
    assert (done.read, done.unfinished, done.conserved) == (4, 1, True)


def test_counts_that_do_not_add_up_are_noticed() -> None:
    assert not Replayed(read=3, scored=1, known=1).conserved
    assert Replayed(read=3, scored=1, known=1, skipped={"budget": 1}).conserved


@pytest.mark.parametrize(
    ("completed_at", "inside"),
    [
        (DAY.start, True),
        (DAY.start - timedelta(microseconds=1), False),
        (DAY.end, False),
        (DAY.end - timedelta(microseconds=1), True),
    ],
)
def test_a_sample_counts_for_when_its_request_was_completed(completed_at: datetime, *, inside: bool) -> None:
    late = DAY.end + timedelta(minutes=10)
    assert DAY.has(record(1, make_event(1, completed_at=completed_at), arrived_at=late)) is inside


def test_one_tenants_replay_leaves_the_others_and_what_is_nobodys() -> None:
    acme = Scope(DAY.start, DAY.end, "acme")
    assert acme.has(record(1))
    assert not acme.has(record(1, make_event(1, tenant_id="other")))
    assert not acme.has(record(1, b"poison"))
    assert DAY.has(record(1, b"poison"))
    assert not DAY.has(record(1, b"poison", arrived_at=datetime(2026, 1, 1, tzinfo=UTC)))


async def test_a_preview_counts_what_a_replay_would_do() -> None:
    policies = {"acme": make_policy("acme", content_mode="full"), "quiet": make_policy("quiet")}
    stored = ResultKey.of("acme", make_event(1).completed_at, make_event(1).request_id, "judge")

    def policy_of(tenant: str) -> TenantPolicy | None:
        return policies.get(tenant)

    async def known(keys: Sequence[ResultKey]) -> Collection[ResultKey]:
        return {key for key in keys if key == stored}

    preview = Preview(policy_of, known, "judge")
    await preview.look(
        [
            record(1),
            record(2),
            record(3, make_event(2)),  # a twin of the one before: one verdict for both
            record(4, make_event(4, tenant_id="gone")),
            record(5, b"poison"),
        ]
    )
    assert (preview.read, preview.to_judge, preview.already) == (5, 1, 2)
    assert preview.skipped == {"no_tenant": 1}
    assert preview.parked == {"undecodable": 1}
