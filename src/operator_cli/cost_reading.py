"""What `llm-platform cost` tells, read from AWS: statuses of hours, which are few, and lines where needed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from costagg.bootstrap import cost_table
from costagg.settings import EnvironmentSettings
from llmplatform.aws.cost_reader import CostReader, Statuses
from llmplatform.aws.sessions import aws_session
from llmplatform.bills import bill_rows, period_end, period_of, period_start
from llmplatform.clock import Clock, SystemClock
from llmplatform.costs import PLATFORM, UNUSED, CostLine
from llmplatform.spending import Overview, Span, TenantCost, days_with_unknown, hours_told, owner_costs
from llmplatform.tenants import Tenants
from operator_cli.console import CommandFailed
from operator_cli.cost import By, Format
from operator_cli.cost_view import print_overview, print_tenant

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be told."""

    owner: str | None
    month: str | None
    days: int | None
    by: By = "model"

    def span(self, now: datetime) -> Span:
        """The days meant. Raises CommandFailed for a month that has not begun."""
        today = now.date()
        if self.days is not None:
            name = "today" if self.days == 1 else f"the last {self.days} days"
            return Span(name, today - (self.days - 1) * _DAY, today, now)
        month = self.month or f"{now:%Y-%m}"
        if period_start(month) > now:
            raise CommandFailed(f"{month} has not begun")
        return Span(month, period_start(month).date(), period_end(month).date() - _DAY, now)


@dataclass(frozen=True, slots=True)
class Account:
    """One account, through open clients."""

    reader: CostReader
    tenants: Tenants
    clock: Clock


def run_cost(asked: Asked, *, region: str, form: Format) -> None:
    """Print it. Raises CommandFailed where there is no such tenant and never was a cost."""
    if asked.owner is None:
        print_overview(asyncio.run(_overview(asked, region)), form)
    else:
        print_tenant(asyncio.run(_tenant(asked, asked.owner, region)), asked.by, form)


async def _overview(asked: Asked, region: str) -> Overview:
    async with _open_account(region) as account:
        span = asked.span(account.clock.now())
        stored, statuses = await asyncio.gather(
            account.tenants.list(keys=False), account.reader.statuses(span.first, span.last)
        )
        days = days_with_unknown(span, statuses)
        lines = [line async for line in _lines_of(account.reader, days, statuses)]
        budgets = {
            str(one.tenant_id): None if one.policy is None else one.policy.daily_budget_usd for one in stored
        }
        return Overview(span, owner_costs(span, budgets, statuses, lines), hours_told(span, statuses))


async def _tenant(asked: Asked, owner: str, region: str) -> TenantCost:
    async with _open_account(region) as account:
        span = asked.span(account.clock.now())
        statuses = await account.reader.statuses(span.first, span.last)
        lines = await account.reader.lines(owner, span.first, span.last, statuses)
        if not lines and owner not in {UNUSED, PLATFORM}:
            known = {one.tenant_id for one in await account.tenants.list(keys=False)}
            if owner not in known:
                raise CommandFailed(
                    f"there is no tenant {owner}, and none of that name spent anything in {span.name} "
                    "(`llm-platform cost` lists those who did)"
                )
        computed = {period_of(hour, span.granularity) for hour, status in statuses.items() if status.run}
        rows = bill_rows(lines, statuses, span.granularity)
        return TenantCost(owner, span, rows, hours_told(span, statuses), frozenset(computed))


async def _lines_of(reader: CostReader, days: Iterable[date], statuses: Statuses) -> AsyncIterator[CostLine]:
    for day in sorted(days):
        async for _, _, lines in reader.all_lines(day, day, statuses):
            for line in lines:
                yield line


@asynccontextmanager
async def _open_account(region: str) -> AsyncIterator[Account]:
    clock = SystemClock()
    async with (
        cost_table(EnvironmentSettings(aws_region=region)) as (reader, _),
        aws_session(region).client("ssm") as ssm,
    ):
        yield Account(reader, Tenants(ssm, clock), clock)
