"""What the worker stands on is taken away under load: nothing is lost, paid for twice or counted twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import pytest

from evalworker.bootstrap import Worker
from evalworker.patience import MAX_FAILURES
from evalworker.records import StreamRecord
from evalworker.stores.faults import StoreUnavailable
from evalworker.tally import Tally
from harness.evaluation import JUDGE, SERVICES, Account, brought, record, sample, verdict
from harness.platform import eventually
from llmplatform.circuit import Circuit, CircuitRule
from llmplatform.samples import SampleEvent
from llmplatform.testing import make_policy
from sandbox.engines.scripted import Script

SHARDS, BATCHES, BATCH = 3, 3, 5


def conserved(tally: Tally) -> bool:
    """Whether every record that was read is counted by what became of it."""
    ends = tally.scored + tally.known + tally.skipped.total() + tally.parked.total()
    return tally.read == ends + tally.pending


def slow(ms: float) -> Script:
    return msgspec.structs.replace(verdict(), header_delay_ms=ms)


def paid(account: Account) -> int:
    """How many calls of the judge came to an answer."""
    return sum(call.ended == "completed" and call.status == 200 for call in account.runtime.calls.of(JUDGE))


async def batches(account: Account) -> list[list[StreamRecord]]:
    """Half of a tenant in the clear, half of one with a key of its own, and a poison record."""
    key = await account.key()
    await account.add(make_policy("vault", content_mode="full", kms_key=key))
    loads: list[list[StreamRecord]] = []
    for at in range(SHARDS * BATCHES):
        batch = []
        for number in range(at * BATCH, (at + 1) * BATCH):
            event = sample(number, tenant_id=("acme", "vault")[number % 2])
            if number % 2:
                event = await account.sealed(event, key)
            batch.append(record(event, number))
        loads.append(batch)
    loads[-1].append(record(b"poison", 10_000))
    return loads


async def feed(
    worker: Worker, loads: Sequence[Sequence[StreamRecord]], shard: int, lost: asyncio.Event
) -> None:
    """Bring one shard's batches, one after another, the last one when something is lost."""
    for at, load in enumerate(loads[shard::SHARDS], 1):
        if at == BATCHES:
            await lost.wait()
        await brought(worker.evaluator, load)
        assert conserved(worker.evaluator.tally)


