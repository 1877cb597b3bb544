"""Cost lines read from a real table: whole runs only, whatever the job does meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zlib import crc32

import pytest
import pytest_asyncio

from harness.cost_lines import HOUR, INPUT, INSTANCE, CostTable, cost_table, status_of, used
from llmplatform.aws.cost_reader import READS_OF_A_DAY, CostReader, CostsUnavailable
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import TENANT_COST
from llmplatform.bills import bill_rows, total_usd
from llmplatform.clock import SystemClock
from llmplatform.costs import UNUSED, CostLine, beginning_key
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = HOUR.date()
OUTPUT = used(replace(INPUT, charge_class="output"), "10")
IDLE = used(replace(INSTANCE, tenant_id=UNUSED, model_id=None), "0.5")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as running:
        await provision(sandbox_session(), endpoint_url=running.url)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def table(aws: Emulator) -> AsyncIterator[CostTable]:
    async with cost_table(aws.url) as opened:
        yield opened


@pytest.fixture
def day(request: pytest.FixtureRequest) -> date:
    """A day of the test's own: the table outlives it."""
    return DAY - timedelta(days=7 * (1 + crc32(request.node.name.encode()) % 10_000))


def on(line: CostLine, day: date, hour: int = 20, **fields: Any) -> CostLine:
    return replace(line, hour=HOUR + (day - DAY) + timedelta(hours=hour - HOUR.hour), **fields)


