"""The judge's budget on a real table: shared, exact, soft, and no obstacle when it cannot be read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from evalworker.judging.budget import Budget
from evalworker.judging.judge import Bill
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import EVAL_SPEND
from llmplatform.testing import FakeClock
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision

CENT = Bill(calls=1, cost_usd=Decimal("0.01"), known_usd=Decimal("0.01"))
LIMIT = Decimal("0.05")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as running:
        await provision(sandbox_session(), endpoint_url=running.url)
        yield running


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """A tenant of the test's own: the table outlives it."""
    name: str = request.node.name
    return name.replace("_", "-")[:48]


@asynccontextmanager
async def workers(url: str, clock: FakeClock, count: int = 1) -> AsyncIterator[list[Budget]]:
    """Budgets of several workers, each over connections of its own."""
    async with SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=clock,
        connections=4,
        timeout_s=60.0,
    ) as http:
        yield [Budget(DynamoDb(http), clock) for _ in range(count)]


async def row(aws: Emulator, tenant: str, date: str) -> dict[str, Any]:
    async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
        key = {"tenant_id": {"S": tenant}, "date": {"S": date}}
        found = await dynamodb.get_item(TableName=EVAL_SPEND.name, Key=key)
    return dict(found.get("Item", {}))


async def test_without_a_limit_nobody_is_asked(tenant: str) -> None:
    async with workers("http://127.0.0.1:1", FakeClock()) as [budget]:
        assert await budget.allows(tenant, None)
        assert budget.failed_looks == 0


async def test_a_tenant_may_spend_up_to_its_limit_and_begins_anew_the_next_day(
    aws: Emulator, tenant: str
) -> None:
    clock = FakeClock()
    async with workers(aws.url, clock) as [budget]:
        for _ in range(5):
            assert await budget.allows(tenant, LIMIT)
            budget.spent(tenant, CENT)
        assert not await budget.allows(tenant, LIMIT)
        assert await budget.allows(tenant, Decimal("0.06"))
        await budget.flush()
        assert not await budget.allows(tenant, LIMIT)
        clock.advance(s=60)  # past midnight
        assert await budget.allows(tenant, LIMIT)


async def test_a_budget_of_nothing_allows_nothing(aws: Emulator, tenant: str) -> None:
    async with workers(aws.url, FakeClock()) as [budget]:
        assert not await budget.allows(tenant, Decimal(0))


async def test_workers_share_one_budget(aws: Emulator, tenant: str) -> None:
    clock = FakeClock()
    async with workers(aws.url, clock, count=3) as budgets:
        for budget in budgets:
            assert await budget.allows(tenant, LIMIT)
            budget.spent(tenant, CENT)
            budget.spent(tenant, CENT)
        assert all([await budget.allows(tenant, LIMIT) for budget in budgets])  # each knows its own two cents
        clock.advance(s=10)
        await budgets[0].allows(tenant, LIMIT)  # each writes its own with its look
        await budgets[1].allows(tenant, LIMIT)
        assert not await budgets[2].allows(tenant, LIMIT)
        clock.advance(s=10)
        assert not any([await budget.allows(tenant, LIMIT) for budget in budgets])


async def test_what_is_written_is_exact_and_is_written_once(aws: Emulator, tenant: str) -> None:
    clock = FakeClock()
    tiny = Bill(calls=2, cost_usd=Decimal("0.0000011"), known_usd=Decimal("0.0000011"))
    unknown = Bill(calls=1, cost_usd=None, known_usd=Decimal("0.0000007"))
    async with workers(aws.url, clock) as [budget]:
        for _ in range(1_000):
            budget.spent(tenant, tiny)
        budget.spent(tenant, unknown)
        budget.spent(tenant, Bill())
        await budget.flush()
        await budget.flush()
    found = await row(aws, tenant, "2026-01-31")
    assert Decimal(found["spent_usd"]["N"]) == Decimal("0.0011007")
    assert found["judge_calls"]["N"] == "2001"
    assert found["unpriced"]["N"] == "1"
    assert int(found["expires_at"]["N"]) == int(clock.now().timestamp()) + 90 * 86_400


async def test_yesterdays_spending_is_written_to_yesterday(aws: Emulator, tenant: str) -> None:
    clock = FakeClock()
    async with workers(aws.url, clock) as [budget]:
        budget.spent(tenant, CENT)
        clock.advance(s=60)
        budget.spent(tenant, CENT)
        budget.spent(tenant, CENT)
        await budget.flush()
    assert (await row(aws, tenant, "2026-01-31"))["spent_usd"]["N"] == "0.01"
    assert (await row(aws, tenant, "2026-02-01"))["spent_usd"]["N"] == "0.02"


async def test_while_the_counter_cannot_be_reached_a_worker_goes_by_what_it_spent(
    tmp_path: Path, tenant: str
) -> None:
    clock = FakeClock()
    aws = Emulator(tmp_path)
    try:
        await aws.start()
        await provision(sandbox_session(), endpoint_url=aws.url)
        await aws.kill()
        async with workers(aws.url, clock) as [budget]:
            for _ in range(5):
                assert await budget.allows(tenant, LIMIT)
                budget.spent(tenant, CENT)
            assert not await budget.allows(tenant, LIMIT)
            assert budget.failed_looks == 1  # and not one a candidate
            await aws.start()
            await provision(sandbox_session(), endpoint_url=aws.url)
            await budget.flush()
        assert (await row(aws, tenant, "2026-01-31"))["spent_usd"]["N"] == "0.05"
    finally:
        await aws.stop()
