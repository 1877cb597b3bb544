"""Cost: of everybody by tenant and day, and of one tenant by model, charge and day, a month at a time."""

import asyncio
import re
from datetime import datetime, timedelta

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from llmplatform.aws.cost_reader import CostsUnavailable
from llmplatform.bills import bill_rows, period_end, period_start
from llmplatform.costs import PLATFORM, UNUSED, CostLine
from llmplatform.errors import MalformedRequest
from llmplatform.spending import Overview, Span, days_with_unknown, hours_told, owner_costs
from watch.console import cost_tables
from watch.console.faults import CannotBeRead
from watch.console.pages.asking import SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.viewer import NotThere

_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])", re.ASCII)
_DAY = timedelta(days=1)
_WITHIN_S = 10.0
_MONTHS_BACK = 12
_OURS = (UNUSED, PLATFORM)


def routes(parts: ConsoleParts) -> APIRouter:
    """`/cost` and `/cost/{owner}`."""
    router = APIRouter()

    @router.get("/cost")
    async def everybody(request: Request, viewer: SignedIn) -> Response:
        if viewer.tenant_id is not None:
            return RedirectResponse(f"/cost/{viewer.tenant_id}?{request.url.query}")
        span = _span(request, parts.clock.now())
        try:
            async with asyncio.timeout(_WITHIN_S):
                statuses = await parts.costs.statuses(span.first, span.last)
                lines: list[CostLine] = []
                for day in sorted(days_with_unknown(span, statuses)):
                    async for _, _, of_owner in parts.costs.all_lines(day, day, statuses):
                        lines += of_owner
        except (CostsUnavailable, TimeoutError) as failure:
            raise CannotBeRead("the costs") from failure
        budgets = {str(policy.tenant_id): policy.daily_budget_usd for policy in parts.policies.policies()}
        found = Overview(span, owner_costs(span, budgets, statuses, lines), hours_told(span, statuses))
        table = cost_tables.owners_table(found).sorted_as(request.query_params)
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
