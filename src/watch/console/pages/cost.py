"""Cost: of everybody by tenant and day, and of one tenant by model, charge and day, a month at a time."""

import asyncio
import re
from datetime import datetime, timedelta

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from llmplatform.aws.cost_reader import CostsUnavailable
from llmplatform.bills import bill_rows, period_end, period_start
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.errors import MalformedRequest
from llmplatform.spending import Overview, Span, hours_told, owner_costs
from watch.console import cost_tables
from watch.console.faults import CannotBeRead
from watch.console.overview import budgets as budget_gauges
from watch.console.pages.asking import SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.traffic import budget_state
from watch.console.viewer import NotThere

_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])", re.ASCII)
_DAY = timedelta(days=1)
_WITHIN_S = 10.0
_MONTHS_BACK = 12
_MOST_DAYS = 3
"""Days of which it is looked up who lacks a price or a count: each is the lines of all tenants."""
_OURS = (UNUSED, PLATFORM)


def routes(parts: ConsoleParts) -> APIRouter:
    """`/cost` and `/cost/{owner}`."""
    router = APIRouter()

    @router.get("/cost")
    async def everybody(request: Request, viewer: SignedIn) -> Response:
        if viewer.tenant_id is not None:
            return RedirectResponse(f"/cost/{viewer.tenant_id}?{request.url.query}")
        now = parts.clock.now()
        span, policies = _span(request, now), parts.policies.policies()
        # What a budget was used is the job's to say: it takes the lines of all of today to work out.
        used = {
            str(policy.tenant_id): gauge
            for policy in policies
            if span.today is not None and (gauge := budget_gauges(policy, now).get("budget")) is not None
        }
        try:
            async with asyncio.timeout(_WITHIN_S):
                figures, statuses = await asyncio.gather(
                    parts.metrics.read(want for gauge in used.values() for want in gauge.wants()),
                    parts.costs.statuses(span.first, span.last),
                )
                days = sorted(cost_tables.days_that_lack(statuses), reverse=True)
                lines = [
                    line
                    for day in days[:_MOST_DAYS]
                    async for _, _, of_owner in parts.costs.all_lines(day, day, statuses)
                    for line in of_owner
                ]
        except (CostsUnavailable, TimeoutError) as failure:
            raise CannotBeRead("the costs") from failure
        budgets = {str(policy.tenant_id): policy.daily_budget_usd for policy in policies}
        found = Overview(span, owner_costs(span, budgets, statuses, lines), hours_told(span, statuses))
        table = cost_tables.owners_table(
            found,
            {
                tenant: gauge.cell(figures, budget_state(gauge.value(figures), parts.limits))
                for tenant, gauge in used.items()
            },
            looked_at=None if len(days) <= _MOST_DAYS else _MOST_DAYS,
        ).sorted_as(request.query_params)
        chart = cost_tables.days_chart(span, statuses, [owner.owner for owner in found.owners])
        if (file := as_csv(request, table, chart)) is not None:
            return file
        return page(
            request,
            "cost.html",
            viewer=viewer,
            title=f"Cost of {span.name}",
            hours=found.hours,
            tables=[table],
            chart=chart,
            months=_months(parts.clock.now()),
            month=span.name,
            owner=None,
        )

    @router.get("/cost/{owner}")
    async def one_owner(request: Request, viewer: SignedIn, owner: str) -> Response:
        if owner in _OURS:
            viewer.check_sees_all()
        else:
            viewer.check_sees(owner)
        span = _span(request, parts.clock.now())
        try:
            async with asyncio.timeout(_WITHIN_S):
                statuses = await parts.costs.statuses(span.first, span.last)
                lines = await parts.costs.lines(owner, span.first, span.last, statuses)
        except (CostsUnavailable, TimeoutError) as failure:
            raise CannotBeRead("the costs") from failure
        known = {str(policy.tenant_id) for policy in parts.policies.policies()}
        if not lines and owner not in known and owner not in _OURS:
            raise NotThere("tenant")
        rows = bill_rows(lines, statuses, "day")
        hours = cost_tables.hours_of_owner(hours_told(span, statuses), lines)
        table = cost_tables.charges_table(rows, cost_tables.hours_told(hours)).sorted_as(request.query_params)
        chart = cost_tables.days_chart(span, statuses, [owner])
        if (file := as_csv(request, table, chart, cost_tables.bill_table(rows))) is not None:
            return file
        return page(
            request,
            "cost.html",
            viewer=viewer,
            title=f"Cost of {owner}, {span.name}",
            hours=hours,
            tables=[table],
            chart=chart,
            months=_months(parts.clock.now()),
            month=span.name,
            owner=owner,
        )

    return router


def _span(request: Request, now: datetime) -> Span:
    """The month that is asked for, by default the running one. Raises MalformedRequest."""
    month = request.query_params.get("month") or f"{now:%Y-%m}"
    if _MONTH.fullmatch(month) is None or period_start(month) > now:
        raise MalformedRequest("month: must be a month that has begun, such as 2026-11", param="month")
    return Span(month, period_start(month).date(), period_end(month).date() - _DAY, now)


def _months(now: datetime) -> list[str]:
    """The running month and those before it, newest first."""
    months = [f"{now:%Y-%m}"]
    while len(months) < _MONTHS_BACK:
        months.append(f"{period_start(months[-1]) - _DAY:%Y-%m}")
    return months
