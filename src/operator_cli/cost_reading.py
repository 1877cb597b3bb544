"""What `llm-platform cost` tells, read from AWS: statuses of hours, which are few, and lines where needed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from costagg.bootstrap import cost_table
from costagg.budgets import percent_used
from costagg.settings import EnvironmentSettings
from llmplatform.aws.cost_reader import CostReader, Statuses
from llmplatform.aws.sessions import aws_session
from llmplatform.bills import bill_rows, exact_sum, period_end, period_of, period_start
from llmplatform.clock import Clock, SystemClock
from llmplatform.costs import INFERENCE_LAYER, PLATFORM, UNUSED, CostLine
from llmplatform.tenants import StoredTenant, Tenants
from operator_cli.console import CommandFailed
from operator_cli.cost import By, Format
from operator_cli.cost_facts import Overview, OwnerCost, Span, TenantCost, hours_told
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
        # The statuses have the amounts. Lines tell who has what is unknown, and what of today is inference.
        days = {hour.date() for hour, of in statuses.items() if of.unpriced_lines or of.uncounted_requests}
        if span.today is not None:
            days.add(span.today)
        lines = [line async for line in _lines_of(account.reader, days, statuses)]
        return Overview(span, _owner_costs(span, stored, statuses, lines), hours_told(span, statuses))


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


def _owner_costs(
    span: Span, stored: Iterable[StoredTenant], statuses: Statuses, lines: Collection[CostLine]
) -> tuple[OwnerCost, ...]:
    """Of every tenant that there is or that spent anything, then of nobody and of the platform."""
    budgets = {
        str(one.tenant_id): None if one.policy is None else one.policy.daily_budget_usd for one in stored
    }
    with_unknown = {line.tenant_id for line in lines if line.amount_usd is None}
    spent = {owner for status in statuses.values() for owner in status.amounts_usd}
    ours = (UNUSED, PLATFORM)
    inference: defaultdict[str, list[Decimal | None]] = defaultdict(list)
    for line in lines:
        if line.layer == INFERENCE_LAYER and line.hour.date() == span.today:
            inference[line.tenant_id].append(line.amount_usd)
    return tuple(
        OwnerCost(
            owner,
            today_usd=None if span.today is None else _amount(statuses, owner, span.today),
            span_usd=_amount(statuses, owner),
            budget_usd=budgets.get(owner),
            budget_used_percent=None
            if span.today is None
            else _percent(inference[owner], budgets.get(owner)),
            has_unknown=owner in with_unknown,
        )
        for owner in (*sorted((budgets.keys() | spent) - set(ours)), *ours)
    )


def _amount(statuses: Statuses, owner: str, day: date | None = None) -> Decimal | None:
    """What is known of an owner's cost; None where it has some and nothing is known of it."""
    return _known(
        [
            status.amounts_usd[owner]
            for hour, status in statuses.items()
            if owner in status.amounts_usd and (day is None or hour.date() == day)
        ]
    )


def _percent(spent: list[Decimal | None], budget: Decimal | None) -> Decimal | None:
    known = _known(spent)
    return None if budget is None or known is None else percent_used(known, budget)


def _known(amounts: list[Decimal | None]) -> Decimal | None:
    return None if amounts and all(amount is None for amount in amounts) else exact_sum(amounts)


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
