"""Writing what judging cost: a slow counter delays the end by one call, however many tenants there are."""

import asyncio
from decimal import Decimal
from typing import Any

from evalworker.judging.budget import Budget
from evalworker.judging.judge import Bill
from llmplatform.testing import FakeClock

TENANTS = ("acme", "globex", "initech")


class Counter:
    """Answers nobody before all have asked."""

    def __init__(self) -> None:
        self._all = asyncio.Barrier(len(TENANTS))

    async def call(self, _: str, request: Any) -> dict[str, Any]:
        await self._all.wait()
        return {"Attributes": {"spent_usd": request["ExpressionAttributeValues"][":usd"]}}


async def test_tenants_are_written_side_by_side() -> None:
    budget = Budget(Counter(), FakeClock())  # type: ignore[arg-type]  # by the shape of it
    for tenant in TENANTS:
        budget.spent(tenant, Bill(1, cost_usd=Decimal(1), known_usd=Decimal(1)))
    async with asyncio.timeout(60):
        await budget.flush()
    assert budget.failed_looks == 0
