"""A shard's reader between kcl-rs, whose calls come on a thread, and a processor on the loop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from kcl_rs import CheckpointError

from evalworker.feeds.figures import FeedTally
from evalworker.feeds.shards import Crossing, ShardReader
from evalworker.records import StreamRecord
from llmplatform.clock import SystemClock

SHARD = "shardId-000000000000"
LEASE_IS_GONE = "ShutdownException"

Answer = Callable[[Sequence[StreamRecord]], Awaitable[frozenset[str]]]


async def all_finished(_records: Sequence[StreamRecord]) -> frozenset[str]:
    return frozenset()


async def none_finished(records: Sequence[StreamRecord]) -> frozenset[str]:
    return frozenset(record.sequence_number for record in records)


async def never_ends(_records: Sequence[StreamRecord]) -> frozenset[str]:
    await asyncio.Event().wait()
    return frozenset()


async def raises(_records: Sequence[StreamRecord]) -> frozenset[str]:
    raise ValueError("a prompt")


@dataclass
class ScriptedProcessor:
    """Answers as told, the last answer for ever."""

    answers: list[Answer]
    batches: list[list[str]] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    loops: set[asyncio.AbstractEventLoop] = field(default_factory=set)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def process(self, records: Sequence[StreamRecord]) -> frozenset[str]:
        self.begun.set()
        self.loops.add(asyncio.get_running_loop())
        self.batches.append([record.sequence_number for record in records])
        return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(records)

    def give_up(self, records: Sequence[StreamRecord]) -> None:
        self.given_up += [record.sequence_number for record in records]


@dataclass
class ScriptedCheckpointer:
    """Counts, and refuses as told."""

    refusals: list[str] = field(default_factory=list)
    lease_held: bool = True
    written: int = 0
    prepared: int = 0

    def checkpoint(self) -> None:
        self._refuse()
        self.written += 1

    def prepare_checkpoint(self) -> None:
        self._refuse()
        self.prepared += 1

    def _refuse(self) -> None:
        code = self.refusals.pop(0) if self.refusals else None if self.lease_held else LEASE_IS_GONE
        if code is not None:
            error = CheckpointError(code)
            error.value = code
            raise error


class Shard:
    """A reader with its lease, and what kcl-rs would call."""

    def __init__(self, *answers: Answer) -> None:
        self.processor = ScriptedProcessor(list(answers))
        self.checkpointer = ScriptedCheckpointer()
        self.crossing = Crossing(self.processor)
        self.tally = FeedTally(SystemClock())
        self.reader = ShardReader(self.crossing, self.tally)
        self._call("initialize", shard_id=SHARD)

    async def deliver(self, *numbers: str) -> None:
        """Hand it a batch as kcl-rs does, on another thread, and wait until it returns."""
        records = [
            SimpleNamespace(
                sequence_number=number, approximate_arrival_timestamp=datetime.now(UTC), binary_data=b"{}"
            )
            for number in numbers
        ]
        await asyncio.to_thread(
            self._call,
            "process_records",
            records=records,
            millis_behind_latest=7,
            checkpointer=self.checkpointer,
        )

    async def end(self) -> None:
        await asyncio.to_thread(self._call, "shard_ended", checkpointer=self.checkpointer)

    def _call(self, callback: str, **given: Any) -> None:
        getattr(self.reader, callback)(SimpleNamespace(**given))


async def test_a_finished_batch_is_checkpointed() -> None:
    shard = Shard(all_finished)
    await shard.deliver("1", "2")
    assert shard.processor.batches == [["1", "2"]]
    assert shard.processor.loops == {asyncio.get_running_loop()}
    assert shard.checkpointer.written == 1
    assert shard.processor.given_up == []
    figures = shard.tally.figures()
    assert (figures.leases_held, figures.records_read, figures.redelivery_rounds) == (1, 2, 0)
    assert figures.millis_behind_latest == {SHARD: 7}


async def test_only_what_is_unfinished_is_brought_again_and_then_all_is_checkpointed() -> None:
    async def second(_records: Sequence[StreamRecord]) -> frozenset[str]:
        return frozenset({"2"})

    shard = Shard(second, all_finished)
    await shard.deliver("1", "2", "3")
    assert shard.processor.batches == [["1", "2", "3"], ["2"]]
    assert shard.checkpointer.written == 1
    assert shard.tally.figures().redelivery_rounds == 1


async def test_a_processor_that_raises_gets_the_whole_batch_again() -> None:
    shard = Shard(raises, all_finished)
    await shard.deliver("1", "2")
    assert shard.processor.batches == [["1", "2"], ["1", "2"]]
    assert shard.checkpointer.written == 1


async def test_a_lost_lease_ends_the_rounds_without_a_checkpoint() -> None:
    shard = Shard(none_finished)
    shard.checkpointer.lease_held = False
    await shard.deliver("1")
    await asyncio.sleep(0)
    assert shard.checkpointer.written == 0
    assert shard.processor.given_up == ["1"]
    assert shard.tally.figures().lost_batches == 1


async def test_a_lease_store_that_does_not_answer_does_not_end_the_rounds() -> None:
    shard = Shard(none_finished, all_finished)
    shard.checkpointer.refusals = ["ThrottlingException"]
    await shard.deliver("1")
    assert shard.checkpointer.written == 1
    assert shard.processor.given_up == []


async def test_a_reader_that_has_given_up_reads_and_checkpoints_nothing_more() -> None:
    shard = Shard(none_finished)
    shard.checkpointer.lease_held = False
    await shard.deliver("1")
    shard.checkpointer.lease_held = True
    assert not shard.crossing.stuck.is_set()
    await shard.deliver("2")
    await shard.end()
    assert shard.processor.batches == [["1"]]
    assert shard.checkpointer.written == 0
    await asyncio.wait_for(shard.crossing.stuck.wait(), 60)  # the consumer is started afresh


async def test_a_failed_checkpoint_is_tried_again() -> None:
    shard = Shard(all_finished)
    shard.checkpointer.refusals = ["ThrottlingException"]
    await shard.deliver("1")
    assert shard.checkpointer.written == 1
    assert shard.tally.figures().failed_checkpoints == 1


async def test_the_end_of_a_shard_is_checkpointed() -> None:
    shard = Shard(all_finished)
    shard.checkpointer.refusals = ["ThrottlingException", "KinesisClientLibDependencyException"]
    await shard.end()
    assert shard.checkpointer.written == 1
    assert shard.tally.figures().leases_held == 0


async def test_closing_cancels_what_outlives_the_grace_and_checkpoints_nothing() -> None:
    shard = Shard(never_ends)
    delivery = asyncio.create_task(shard.deliver("1", "2"))
    await shard.processor.begun.wait()
    await shard.crossing.close(grace_s=0.05)
    await asyncio.wait_for(delivery, 60)
    assert shard.checkpointer.written == 0
    assert shard.processor.given_up == ["1", "2"]


async def test_closing_waits_for_a_batch_that_ends_within_the_grace() -> None:
    async def soon(_records: Sequence[StreamRecord]) -> frozenset[str]:
        await asyncio.sleep(0.1)
        return frozenset()

    shard = Shard(soon)
    delivery = asyncio.create_task(shard.deliver("1"))
    await shard.processor.begun.wait()
    await shard.crossing.close(grace_s=60)
    await asyncio.wait_for(delivery, 60)
    assert shard.checkpointer.written == 1


async def test_closing_ends_a_pause_between_rounds() -> None:
    shard = Shard(none_finished)
    delivery = asyncio.create_task(shard.deliver("1"))
    await shard.processor.begun.wait()
    await shard.crossing.close(grace_s=60)
    await asyncio.wait_for(delivery, 60)
    assert shard.checkpointer.written == 0
    assert shard.processor.given_up == ["1"]


async def test_after_closing_nothing_is_processed() -> None:
    shard = Shard(all_finished)
    await shard.crossing.close(grace_s=0)
    await shard.deliver("1")
    await asyncio.sleep(0)
    assert shard.processor.batches == []
    assert shard.checkpointer.written == 0