class Meddling(DynamoDb):
    """The client, with something that happens right after an owner's lines were read."""

    def __init__(self, http: SignedHttp, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__(http)
        self._then = then
        self.reads = 0

    async def call(self, operation: str, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        answer = await super().call(operation, request)
        assert isinstance(request, Mapping)
        if operation == "Query" and not _of_statuses(request):
            self.reads += 1
            await self._then()
        return answer


def _of_statuses(query: Mapping[str, Any]) -> bool:
    day: str = query["ExpressionAttributeValues"][":day"]["S"]
    return day.startswith("_status#")


def http_to(url: str) -> SignedHttp:
    return SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=16,
        timeout_s=60.0,
    )


async def test_lines_come_back_as_they_were_written(table: CostTable, day: date) -> None:
    lines = [on(INPUT, day, 3), on(OUTPUT, day, 3), on(INPUT, day, 20)]
    await table.put(*lines, on(IDLE, day))
    statuses = await table.reader.statuses(day, day)
    assert [status.hour.hour for status in statuses.values()] == [3, 20]
    assert await table.reader.lines("acme", day, day, statuses) == lines
    assert await table.reader.lines("nobody", day, day, statuses) == []


async def test_days_are_read_from_the_first_to_the_last_in_order(table: CostTable, day: date) -> None:
    later = day + timedelta(days=3)
    lines = [on(INPUT, day), on(INPUT, later)]
    await table.put(*lines)
    statuses = await table.reader.statuses(day, later)
    assert await table.reader.lines("acme", day, later, statuses) == lines
    assert await table.reader.lines("acme", day, later - timedelta(days=1), statuses) == lines[:1]


async def test_all_owners_come_a_day_after_the_other(table: CostTable, day: date) -> None:
    later = day + timedelta(days=1)
    await table.put(on(INPUT, day), on(IDLE, day), on(INPUT, later, tenant_id="globex"))
    statuses = await table.reader.statuses(day, later)
    found = [(owner, at) async for owner, at, _ in table.reader.all_lines(day, later, statuses)]
    assert found == [(UNUSED, day), ("acme", day), ("globex", later)]


async def test_many_lines_are_read_page_by_page(table: CostTable, day: date) -> None:
    """A page holds a megabyte; a day of 2,000 lines is more."""
    lines = [on(INPUT, day, 20, model_id=f"{number:04d}{'m' * 400}") for number in range(2_000)]
    await table.put(*lines)
    statuses = await table.reader.statuses(day, day)
    assert len(await table.reader.lines("acme", day, day, statuses)) == len(lines)


async def test_lines_of_a_run_that_was_never_published_are_not_shown(table: CostTable, day: date) -> None:
    claim = await table.store.claim(on(INPUT, day).hour)
    await table.store.write(claim, [on(INPUT, day)])
    statuses = await table.reader.statuses(day, day)
    assert await table.reader.lines("acme", day, day, statuses) == []


async def test_a_rerun_takes_the_place_of_the_run_before(table: CostTable, day: date) -> None:
    await table.put(on(INPUT, day), on(OUTPUT, day))
    await table.put(on(INPUT, day, quantity=Decimal(7), amount_usd=Decimal("0.000007")))
    statuses = await table.reader.statuses(day, day)
    (line,) = await table.reader.lines("acme", day, day, statuses)
    assert line.quantity == Decimal(7)


async def test_a_run_that_is_published_while_reading_is_read_whole(
    aws: Emulator, table: CostTable, day: date
) -> None:
    """The first read has the old input and the old output; the run after it has the new input alone."""
    await table.put(on(INPUT, day), on(OUTPUT, day))
    new = on(INPUT, day, quantity=Decimal(7), amount_usd=Decimal("0.000007"))
    published = False

    async def rerun() -> None:
        nonlocal published
        if not published:
            published = True
            await table.put(new)

    async with http_to(aws.url) as http:
        dynamodb = Meddling(http, rerun)
        reader = CostReader(dynamodb)
        statuses = await reader.statuses(day, day)
        lines = await reader.lines("acme", day, day, statuses)
    assert lines == [new]
    assert dynamodb.reads == 2
    assert statuses[new.hour].run == 2


async def test_a_run_that_begins_while_reading_leaves_the_hour_open(
    aws: Emulator, table: CostTable, day: date
) -> None:
    await table.put(on(INPUT, day))

    async def begin() -> None:
        await table.store.claim(on(INPUT, day).hour)

    async with http_to(aws.url) as http:
        reader = CostReader(Meddling(http, begin))
        statuses = await reader.statuses(day, day)
        assert statuses[on(INPUT, day).hour].closed
        lines = await reader.lines("acme", day, day, statuses)
    assert lines == [on(INPUT, day)]
    assert not statuses[on(INPUT, day).hour].closed


async def test_a_day_in_which_runs_never_end_is_read_a_few_times_and_told_as_open(
    aws: Emulator, table: CostTable, day: date
) -> None:
    await table.put(on(INPUT, day))

    async def rerun() -> None:
        await table.put(on(INPUT, day))

    async with http_to(aws.url) as http:
        dynamodb = Meddling(http, rerun)
        reader = CostReader(dynamodb)
        statuses = await reader.statuses(day, day)
        await reader.lines("acme", day, day, statuses)
    assert dynamodb.reads == READS_OF_A_DAY
    assert not statuses[on(INPUT, day).hour].closed


async def test_owners_of_a_day_are_of_the_same_runs(aws: Emulator, table: CostTable, day: date) -> None:
    """What moves from one owner to another between two reads is neither lost nor there twice."""
    mine = on(INPUT, day)
    await table.put(mine)
    moved = False

    async def move() -> None:
        nonlocal moved
        if not moved:
            moved = True
            await table.put(replace(mine, tenant_id="globex"))

    async with http_to(aws.url) as http:
        reader = CostReader(Meddling(http, move))
        statuses = await reader.statuses(day, day)
        found = [line async for _, _, lines in reader.all_lines(day, day, statuses) for line in lines]
    assert [line.tenant_id for line in found] == ["globex"]
    assert total_usd(bill_rows(found, statuses, "day")) == mine.amount_usd


async def test_a_table_that_does_not_answer_is_said_to_be_unavailable() -> None:
    async with cost_table("http://127.0.0.1:1") as nothing:
        with pytest.raises(CostsUnavailable, match="cannot be read"):
            await nothing.reader.statuses(DAY, DAY)
        with pytest.raises(CostsUnavailable):
            await nothing.reader.lines("acme", DAY, DAY, {HOUR: status_of([INPUT])})


async def test_hours_before_the_platform_began_are_closed_and_have_no_lines(aws: Emulator, day: date) -> None:
    async with http_to(aws.url) as http:
        dynamodb = DynamoDb(http)
        reader = CostReader(dynamodb)
        assert await reader.statuses(day, day) == {}
        began = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
        item = beginning_key() | {"hour": {"S": began.isoformat()}}
        await dynamodb.call("PutItem", {"TableName": TENANT_COST.name, "Item": item})
        try:
            statuses = await reader.statuses(day, day)
            assert list(statuses) == [began - timedelta(hours=back) for back in range(20, 0, -1)]
            assert all(status.closed and not status.run and not status.owners for status in statuses.values())
            assert await reader.lines("acme", day, day, statuses) == []
        finally:
            await dynamodb.call("DeleteItem", {"TableName": TENANT_COST.name, "Key": beginning_key()})
