"""The second way in: AWS Lambda reads the stream and hands us batches. Configure it as `handler` says.

The evaluation is the one that the Kinesis consumer feeds. It is put together once an execution environment
and keeps its event loop between invocations.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Protocol

from evalworker.bootstrap import Worker, assembled
from evalworker.records import RecordProcessor, StreamRecord
from evalworker.settings import read_settings
from llmplatform.process.logging import configure_logging

# Kept back of an invocation's time: for delivering ledger rows and metrics, since Lambda freezes the process
# between invocations, and for answering.
DELIVER_S: Final = 3.0
ANSWER_S: Final = 2.0

Failures = dict[str, list[dict[str, str]]]
"""The answer that Lambda reads: `batchItemFailures`, each the sequence number of a record to be repeated."""


class LambdaContext(Protocol):
    """What Lambda tells of an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until it is ended by force."""
        ...


def handler(event: Mapping[str, Any], context: LambdaContext) -> Failures:
    """Evaluate one batch of a Kinesis event source mapping; names what is to be brought again.

    The mapping needs `FunctionResponseTypes=["ReportBatchItemFailures"]`, else what is unfinished counts as
    done. Lambda repeats everything from the lowest sequence number named: where there is a result, that
    costs a read and no second verdict.
    """
    return _host.answer(event, lambda: context.get_remaining_time_in_millis() / 1_000)


class Host:
    """What lives as long as Lambda keeps the process: a loop, and the worker on it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._worker: Worker | None = None

    @cached_property
    def _loop(self) -> asyncio.Runner:
        return asyncio.Runner()

    def answer(self, event: Mapping[str, Any], left_s: Callable[[], float]) -> Failures:
        """See `handler`. Raises ConfigFault at a first invocation that is misconfigured."""
        return self._loop.run(self._answer(event, left_s))

    def close(self) -> None:
        """Take the worker apart, as Lambda never does."""
        self._loop.run(self._stack.aclose())
        self._loop.close()

    async def _answer(self, event: Mapping[str, Any], left_s: Callable[[], float]) -> Failures:
        worker = self._worker
        if worker is None:
            configure_logging("evalworker")
            worker = await self._stack.enter_async_context(assembled(*read_settings()))
            self._worker = worker
        await worker.heed_tenants()
        # Asked only now: putting the worker together takes seconds.
        within_s = left_s() - ANSWER_S - DELIVER_S
        try:
            return await evaluated(worker.evaluator, event, within_s=within_s)
        finally:
            await worker.delivered(within_s=DELIVER_S)


async def evaluated(processor: RecordProcessor, event: Mapping[str, Any], *, within_s: float) -> Failures:
    """Evaluate an event's records; what is not finished in time is to be repeated, all of it."""
    records = records_of(event)
    try:
        async with asyncio.timeout(within_s):
            unfinished = await processor.process(records)
    except TimeoutError:
        unfinished = frozenset(record.sequence_number for record in records)
    processor.give_up([record for record in records if record.sequence_number in unfinished])
    # In the stream's order: Lambda takes the lowest, whichever comes first.
    return {
        "batchItemFailures": [
            {"itemIdentifier": record.sequence_number}
            for record in records
            if record.sequence_number in unfinished
        ]
    }


def records_of(event: Mapping[str, Any]) -> Sequence[StreamRecord]:
    """The records of a Kinesis event as Lambda writes it."""
    return [
        StreamRecord(
            shard_id=record["eventID"].partition(":")[0],
            sequence_number=record["kinesis"]["sequenceNumber"],
            arrived_at=datetime.fromtimestamp(record["kinesis"]["approximateArrivalTimestamp"], UTC),
            data=base64.b64decode(record["kinesis"]["data"]),
        )
        for record in event["Records"]
    ]


_host: Final = Host()
