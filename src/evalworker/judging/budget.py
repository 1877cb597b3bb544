"""What judging may cost: a tenant's dollars a UTC day, shared by all workers through one counter in DynamoDB.

A soft stop. Spending is added up here and written now and then, and the answer to the write is the sum of all
workers; so the limit is passed by at most what the workers spend between two looks and have in flight. While
the counter cannot be reached, a worker goes on by what it knows: its last look, and what it spent itself.
A write whose answer was lost is made again and may count twice: a budget then ends early, never late.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import aiohttp

from evalworker.judging.judge import Bill
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.tables import EVAL_SPEND, Table
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault

logger = logging.getLogger(__name__)

REFRESH_S: Final = 10.0
"""How old what is known of the other workers may get, while a tenant is being judged."""

_SECONDS_A_DAY: Final = 86_400


@dataclass(slots=True)
class _Day:
    """One tenant's day as this worker sees it."""

    total_usd: Decimal = Decimal(0)
    """Of all workers, at the last look."""
    unwritten_usd: Decimal = Decimal(0)
    unwritten_calls: int = 0
    unwritten_unpriced: int = 0
    """Candidates about which something was spent that nobody can put a price on."""
    looked_s: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def spent_usd(self) -> Decimal:
        return self.total_usd + self.unwritten_usd

    @property
    def written(self) -> bool:
        return not (self.unwritten_usd or self.unwritten_calls or self.unwritten_unpriced)


class Budget:
    """The judge's spending by tenant and day."""

    def __init__(
        self,
        dynamodb: DynamoDb,
        clock: Clock,
        *,
        table: Table = EVAL_SPEND,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._dynamodb = dynamodb
        self._clock = clock
        self._table = table
        self._refresh_s = refresh_s
        self._days: dict[tuple[str, str], _Day] = {}
        self.failed_looks = 0
        """Times that the counter could not be read or written."""

    async def allows(self, tenant_id: str, limit_usd: Decimal | None) -> bool:
        """Whether a tenant may be judged once more today. No limit asks nothing of anybody."""
        if limit_usd is None:
            return True
        date = self._today()
        day = self._day(tenant_id, date)
        if self._is_old(day):
            async with day.lock:
                if self._is_old(day):
                    await self._look(tenant_id, date, day)
        return day.spent_usd < limit_usd

    def spent(self, tenant_id: str, bill: Bill) -> None:
        """Take in what one candidate took, whatever came of it."""
        if bill.calls:
            day = self._day(tenant_id, self._today())
            day.unwritten_usd += bill.known_usd
            day.unwritten_calls += bill.calls
            day.unwritten_unpriced += bill.cost_usd is None

    async def flush(self) -> None:
        """Write what is not written yet and forget the days before: now and then, and at the end."""
        await asyncio.gather(*(self._flush(*key, day) for key, day in list(self._days.items())))

    async def _flush(self, tenant_id: str, date: str, day: _Day) -> None:
        async with day.lock:
            if not day.written:
                await self._look(tenant_id, date, day)
        if date != self._today() and day.written:
            self._days.pop((tenant_id, date), None)

    def _today(self) -> str:
        return f"{self._clock.now():%Y-%m-%d}"

    def _day(self, tenant_id: str, date: str) -> _Day:
        day = self._days.get((tenant_id, date))
        if day is None:
            day = self._days[tenant_id, date] = _Day()
        return day

    def _is_old(self, day: _Day) -> bool:
        return day.looked_s is None or self._now_s() - day.looked_s >= self._refresh_s

    async def _look(self, tenant_id: str, date: str, day: _Day) -> None:
        """Add what was spent here, and learn what was spent everywhere."""
        usd, calls, unpriced = day.unwritten_usd, day.unwritten_calls, day.unwritten_unpriced
        try:
            answer = await self._dynamodb.call(
                "UpdateItem", self._update(tenant_id, date, usd, calls, unpriced)
            )
            total = Decimal(answer["Attributes"]["spent_usd"]["N"])
        except (
            TelemetryFault,
            aiohttp.ClientError,
            OSError,
            TimeoutError,
            ArithmeticError,
            LookupError,
        ) as error:
            self.failed_looks += 1
            logger.warning("the judge's budget is not shared for now", extra={"error": type(error).__name__})
        else:
            day.total_usd = total
            day.unwritten_usd -= usd
            day.unwritten_calls -= calls
            day.unwritten_unpriced -= unpriced
        day.looked_s = self._now_s()

    def _update(self, tenant_id: str, date: str, usd: Decimal, calls: int, unpriced: int) -> dict[str, Any]:
        ends_s = int(self._clock.now().timestamp()) + self._table.retention_days * _SECONDS_A_DAY
        return {
            "TableName": self._table.name,
            "Key": {
                self._table.partition_key.name: {"S": tenant_id},
                self._table.sort_key.name: {"S": date},
            },
            "UpdateExpression": "SET #ttl = :ttl ADD spent_usd :usd, judge_calls :calls, unpriced :unpriced",
            "ExpressionAttributeNames": {"#ttl": self._table.ttl_attribute},
            "ExpressionAttributeValues": {
                ":ttl": {"N": str(ends_s)},
                ":usd": {"N": f"{usd:f}"},
                ":calls": {"N": str(calls)},
                ":unpriced": {"N": str(unpriced)},
            },
            "ReturnValues": "ALL_NEW",
        }

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
