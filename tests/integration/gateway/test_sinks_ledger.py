"""The ledger sink against a DynamoDB that throttles, leaves items out, calls rows invalid, or is nonsense."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from contract.receivers import HttpReceiver, json_answer, number_of
from corpus.invocations import record
from harness.platform import eventually
from llmplatform.aws.ledger_sink import LEDGER_LIMITS, LedgerSink
from llmplatform.aws.sigv4 import Credentials
from llmplatform.clock import SystemClock
from llmplatform.ledger import decode_item
from llmplatform.process.batching import Limits

LIMITS = Limits(
    queued_items=1_000,
    queued_bytes=10_000_000,
    batch_items=25,
    batch_bytes=1_000_000,
    linger_s=0.01,
    in_flight=4,
    tries=6,
    first_pause_s=0.005,
    max_pause_s=0.01,
    attempt_timeout_s=60.0,
)


class Table:
    """A DynamoDB table: what is put under a key replaces what was there."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Any] = {}
        self.batches: list[int] = []
        self.invalid: set[int] = set()
        self.leave_out: Callable[[int], bool] = lambda _: False
        self.throttle_next = 0

    def answer(self, _: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
        assert request.headers["X-Amz-Target"] == "DynamoDB_20120810.BatchWriteItem"
        writes = json.loads(body)["RequestItems"]["request-ledger"]
        self.batches.append(len(writes))
        if self.throttle_next:
            self.throttle_next -= 1
            kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
            return json_answer({"__type": kind}, status=400)
        items = [write["PutRequest"]["Item"] for write in writes]
        if any(number_of(item["request_id"]["S"]) in self.invalid for item in items):
            return json_answer({"__type": "com.amazon.coral.validate#ValidationException"}, status=400)
        unprocessed = []
        for item in items:
            number = number_of(item["request_id"]["S"])
            if self.leave_out(number):
                unprocessed.append({"PutRequest": {"Item": item}})
            else:
                self.rows[item["tenant_hour_shard"]["S"], item["request_id"]["S"]] = item
        return json_answer({"UnprocessedItems": {"request-ledger": unprocessed} if unprocessed else {}})

    @property
    def numbers(self) -> list[int]:
        return sorted(number_of(request_id) for _, request_id in self.rows)


@pytest.fixture
async def table() -> Table:
    return Table()


@pytest.fixture
async def sink(table: Table) -> AsyncIterator[LedgerSink]:
    server = HttpReceiver(table.answer)
    await server.start()
    made = LedgerSink(
        url=server.url,
        region="eu-central-1",
        credentials=lambda: Credentials("key", "secret", "token"),
        clock=SystemClock(),
        limits=LIMITS,
    )
    await made.start()
    yield made
    await made.flush(0)
    await server.stop()


async def test_rows_arrive_in_batches_and_can_be_read_back(sink: LedgerSink, table: Table) -> None:
    for number in range(120):
        sink.accept(record(number))
    await sink.flush(60)
    assert table.numbers == list(range(120))
    assert max(table.batches) == 25
    rows = [decode_item(item) for item in table.rows.values()]
    assert {row.tenant_id for row in rows} == {"acme"}
    assert all(row.attempts == record().attempts for row in rows)


async def test_unprocessed_items_alone_are_written_again(sink: LedgerSink, table: Table) -> None:
    seen: set[int] = set()

    def first_time_of_every_third(number: int) -> bool:
        again = number in seen
        seen.add(number)
        return number % 3 == 0 and not again

    table.leave_out = first_time_of_every_third
    for number in range(25):
        sink.accept(record(number))
    await sink.flush(60)
    assert table.numbers == list(range(25))
    assert table.batches == [25, 9]
    assert sink.counts.delivered == 25


async def test_throttling_is_waited_out(sink: LedgerSink, table: Table) -> None:
    table.throttle_next = 3
    for number in range(10):
        sink.accept(record(number))
    await sink.flush(60)
    assert table.numbers == list(range(10))
    assert (sink.counts.delivered, sink.counts.dropped) == (10, 0)


async def test_an_invalid_row_is_found_and_dropped_and_the_rest_is_kept(
    sink: LedgerSink, table: Table
) -> None:
    table.invalid = {7}
    for number in range(20):
        sink.accept(record(number))
    await sink.flush(60)
    assert table.numbers == [number for number in range(20) if number != 7]
    assert (sink.counts.delivered, sink.counts.dropped) == (19, 1)


async def test_an_item_that_is_never_processed_is_given_up_and_counted(
    sink: LedgerSink, table: Table
) -> None:
    table.leave_out = lambda number: number == 4
    for number in range(10):
        sink.accept(record(number))
    await eventually(lambda: sink.counts.pending == 0 or None)
    assert (sink.counts.delivered, sink.counts.dropped, sink.counts.pending) == (9, 1, 0)


async def test_a_row_that_is_written_twice_is_one_row(sink: LedgerSink, table: Table) -> None:
    sink.accept(record(1))
    await eventually(lambda: sink.counts.delivered == 1 or None)
    sink.accept(record(1))
    await sink.flush(60)
    assert table.numbers == [1]


async def test_the_answer_is_not_read_beyond_any_limit() -> None:
    def flood(_: HttpReceiver, __: web.BaseRequest, ___: bytes) -> web.Response:
        return web.Response(body=b'{"UnprocessedItems":{}}' + b" " * 20_000_000)

    server = HttpReceiver(flood)
    await server.start()
    sink = LedgerSink(
        url=server.url,
        region="eu-central-1",
        credentials=lambda: Credentials("key", "secret"),
        clock=SystemClock(),
        limits=LIMITS,
    )
    await sink.start()
    sink.accept(record(1))
    await sink.flush(60)
    assert (sink.counts.delivered, sink.counts.dropped) == (0, 1)
    await server.stop()


def test_the_default_limits_are_those_of_the_api() -> None:
    assert LEDGER_LIMITS.batch_items <= 25
    assert LEDGER_LIMITS.batch_bytes < 16_000_000
