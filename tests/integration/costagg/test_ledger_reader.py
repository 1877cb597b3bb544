"""The ledger's reader: rows of the real sink on the emulator, and a DynamoDB that throttles and fails."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from contract.receivers import HttpReceiver, json_answer
from corpus.invocations import COMPLETED_AT, record
from costagg.ledger_reader import TRIES, LedgerReader, LedgerUnavailable
from costagg.usage import ClientTokens
from harness.cuttable import Cuttable
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.ledger_sink import LEDGER_LIMITS, LedgerSink
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.invocation import InvocationRecord
from llmplatform.ledger import encode_item, partition_keys
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import create_table

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)


@asynccontextmanager
async def client_at(url: str, timeout_s: float = 60.0) -> AsyncIterator[SignedHttp]:
    async with SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=16,
        timeout_s=timeout_s,
    ) as http:
        yield http


@asynccontextmanager
async def reader_at(url: str, timeout_s: float = 60.0, **settings: Any) -> AsyncIterator[LedgerReader]:
    async with client_at(url, timeout_s) as http:
        yield LedgerReader(DynamoDb(http), **{"first_pause_s": 0.001, **settings})


class SmallPages(DynamoDb):
    """Asks for pages of a few rows, as a page of 1 MB is to rows that are large."""

    rows = 7

    def __init__(self, http: SignedHttp) -> None:
        super().__init__(http)
        self.queries = 0

    async def call_undecoded(self, operation: str, request: Mapping[str, Any] | bytes) -> bytes:
        self.queries += 1
        asked = json.loads(request) if isinstance(request, bytes) else request
        return await super().call_undecoded(operation, {**asked, "Limit": self.rows})


# -- on the emulator


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path) as running:
        async with sandbox_session().client("dynamodb", endpoint_url=running.url) as client:
            await create_table(client, REQUEST_LEDGER)
        yield running


async def write(url: str, records: Sequence[InvocationRecord]) -> None:
    sink = LedgerSink(
        url=url, region=REGION, credentials=lambda: CREDENTIALS, clock=SystemClock(), limits=LEDGER_LIMITS
    )
    await sink.start()
    for made in records:
        sink.accept(made)
    await sink.flush(60)
    assert sink.counts.delivered == len(records)


async def test_what_the_sink_wrote_is_read_and_each_request_counts_once(emulator: Emulator) -> None:
    rows = [record(number, tenant_id=f"tenant-{number % 3}") for number in range(300)]
    await write(emulator.url, rows + rows[:50])  # written again, as after an answer that was lost
    await write(emulator.url, [record(1_000, completed_at=COMPLETED_AT + timedelta(hours=1))])
    async with reader_at(emulator.url) as reader:
        usage = await reader.read(HOUR, ["tenant-0", "tenant-1", "tenant-2", "idle", "tenant-0"])
        assert await reader.read(HOUR, ["tenant-0", "tenant-1", "tenant-2"], consistent=True) == usage
    assert (usage.requests, usage.undecodable, usage.computed_from) == (300, 0, "request-ledger")
    assert usage.client_tokens == {
        f"tenant-{number}": ClientTokens(prompt=15_000, output=5_100) for number in range(3)
    }
    assert {calls.requests for calls in usage.calls.values()} == {100}


async def test_an_hour_of_many_pages_is_read_to_the_end_and_no_row_twice(emulator: Emulator) -> None:
    await write(emulator.url, [record(number) for number in range(200)])
    async with reader_at(emulator.url) as reader:
        whole = await reader.read(HOUR, ["acme"])
    async with client_at(emulator.url) as http:
        dynamodb = SmallPages(http)
        assert await LedgerReader(dynamodb).read(HOUR, ["acme"]) == whole
    assert whole.requests == 200
    assert dynamodb.queries >= 200 / SmallPages.rows


async def test_a_poisoned_row_is_counted_and_the_others_are_read(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    await write(emulator.url, [record(number) for number in range(40)])
    poison = {**encode_item(record(7)), "attempts": {"S": "canary"}}
    stranger = {name: encode_item(record(8))[name] for name in ("tenant_hour_shard", "request_id")}
    async with sandbox_session().client("dynamodb", endpoint_url=emulator.url) as client:
        for item in (poison, stranger):
            await client.put_item(TableName=REQUEST_LEDGER.name, Item=item)
    with caplog.at_level(logging.ERROR):
        async with reader_at(emulator.url) as reader:
            usage = await reader.read(HOUR, ["acme"])
    assert (usage.requests, usage.undecodable) == (38, 2)
    (line,) = caplog.messages
    assert "2026-11-23T20" in line
    assert "canary" not in line


async def test_a_ledger_that_is_cut_off_is_unavailable_and_whole_again_later(emulator: Emulator) -> None:
    await write(emulator.url, [record(number) for number in range(20)])
    async with Cuttable(int(emulator.url.rpartition(":")[2])) as way, reader_at(way.url) as reader:
        assert (await reader.read(HOUR, ["acme"])).requests == 20
        await way.cut()
        with pytest.raises(LedgerUnavailable):
            await reader.read(HOUR, ["acme"])
        await way.mend()
        assert (await reader.read(HOUR, ["acme"])).requests == 20


async def test_a_table_that_is_not_there_is_not_waited_for(emulator: Emulator) -> None:
    async with reader_at(emulator.url, table="elsewhere", first_pause_s=3_600) as reader, asyncio.timeout(60):
        with pytest.raises(LedgerUnavailable, match="ResourceNotFoundException"):
            await reader.read(HOUR, ["acme"])


# -- before a DynamoDB that is told what to do


class Ledger:
    """Answers Query with one row a shard, unless it is told to do something else first."""

    def __init__(self) -> None:
        self.queries: list[dict[str, Any]] = []
        self.first: list[web.Response] = []
        self.always: web.Response | None = None
        self.pages: dict[str, list[dict[str, Any]]] = {}

    def answer(self, _: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
        assert request.headers["X-Amz-Target"] == "DynamoDB_20120810.Query"
        asked = json.loads(body)
        self.queries.append(asked)
        if self.always is not None:
            return web.Response(status=self.always.status, body=self.always.body)
        if self.first:
            return self.first.pop()
        pages = self.pages.get(asked["ExpressionAttributeValues"][":key"]["S"], [page_of()])
        return json_answer(pages[int(asked.get("ExclusiveStartKey", FIRST)["request_id"]["S"][-1])])


FIRST = {"request_id": {"S": "0"}}


def page_of(*numbers: int, then: int | None = None) -> dict[str, Any]:
    """A page of these rows; `then` is the number of the next page."""
    items = [encode_item(record(request_id=f"row-{number}")) for number in numbers]
    key = {} if then is None else {"LastEvaluatedKey": {"request_id": {"S": f"row-{then}"}}}
    return {"Items": items, **key}


def refusal(kind: str, status: int = 400) -> web.Response:
    return json_answer({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}"}, status=status)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def server(ledger: Ledger) -> AsyncIterator[HttpReceiver]:
    receiver = HttpReceiver(ledger.answer)
    await receiver.start()
    yield receiver
    await receiver.stop()


SHARDS = partition_keys("acme", HOUR)


async def test_throttles_and_faults_of_the_service_pass(ledger: Ledger, server: HttpReceiver) -> None:
    ledger.pages = {shard: [page_of(1)] for shard in SHARDS}
    ledger.first = [
        refusal("ProvisionedThroughputExceededException"),
        refusal("ThrottlingException"),
        refusal("InternalServerError", 500),
        web.Response(status=503, body=b"<html>"),
        web.Response(body=b'{"Items":[{"request_id"'),
        web.Response(body=b"{}"),
    ]
    async with reader_at(server.url) as reader:
        usage = await reader.read(HOUR, ["acme"])
    assert usage.requests == len(SHARDS)
    assert len(ledger.queries) == len(SHARDS) + 6


@pytest.mark.parametrize(
    "wrong",
    [
        refusal("ProvisionedThroughputExceededException"),
        web.Response(status=500, body=b"{}"),
        web.Response(body=b"nonsense"),
    ],
)
async def test_what_does_not_pass_ends_after_so_many_tries(
    wrong: web.Response, ledger: Ledger, server: HttpReceiver
) -> None:
    ledger.always = wrong
    async with reader_at(server.url, queries_at_once=1) as reader:
        with pytest.raises(LedgerUnavailable):
            await reader.read(HOUR, ["acme"])
    assert len(ledger.queries) == TRIES


@pytest.mark.parametrize("kind", ["AccessDeniedException", "ValidationException"])
async def test_what_no_waiting_mends_is_asked_once(kind: str, ledger: Ledger, server: HttpReceiver) -> None:
    ledger.always = refusal(kind)
    async with reader_at(server.url, queries_at_once=1) as reader:
        with pytest.raises(LedgerUnavailable, match=kind):
            await reader.read(HOUR, ["acme"])
    assert len(ledger.queries) == 1


async def test_a_service_that_never_answers_is_given_up(server: HttpReceiver) -> None:
    server.mood = "silent"
    async with client_at(server.url, timeout_s=0.3) as http:
        dynamodb = SmallPages(http)
        reader = LedgerReader(dynamodb, queries_at_once=1, first_pause_s=0.001)
        with pytest.raises(LedgerUnavailable):
            await reader.read(HOUR, ["acme"])
    assert dynamodb.queries == TRIES


async def test_a_row_that_two_pages_show_counts_once(ledger: Ledger, server: HttpReceiver) -> None:
    ledger.pages = {SHARDS[0]: [page_of(0, 1, then=1), page_of(1, 2, then=2), page_of(3)]}
    async with reader_at(server.url) as reader:
        assert (await reader.read(HOUR, ["acme"])).requests == 4


async def test_a_query_that_does_not_go_on_is_no_endless_loop(ledger: Ledger, server: HttpReceiver) -> None:
    ledger.pages = {SHARDS[0]: [page_of(1, then=1), page_of(1, then=1)]}
    async with reader_at(server.url) as reader:
        with pytest.raises(LedgerUnavailable, match="does not go on"):
            await reader.read(HOUR, ["acme"])


async def test_only_what_cost_needs_is_asked_for_and_consistently_only_when_told(
    ledger: Ledger, server: HttpReceiver
) -> None:
    async with reader_at(server.url) as reader:
        await reader.read(HOUR, ["acme"])
        await reader.read(HOUR, ["acme"], consistent=True)
    names = ledger.queries[0]["ExpressionAttributeNames"]
    asked_for = [names[name] for name in ledger.queries[0]["ProjectionExpression"].split(",")]
    assert set(asked_for) == {"request_id", "origin", "received_at", "sampled", "usage", "attempts"}
    assert [query["ConsistentRead"] for query in ledger.queries] == [False] * 8 + [True] * 8
    assert {query["ExpressionAttributeValues"][":key"]["S"] for query in ledger.queries} == set(SHARDS)


async def test_no_more_queries_are_in_flight_than_were_allowed() -> None:
    in_flight, most, three = 0, 0, asyncio.Event()

    async def answer(_: web.BaseRequest) -> web.Response:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        if in_flight == 3:
            three.set()
        await three.wait()
        await asyncio.sleep(0.005)  # a fourth would come
        in_flight -= 1
        return json_answer({"Items": []})

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with reader_at(f"http://127.0.0.1:{runner.addresses[0][1]}", queries_at_once=3) as reader:
            await reader.read(HOUR, [f"tenant-{number}" for number in range(10)])
    finally:
        await runner.cleanup()
    assert most == 3


async def test_who_is_told_to_stop_stops(server: HttpReceiver) -> None:
    server.mood = "silent"
    async with reader_at(server.url) as reader:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(HOUR, ["acme"])
