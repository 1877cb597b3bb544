import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.scripted_cloudwatch import ScriptedCloudWatch
from llmplatform.metrics import REQUEST_COUNT, TIME_TO_FIRST_TOKEN
from llmplatform.testing import START, FakeClock
from watch.metric_queries import Found, Span, Wanted, wanted
from watch.reading.aws_calls import AwsCalls, counted
from watch.reading.metrics import MetricReader
from watch.tables.readings import Series, read

NOW = START.replace(second=0)
SPAN = Span(NOW - timedelta(hours=1), NOW, 60)
DENIED = ClientError({"Error": {"Code": "Throttling", "Message": "acme"}}, "GetMetricData")


def series_of(tenant: str, statistic: str = "Sum") -> Series:
    return read(REQUEST_COUNT, statistic, tenant_id=tenant).series({})


ACME = series_of("acme")


class Watched:
    def __init__(self, **options: Any) -> None:
        self.cloudwatch = ScriptedCloudWatch(
            lambda _n, _d, _s, times: [float(at) for at in range(len(times))]
        )
        self.clock = FakeClock(NOW)
        client: Any = self.cloudwatch
        self.reader = MetricReader(client, self.clock, **options)


@asynccontextmanager
async def watching(**options: Any) -> AsyncIterator[Watched]:
    watched = Watched(**options)
    async with watched.reader:
        yield watched


async def test_many_series_over_one_span_are_one_call_and_each_is_asked_once() -> None:
    async with watching() as made:
        series = [series_of(f"t{at}") for at in range(200)]
        figures = await made.reader.read(wanted([*series, *series], SPAN))
        (request,) = made.cloudwatch.asked
        assert len(request["MetricDataQueries"]) == 200
        assert figures.of(series[7], SPAN).values[NOW - timedelta(minutes=60)] == 0
        assert figures.stale_since is None
        assert not figures.failed


async def test_more_than_a_call_holds_are_several_at_once() -> None:
    async with watching() as made:
        made.cloudwatch.gate = asyncio.Event()
        series = [series_of(f"t{at}") for at in range(1_200)]
        reading = asyncio.create_task(made.reader.read(wanted(series, SPAN)))
        for _ in range(5):
            await asyncio.sleep(0)
        made.cloudwatch.gate.set()
        figures = await reading
        assert [len(one["MetricDataQueries"]) for one in made.cloudwatch.asked] == [500, 500, 200]
        assert all(figures.of(one, SPAN).values for one in series)


async def test_what_was_just_asked_is_not_asked_again_until_it_is_old() -> None:
    async with watching() as made:
        await made.reader.read(wanted([ACME], SPAN))
        made.clock.advance(s=19)
        await made.reader.read(wanted([ACME, series_of("zeta")], SPAN))
        assert [len(one["MetricDataQueries"]) for one in made.cloudwatch.asked] == [1, 1]
        made.clock.advance(s=1)
        await made.reader.read(wanted([ACME], SPAN))
        assert len(made.cloudwatch.asked) == 3


async def test_what_is_long_over_is_kept_longer() -> None:
    last_week = Span(SPAN.first - timedelta(days=7), SPAN.end - timedelta(days=7), 60)
    async with watching() as made:
        await made.reader.read(wanted([ACME], last_week))
        made.clock.advance(s=599)
        await made.reader.read(wanted([ACME], last_week))
        assert len(made.cloudwatch.asked) == 1


async def test_two_who_ask_at_once_share_one_call() -> None:
    async with watching() as made:
        made.cloudwatch.gate = asyncio.Event()
        first = asyncio.create_task(made.reader.read(wanted([ACME], SPAN)))
        second = asyncio.create_task(made.reader.read(wanted([ACME, series_of("zeta")], SPAN)))
        await asyncio.sleep(0)
        made.cloudwatch.gate.set()
        assert (await first).of(ACME, SPAN) == (await second).of(ACME, SPAN)
        assert made.cloudwatch.series_asked == 2


async def test_who_leaves_does_not_take_the_answer_from_who_waits() -> None:
    async with watching() as made:
        made.cloudwatch.gate = asyncio.Event()
        leaves = asyncio.create_task(made.reader.read(wanted([ACME], SPAN)))
        waits = asyncio.create_task(made.reader.read(wanted([ACME], SPAN)))
        await asyncio.sleep(0)
        leaves.cancel()
        made.cloudwatch.gate.set()
        assert not (await waits).of(ACME, SPAN).unknown
        assert len(made.cloudwatch.asked) == 1


async def test_an_answer_in_pages_is_put_together() -> None:
    async with watching() as made:
        made.cloudwatch.page_size = 2
        series = [series_of(f"t{at}") for at in range(5)]
        figures = await made.reader.read(wanted(series, SPAN))
        assert len(made.cloudwatch.asked) == 3
        assert all(len(figures.of(one, SPAN).values) == 60 for one in series)
        assert made.reader.metrics_requested == 15