@pytest.mark.parametrize("lost", [*((one,) for one in SERVICES), SERVICES], ids=[*SERVICES, "all"])
async def test_an_outage_under_load_costs_time_and_nothing_else(
    account: Account, lost: tuple[str, ...]
) -> None:
    loads = await batches(account)
    samples = SHARDS * BATCHES * BATCH
    account.judge(slow(60))
    async with account.worker() as worker:
        worker.judge._circuit = Circuit(CircuitRule(open_s=1))
        tally, cut = worker.evaluator.tally, asyncio.Event()
        async with asyncio.TaskGroup() as feeds:
            for shard in range(SHARDS):
                feeds.create_task(feed(worker, loads, shard, cut))
            await eventually(lambda: tally.scored >= samples // 6 or None)
            for service in lost:
                await account.ways[service].cut()
            cut.set()
            felt = lost != ("ssm",)  # tenants are in memory
            scored = tally.scored
            await eventually(lambda: (tally.unfinished if felt else tally.scored >= scored + 5) or None)
            assert conserved(tally)
            for service in lost:
                await account.ways[service].mend()
        assert tally.read == tally.scored + 1 == samples + 1
        assert tally.parked == Counter(undecodable=1)
        assert tally.pending == 0
        await worker.delivered(within_s=60)
    results = await account.results()
    assert len(results) == len({result.request_id for result in results}) == samples
    rows = await account.history()
    assert sorted(row.request_id for row in rows) == sorted(result.request_id for result in results)
    assert len(await account.objects("parked/")) == 1
    if "bedrock-runtime" not in lost:
        assert paid(account) == samples
        assert len(await account.judge_rows()) == samples


async def test_a_verdict_that_cannot_be_stored_is_kept_and_not_bought_again(account: Account) -> None:
    async with account.worker() as worker:
        broken = worker.evaluator._results.put
        tries = 0

        async def throttled(result: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise StoreUnavailable("throttled")
            return await broken(result)

        worker.evaluator._results.put = throttled  # type: ignore[method-assign]
        await brought(worker.evaluator, [record(sample())])
        assert tries == 4
        assert worker.evaluator.tally.scored == 1
    assert paid(account) == 1


async def test_a_result_whose_storing_was_not_answered_is_still_ours_and_told_once(account: Account) -> None:
    async with account.worker() as worker:
        put = worker.evaluator._results.put

        async def unanswered(result: Any) -> Any:
            worker.evaluator._results.put = put  # type: ignore[method-assign]
            await put(result)
            raise StoreUnavailable("no answer")

        worker.evaluator._results.put = unanswered  # type: ignore[method-assign]
        await brought(worker.evaluator, [record(sample())])
        tally = worker.evaluator.tally
        assert (tally.scored, tally.known) == (1, 0)
        await worker.delivered(within_s=60)
    assert paid(account) == len(await account.results()) == 1
    assert await account.lines.told("eval_score", 4) == [[4]] * 4


# -- where a worker may end -------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ended here."""


Moment = Literal["before", "after"]
POINTS: Mapping[str, Callable[[Worker], tuple[object, str]]] = {
    "results are looked up": lambda worker: (worker.evaluator._results, "known"),
    "content is opened": lambda worker: (worker.evaluator._sealing, "opened"),
    "the judge is asked": lambda worker: (worker.judge, "verdict"),
    "content is sealed": lambda worker: (worker.evaluator._sealing, "sealed"),
    "the result is stored": lambda worker: (worker.evaluator._results, "put"),
    "the history is written": lambda worker: (worker.evaluator._history, "write"),
    "poison is put aside": lambda worker: (worker.evaluator._parked, "put"),
}


def ends_at(worker: Worker, point: str, moment: Moment, end: Callable[[], object]) -> None:
    """Have `end` called the first time that the worker comes to a point, before it or after it."""
    owner, name = POINTS[point](worker)
    original = getattr(owner, name)

    async def mortal(*arguments: Any) -> Any:
        setattr(owner, name, original)
        if moment == "before":
            end()
            await asyncio.sleep(0)  # where a cancellation strikes
        answer = await original(*arguments)
        if moment == "after":
            end()
            await asyncio.sleep(0)
        return answer

    setattr(owner, name, mortal)


def killed() -> None:
    raise Killed


def scene(number: int) -> list[StreamRecord]:
    """Two samples, one of them twice, and a poison record."""
    first, second = sample(10 * number), sample(10 * number + 1)
    return [
        record(first, 10 * number),
        record(second, 10 * number + 1),
        record(first, 10 * number + 2),
        record(b"poison", 10 * number + 3),
    ]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_a_worker_is_killed_the_next_one_makes_it_one_result(
    account: Account, moment: Moment
) -> None:
    expected: set[str] = set()
    async with account.worker() as next_worker:
        for number, point in enumerate(POINTS, 1):
            records = scene(number)
            async with account.worker() as worker:
                ends_at(worker, point, moment, killed)
                with pytest.raises(Killed):
                    await worker.evaluator.process(records)
            await brought(next_worker.evaluator, records)
            assert conserved(next_worker.evaluator.tally), point
            expected |= {sample(10 * number).request_id, sample(10 * number + 1).request_id}
            found = [result.request_id for result in await account.results()]
            assert sorted(found) == sorted(expected), point
            assert sorted(row.request_id for row in await account.history()) == sorted(expected), point
            assert len(await account.objects("parked/")) == number, point
        tally = next_worker.evaluator.tally
        assert tally.pending == 0
        assert tally.read == 4 * len(POINTS)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_wherever_a_lease_is_lost_the_records_are_given_back_and_can_return(
    account: Account, moment: Moment
) -> None:
    async with account.worker() as worker:
        tally = worker.evaluator.tally
        for number, point in enumerate(POINTS, 1):
            records = scene(number)
            batch = asyncio.create_task(worker.evaluator.process(records))
            ends_at(worker, point, moment, batch.cancel)
            with pytest.raises(asyncio.CancelledError):
                await batch
            assert tally.pending == 4, point
            worker.evaluator.give_up(records)
            assert tally.pending == 0, point
            assert conserved(tally), point
            await brought(worker.evaluator, records)
            assert conserved(tally), point
            assert len(await account.results()) == len(await account.history()) == 2 * number, point
        assert tally.read == 4 * len(POINTS)
        assert not worker.evaluator._unstored
        assert not worker.evaluator._untold


# -- records that nothing can be done with ----------------------------------------------------------------


def raw(event: SampleEvent, **fields: Any) -> bytes:
    """An event as some other gateway might have written it."""
    return msgspec.json.encode({**msgspec.to_builtins(event), **fields})


POISON: Mapping[str, bytes] = {
    "no moment": raw(sample(1), completed_at="2026-01-31T23:59:30"),
    "before all calendars": raw(sample(2), completed_at="0001-01-01T00:00:00+14:00"),
    "after all calendars": raw(sample(3), completed_at="9999-12-31T23:59:59-12:00"),
    "a count over any column": raw(sample(4), usage={"input_tokens": 2**63}),
    "a huge count": raw(sample(5), usage={"input_tokens": 2**70}),
    "no trace": raw(sample(6), trace_id=""),
    "a long id": raw(sample(7), request_id="r" * 5_000),
    "a rate that no number type has": raw(sample(8), sample_rate=1e-300),
    "a model with a slash and a NUL": raw(sample(9), model_id="a/../../b\x00"),
    "bytes": b"\xff\xfe\x00",
    "nothing": b"",
    "deep": b"[" * 100_000,
    "another version": b'{"schema_version": 99}',
    "another tenant's path": raw(sample(10), tenant_id="../acme"),
}


async def test_no_poison_stops_a_shard_or_takes_others_along(account: Account) -> None:
    good = [record(sample(100 + number), 100 + number) for number in range(3)]
    poison = [record(data, number) for number, data in enumerate(POISON.values(), 1)]
    async with account.worker() as worker:
        tally = worker.evaluator.tally
        rounds = 0
        records = [*poison[:7], *good, *poison[7:]]
        waiting: Sequence[StreamRecord] = records
        while waiting:
            unfinished = await worker.evaluator.process(waiting)
            waiting = [one for one in waiting if one.sequence_number in unfinished]
            rounds += 1
            if rounds == 1:
                assert not {one.sequence_number for one in good} & unfinished
            assert rounds <= MAX_FAILURES, [list(POISON)[int(one.sequence_number) - 1] for one in waiting]
        assert conserved(tally)
        assert tally.read == len(records)
    assert {result.request_id for result in await account.results()} >= {
        sample(100 + number).request_id for number in range(3)
    }
    assert {row.request_id for row in await account.history()} >= {
        sample(100 + number).request_id for number in range(3)
    }
