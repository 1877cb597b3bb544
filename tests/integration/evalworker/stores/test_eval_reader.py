"""Results as people and jobs read them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from corpus.eval_results import EVENT_AT, make_event, make_result, make_sealed_row
from evalworker.stores.results import Results
from llmplatform.aws.eval_reader import RETENTION, EvalReader
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import EvalContent, EvalResult, moment_text
from llmplatform.testing import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = timedelta(hours=1)
ItemT = TypeVar("ItemT")


async def collected(items: AsyncIterator[ItemT]) -> list[ItemT]:
    return [item async for item in items]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(EVENT_AT + HOUR)


@pytest.fixture
def reader(dynamodb: Any, table: str, clock: FakeClock) -> EvalReader:
    return EvalReader(dynamodb, clock, table=table)


async def stored(results: Results, *numbers: int, **fields: Any) -> list[EvalResult]:
    return [await results.put(make_result(make_event(number), **fields)) for number in numbers]


async def test_a_tenants_results_come_in_order_of_time(results: Results, reader: EvalReader) -> None:
    one, two, three = await stored(results, 1, 2, 3)
    assert await collected(reader.of_tenant("acme", EVENT_AT, EVENT_AT + HOUR)) == [one, two, three]
    newest = reader.of_tenant("acme", EVENT_AT, EVENT_AT + HOUR, newest_first=True)
    assert await collected(newest) == [three, two, one]


async def test_the_start_is_in_and_the_end_is_out(results: Results, reader: EvalReader) -> None:
    one, two, _ = await stored(results, 1, 2, 3)
    found = reader.of_tenant("acme", EVENT_AT + timedelta(seconds=1), EVENT_AT + timedelta(seconds=3))
    assert await collected(found) == [one, two]


async def test_one_tenant_does_not_see_another(results: Results, reader: EvalReader) -> None:
    sealed = make_sealed_row().result
    await results.put(sealed)
    await stored(results, 1)
    assert await collected(reader.of_tenant("sealed", EVENT_AT, EVENT_AT + HOUR)) == [sealed]


async def test_pages_follow_one_another(results: Results, reader: EvalReader) -> None:
    # More than the megabyte that one page may hold.
    large = await stored(results, *range(1, 9), content=EvalContent(prompt="x" * 200_000))
    assert await collected(reader.of_tenant("acme", EVENT_AT, EVENT_AT + HOUR)) == large


async def test_a_trace_has_the_results_of_all_its_requests(results: Results, reader: EvalReader) -> None:
    one, two = await stored(results, 1, 2, trace_id="4bf92f35-77b3-4da6-a3ce-929d0e0e4736")
    await stored(results, 3)
    assert await collected(reader.of_trace(one.trace_id)) == [one, two]


async def test_what_was_judged_lately_is_found_whatever_it_counts_for(
    results: Results, reader: EvalReader
) -> None:
    lately = EVENT_AT + timedelta(minutes=30)
    await stored(results, 1)
    late, early = make_event(2), make_event(3, completed_at=EVENT_AT - timedelta(days=5))
    await results.put(make_result(late, judged_at=lately))
    await results.put(make_result(early, judged_at=lately + timedelta(seconds=1), bertscore_f1=None))
    judged = await collected(reader.judged_since("acme", lately))
    assert [(one.request_id, one.event_at, one.judged_at) for one in judged] == [
        (late.request_id, late.completed_at, lately),
        (early.request_id, early.completed_at, lately + timedelta(seconds=1)),
    ]
    full = make_result(late)
    assert judged[0].values == full.values
    assert (judged[0].model_id, judged[0].sample_rate) == (full.model_id, full.sample_rate)
    assert judged[0].judge_identity == full.judge.identity
    assert judged[0].bertscore_identity == full.bertscore_identity
    assert judged[1].values == full.scores


async def test_what_has_outlived_its_retention_is_not_shown(
    results: Results, reader: EvalReader, clock: FakeClock
) -> None:
    (one,) = await stored(results, 1)
    clock.advance(s=RETENTION.total_seconds())
    assert await collected(reader.of_tenant("acme", EVENT_AT, EVENT_AT + HOUR)) == []
    assert await collected(reader.of_trace(one.trace_id)) == []
    assert await collected(reader.judged_since("acme", EVENT_AT)) == []
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert await collected(reader.of_tenant("acme", long_ago, long_ago + HOUR)) == []


async def test_a_foreign_row_is_a_fault(dynamodb: Any, table: str, reader: EvalReader) -> None:
    key = {"tenant_id": {"S": "acme"}, "result_key": {"S": f"{moment_text(EVENT_AT)}#1#2"}}
    await dynamodb.put_item(TableName=table, Item={**key, "judged_key": {"S": f"{moment_text(EVENT_AT)}#1"}})
    with pytest.raises(TelemetryFault):
        await collected(reader.of_tenant("acme", EVENT_AT, EVENT_AT + HOUR))
    with pytest.raises(TelemetryFault):
        await collected(reader.judged_since("acme", EVENT_AT))
