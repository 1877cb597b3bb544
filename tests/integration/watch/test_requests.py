"""What a request's life is read from, on a real DynamoDB, Logs and X-Ray, written by our own encoders."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from corpus.eval_results import make_event, make_result
from harness.ledger_table import make_call
from llmplatform import ids
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.ledger_reader import LedgerReader
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import EVAL_RESULTS, GATEWAY_LOGS, REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.evaluations import encode_result
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.ledger import decode_item, encode_item
from llmplatform.policy import Objectives
from llmplatform.testing import FakeClock, make_policy, make_record
from llmplatform.tracecontext import TraceContext
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision
from sandbox.traces import Traces, serve_traces
from watch.reading.aws_calls import AwsCalls, CountedHttp, counted
from watch.reading.log_lines import LogLineReader
from watch.reading.requests import RequestSearch
from watch.reading.scores import ScoreReader
from watch.reading.traces import TraceReader
from watch.requests.filters import Filters, LowScore
from watch.requests.merging import Cursor

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime.now(UTC).replace(minute=20, second=0, microsecond=0) - timedelta(hours=2)
TENANTS = {"acme": make_policy("acme", objectives=Objectives(ttft_p99_ms=1_000)), "zeta": make_policy("zeta")}
WITHIN_S = 60.0
"""A busy machine may take its time."""
OUTCOMES = (Outcome.COMPLETED, Outcome.COMPLETED, Outcome.BACKEND_FAILED, Outcome.REFUSED)


def record(number: int) -> InvocationRecord:
    """One of many requests, a minute apart, each with something that filters tell it by."""
    completed_at = NOW - timedelta(minutes=number, milliseconds=number)
    received_at = completed_at - timedelta(seconds=1 + 90 * (number % 2))  # before the hour, at times
    outcome = OUTCOMES[number % 4]
    return make_record(
        request_id=ids.request_id(int(received_at.timestamp() * 1_000), number.to_bytes(10, "big")),
        trace=TraceContext(f"{number + 0xABC000:032x}", "00f067aa0ba902b7", None, "minted"),
        tenant_id=("acme", "acme", "zeta")[number % 3],
        origin="judge" if number % 7 == 0 else "client",
        outcome=outcome,
        error_code=None if outcome is Outcome.COMPLETED else f"because_{number % 2}",
        model_id=("small", "large")[number % 2],
        requested_model_id="small",
        received_at=received_at,
        completed_at=completed_at,
        time_to_first_token_ms=None if outcome is Outcome.REFUSED else 900.0 + number % 5 * 100,
        total_latency_ms=(2_000.0, 61_000.0)[number % 11 == 0],
        attempts=(make_call(1, 1_000),),
        sampled=number % 4 == 0,
    )


RECORDS = [record(number) for number in range(1, 181)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as running:
        await provision(sandbox_session(), endpoint_url=running.url)
        async with sandbox_session().client("dynamodb", endpoint_url=running.url) as dynamodb:
            for at in range(0, len(RECORDS), 25):
                rows: Any = [{"PutRequest": {"Item": encode_item(one)}} for one in RECORDS[at : at + 25]]
                await dynamodb.batch_write_item(RequestItems={REQUEST_LEDGER.name: rows})
            for one in RECORDS:
                if one.sampled:
                    await dynamodb.put_item(TableName=EVAL_RESULTS.name, Item=encode_result(judged(one)))
        yield running


def judged(one: InvocationRecord) -> Any:
    event = make_event(
        request_id=one.request_id,
        trace_id=ids.as_uuid(one.trace.trace_id),
        tenant_id=one.tenant_id,
        completed_at=one.completed_at,
    )
    return make_result(event, scores={"relevance": 1 + int(one.request_id[-1], 16) % 5, "coherence": 5})


@pytest_asyncio.fixture(loop_scope="module")
async def lean(aws: Emulator) -> AsyncIterator[DynamoDb]:
    http = SignedHttp(
        service="dynamodb",
        url=aws.url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=32,
        timeout_s=60,
    )
    async with http:
        yield DynamoDb(http)


@pytest.fixture
def search(lean: DynamoDb) -> RequestSearch:
    return RequestSearch(lean, FakeClock())


@pytest_asyncio.fixture(loop_scope="module")
async def dynamodb(aws: Emulator) -> AsyncIterator[Any]:
    async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as client:
        yield client


def expected(query: dict[str, str], *, minutes: int = 200) -> list[str]:
    """The request ids that a query asks for, by the pure filter alone, an hour after the other."""
    filters = Filters.asked(query)
    rows = [decode_item(encode_item(one)) for one in RECORDS]
    found = [
        row
        for row in rows
        if filters.matches(row, filters.slow_of(TENANTS[row.tenant_id]))
        and row.completed_at >= NOW - timedelta(minutes=minutes)
    ]
    order = sorted(found, key=lambda row: (f"{row.completed_at:%Y%m%d%H}", row.request_id), reverse=True)
    return [row.request_id for row in order]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"tenant": "zeta"},
        {"model": "large"},
        {"outcome": "refused"},
        {"error": "because_1"},
        {"origin": "judge"},
        {"slow": "1"},
        {"slow_ms": "1100"},
        {"outcome": "backend_failed", "model": "small", "slow": "1"},
    ],
)
async def test_dynamodb_is_asked_for_what_the_filter_says_page_after_page(
    search: RequestSearch, query: dict[str, str]
) -> None:
    filters = Filters.asked(query)
    tenants = {name: TENANTS[name] for name in TENANTS if filters.tenant in {None, name}}
    seen: list[str] = []
    cursor: Cursor | None = None
    for _ in range(30):
        found = await search.page(
            tenants, filters, NOW - timedelta(minutes=200), NOW, after=cursor, wanted=50
        )
        seen += [row.request_id for row in found.rows]
        cursor = found.following and Cursor.asked(str(found.following))
        if cursor is None:
            break
    assert seen == expected(query)


async def test_only_tenants_that_may_be_read_are(search: RequestSearch) -> None:
    found = await search.page({"zeta": None}, Filters(), NOW - timedelta(days=1), NOW, wanted=500)
    assert {row.tenant_id for row in found.rows} == {"zeta"}
    assert not (await search.page({}, Filters(), NOW - timedelta(days=1), NOW)).rows


async def test_a_page_counts_each_call_once(aws: Emulator) -> None:
    http = CountedHttp(
        service="dynamodb",
        url=aws.url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=8,
        timeout_s=60,
    )
    async with http:
        search = RequestSearch(DynamoDb(http), FakeClock())
        with counted(AwsCalls()) as calls:
            found = await search.page(TENANTS, Filters(), NOW - timedelta(hours=3), NOW, wanted=500)
    assert calls.count == found.queries > 0


async def test_a_search_that_is_cut_short_says_how_far_it_looked_and_goes_on(lean: DynamoDb) -> None:
    impatient = RequestSearch(lean, FakeClock(), most_queries=20)
    filters = Filters.asked({"error": "never"})
    found = await impatient.page(TENANTS, filters, NOW - timedelta(days=7), NOW)
    assert found.rows == ()
    assert found.stopped_at is not None
    assert NOW - timedelta(days=7) < found.stopped_at < NOW
    assert found.following is not None
    further = await impatient.page(TENANTS, filters, NOW - timedelta(days=7), NOW, after=found.following)
    assert further.stopped_at is not None
    assert further.stopped_at < found.stopped_at


async def test_a_trace_and_a_request_are_found_by_their_ids(dynamodb: Any) -> None:
    ledger = LedgerReader(dynamodb)
    late = next(one for one in RECORDS if one.received_at.hour != one.completed_at.hour)
    (by_trace,) = await ledger.of_trace(late.trace.trace_id)
    (by_request,) = await ledger.of_request(late.request_id, TENANTS)
    assert by_trace == by_request
    assert by_trace.request_id == late.request_id
    assert await ledger.of_trace(late.trace.trace_id, late.tenant_id) == (by_trace,)
    assert await ledger.of_trace(late.trace.trace_id, "nobody") == ()
    assert await ledger.of_request(late.request_id, [t for t in TENANTS if t != late.tenant_id]) == ()


async def test_low_scores_lead_to_their_rows(search: RequestSearch, dynamodb: Any) -> None:
    scores = ScoreReader(EvalReader(dynamodb, SystemClock()))
    start, end = NOW - timedelta(hours=4), NOW
    low = await scores.low(TENANTS, start, end, LowScore(2, "relevance"))
    wanted = {one.request_id for one in RECORDS if one.sampled and judged(one).scores["relevance"] <= 2}
    assert wanted
    assert {one.request_id for one in low.scores} == wanted
    rows = await search.rows_of(
        [(one.tenant_id, one.event_at, one.request_id) for one in low.scores], TENANTS, Filters()
    )
    assert rows.keys() == wanted
    of_page = await scores.of_rows(rows.values())
    assert of_page.keys() == wanted
    row = next(iter(rows.values()))
    (one,) = await scores.of_trace(row.trace_id)
    assert one.request_id in wanted
    assert await scores.of_trace(row.trace_id, row.tenant_id) == (one,)
    assert await scores.of_trace(row.trace_id, "nobody") == ()


async def test_the_tail_reads_what_has_just_ended(lean: DynamoDb, dynamodb: Any) -> None:
    now = datetime.now(UTC)
    search = RequestSearch(lean, FakeClock(now))
    fresh = make_record(
        request_id=ids.request_id(int((now - timedelta(minutes=3)).timestamp() * 1_000), uuid4().bytes[:10]),
        received_at=now - timedelta(minutes=3),
        completed_at=now,
    )
    await dynamodb.put_item(TableName=REQUEST_LEDGER.name, Item=encode_item(fresh))
    found = await search.tail(TENANTS, Filters(), now - timedelta(seconds=1))
    assert [row.request_id for row in found] == [fresh.request_id]
    assert await search.tail(TENANTS, Filters.asked({"outcome": "refused"}), now) == ()


async def test_the_log_is_asked_for_a_traces_lines(aws: Emulator) -> None:
    trace_id, other = uuid4().hex, uuid4().hex
    now = datetime.now(UTC)
    async with sandbox_session().client("logs", endpoint_url=aws.url) as logs:
        await logs.create_log_stream(logGroupName=GATEWAY_LOGS.name, logStreamName=trace_id)
        await logs.put_log_events(
            logGroupName=GATEWAY_LOGS.name,
            logStreamName=trace_id,
            logEvents=[
                {
                    "timestamp": int(now.timestamp() * 1_000),
                    "message": json.dumps({"trace_id": ids.as_uuid(one), "tenant_id": tenant}),
                }
                for one, tenant in ((trace_id, "acme"), (trace_id, "globex"), (other, "acme"))
            ],
        )
        reader = LogLineReader(logs, within_s=WITHIN_S)
        lines = await reader.of_trace(trace_id, now, now)
        own = await reader.of_trace(trace_id, now, now, "acme")
    assert {json.loads(line.message)["trace_id"] for line in lines} == {ids.as_uuid(trace_id)}
    assert [json.loads(line.message)["tenant_id"] for line in lines] == ["acme", "globex"]
    assert [json.loads(line.message)["tenant_id"] for line in own] == ["acme"]


@pytest_asyncio.fixture(loop_scope="module")
async def traces() -> AsyncIterator[Traces]:
    async with serve_traces() as serving:
        yield serving


async def test_xray_tells_spans_and_whose_they_are(traces: Traces) -> None:
    trace_id = f"{int(time.time()):08x}{uuid4().hex[:24]}"
    segment = {
        "id": uuid4().hex[:16],
        "trace_id": ids.as_xray(trace_id),
        "name": "gateway",
        "start_time": time.time() - 0.25,
        "end_time": time.time(),
        "annotations": {"tenant_id": "acme"},
    }
    async with sandbox_session().client("xray", endpoint_url=traces.url) as xray:
        await xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(segment)])
        reader, now = TraceReader(xray, SystemClock(), within_s=WITHIN_S), datetime.now(UTC)
        for tenant in (None, "acme"):
            assert [bar.name for bar in await reader.spans(trace_id, now, now, tenant)] == ["gateway"]
        assert await reader.spans(trace_id, now, now, "globex") == ()
        assert await reader.spans(uuid4().hex, now, now) == ()
        assert await reader.spans(trace_id, now - timedelta(hours=1), now - timedelta(hours=1)) == ()


async def test_a_trace_of_many_spans_is_read_to_its_last(traces: Traces) -> None:
    trace_id, first = uuid4().hex, time.time() - 240
    for number in range(230):
        span = {"id": f"{number:016x}", "trace_id": ids.as_xray(trace_id), "name": f"span {number}"}
        traces.store.add_segment(
            json.dumps({**span, "start_time": first + number, "end_time": first + number})
        )
    async with sandbox_session().client("xray", endpoint_url=traces.url) as xray:
        reader, now = TraceReader(xray, SystemClock(), within_s=WITHIN_S), datetime.now(UTC)
        bars = await reader.spans(trace_id, now, now)
    assert [bar.name for bar in bars] == [f"span {number}" for number in range(230)]