async def test_an_answer_that_is_not_complete_says_so_and_is_asked_again() -> None:
    slow = read(TIME_TO_FIRST_TOKEN, "p99", tenant_id="acme").series({})
    async with watching() as made:
        made.cloudwatch.flaws["time_to_first_token"] = "PartialData"
        figures = await made.reader.read(wanted([ACME, slow], SPAN))
        assert figures.of(slow, SPAN).incomplete == "PartialData"
        assert not figures.of(ACME, SPAN).incomplete
        made.cloudwatch.flaws.clear()
        figures = await made.reader.read(wanted([ACME, slow], SPAN))
        assert not figures.of(slow, SPAN).incomplete
        assert made.cloudwatch.series_asked == 3


async def test_a_missing_datapoint_is_not_a_zero() -> None:
    async with watching() as made:
        made.cloudwatch.values = lambda _n, _d, _s, times: [None, *[1.0] * (len(times) - 1)]
        found = (await made.reader.read(wanted([ACME], SPAN))).of(ACME, SPAN)
        assert SPAN.first not in found.values
        assert len(found.values) == 59


async def test_when_cloudwatch_fails_the_last_good_answer_is_shown_with_its_age() -> None:
    async with watching() as made:
        await made.reader.read(wanted([ACME], SPAN))
        made.clock.advance(s=120)
        made.cloudwatch.failing = DENIED
        moved_on = Span(SPAN.first + timedelta(minutes=2), SPAN.end + timedelta(minutes=2), 60)
        figures = await made.reader.read(wanted([ACME], moved_on))
        assert len(figures.of(ACME, moved_on).values) == 60
        assert figures.stale_since == NOW
        assert figures.failed == "Throttling"


async def test_what_was_never_read_is_unknown_and_not_nothing() -> None:
    async with watching() as made:
        made.cloudwatch.failing = DENIED
        figures = await made.reader.read(wanted([ACME], SPAN))
        assert figures.of(ACME, SPAN).unknown
        assert figures.nothing_read
        assert figures.stale_since is None


async def test_an_answer_that_is_too_old_is_not_shown() -> None:
    async with watching() as made:
        await made.reader.read(wanted([ACME], SPAN))
        made.clock.advance(s=3_601)
        made.cloudwatch.failing = DENIED
        moved_on = Span(SPAN.first + timedelta(hours=1), SPAN.end + timedelta(hours=1), 60)
        assert (await made.reader.read(wanted([ACME], moved_on))).of(ACME, moved_on).unknown


async def test_a_call_that_takes_too_long_is_given_up() -> None:
    async with watching(within_s=0.01) as made:
        made.cloudwatch.gate = asyncio.Event()
        figures = await made.reader.read(wanted([ACME], SPAN))
        assert figures.failed == "TimeoutError"


async def test_what_is_kept_is_bounded_and_the_oldest_goes() -> None:
    async with watching(most_kept=150) as made:
        await made.reader.read(wanted([ACME], SPAN))
        await made.reader.read(wanted([series_of("b")], SPAN))
        await made.reader.read(wanted([series_of("c")], SPAN))
        await made.reader.read(wanted([series_of("c")], SPAN))
        assert len(made.cloudwatch.asked) == 3
        await made.reader.read(wanted([ACME], SPAN))
        assert len(made.cloudwatch.asked) == 4


async def test_calls_are_counted_for_who_asks_first() -> None:
    async with watching() as made:
        with counted(AwsCalls()) as calls:
            await made.reader.read(wanted([ACME], SPAN))
        with counted(AwsCalls()) as cached:
            await made.reader.read(wanted([ACME], SPAN))
        assert (calls.count, cached.count) == (1, 0)


async def test_ending_ends_what_is_under_way() -> None:
    made = Watched()
    made.cloudwatch.gate = asyncio.Event()
    async with made.reader:
        reading = asyncio.create_task(made.reader.read(wanted([ACME], SPAN)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (await reading).of(ACME, SPAN).unknown


def test_a_whole_span_is_one_period() -> None:
    whole = Span.whole(NOW - timedelta(hours=3), NOW)
    assert whole.period_s == 10_800
    assert Wanted(ACME, whole) != Wanted(ACME, SPAN)


@pytest.mark.parametrize(
    ("values", "incomplete"), [({}, ""), ({NOW: 1.0, SPAN.first: 2.0}, ""), ({NOW: 1.0}, "x")]
)
def test_a_whole_value_is_known_only_where_it_is_surely_the_whole(values: Any, incomplete: str) -> None:
    assert Found(values, NOW, incomplete).only is None
