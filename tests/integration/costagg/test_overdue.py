"""The cost job tells when the month before was not held against AWS's bill."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import pytest
import pytest_asyncio

from costagg.job import Terms
from costagg.reconciliation.store import Kept, ReconciliationStore
from harness.cost_account import Account, _dynamodb
from harness.cuttable import Cuttable
from llmplatform.catalogue import Catalogue
from llmplatform.prices import load_prices
from llmplatform.testing import FakeClock
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import provision
from sandbox.runtime import serve_runtime

pytestmark = pytest.mark.asyncio(loop_scope="module")

IN_OCTOBER: Final = datetime(2026, 10, 15, 12, 5, tzinfo=UTC)
NINTH_OF_NOVEMBER: Final = datetime(2026, 11, 9, 12, 5, tzinfo=UTC)
TERMS: Final = Terms(region="us-east-1", catalogue=Catalogue(models={}, endpoints={}), prices=load_prices())
OCTOBER: Final = (date(2026, 10, 1), date(2026, 10, 31))


@pytest_asyncio.fixture(loop_scope="module", name="account")
async def an_account(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(Emulator(tmp_path_factory.mktemp("state")))
        await provision(sandbox_session(), endpoint_url=aws.url)
        runtime = await stack.enter_async_context(serve_runtime())
        ways = {
            name: await stack.enter_async_context(Cuttable(aws.port))
            for name in ("ledger", "costs", "cloudwatch", "ssm")
        }
        yield Account(aws, runtime, ways)


async def computed(account: Account, now: datetime) -> float | None:
    """Compute the hour before; what is told of the month before."""
    async with account.job(TERMS, FakeClock(now)) as job:
        await job.run(now.replace(hour=now.hour - 1, minute=0))
        return job.figure("reconciliation_overdue_days", component="costagg")


async def keep(account: Account, first: date, last: date) -> None:
    """A reconciliation of some days."""
    zero = Decimal(0)
    row = Kept(
        first=first,
        last=last,
        service="AmazonBedrock",
        tenant_id=None,
        billed_usd=zero,
        usage_usd=zero,
        attributed_usd=zero,
        error_percent=zero,
        gross_error_percent=zero,
        residuals={},
        estimated=False,
        over_limit=False,
        open_hours=0,
        reconciled_at=NINTH_OF_NOVEMBER,
    )
    async with _dynamodb(account.aws.url, FakeClock()) as dynamodb:
        await ReconciliationStore(dynamodb).replace(first, last, [row])


async def test_a_month_with_costs_waits_until_all_of_it_was_reconciled(account: Account) -> None:
    assert await computed(account, IN_OCTOBER) == 0, "September was before the platform began"
    assert await computed(account, NINTH_OF_NOVEMBER) == 3
    await keep(account, date(2026, 10, 1), date(2026, 10, 20))
    assert await computed(account, NINTH_OF_NOVEMBER) == 3, "a part of it is not it"
    await keep(account, *OCTOBER)
    assert await computed(account, NINTH_OF_NOVEMBER) == 0


async def test_a_month_before_the_platform_began_waits_for_nothing(account: Account) -> None:
    assert await computed(account, NINTH_OF_NOVEMBER) == 0
