"""Pages read from the table of costs: of one owner, of all, and of the hours.

A page reads from its position on, a month of one owner after the other, until it is full; totals, which need
all of it, are on the first page. Readings are bounded in number and in time, so that nothing that is asked
takes the process down.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from itertools import groupby
from typing import Final

from costagg.api.callers import Caller
from costagg.api.page import AFTER_OWNER, Page, page_of
from costagg.api.query import CostQuery, HoursParameters
from costagg.api.table import (
    HOURS_COLUMNS,
    Position,
    Row,
    Totals,
    all_closed,
    cost_columns,
    cost_rows,
    hours_rows,
    totals_of_hours,
)
from llmplatform.aws.cost_reader import CostReader, Statuses
from llmplatform.bills import bill_rows, period_end, period_of
from llmplatform.clock import Clock
from llmplatform.costs import CostLine
from llmplatform.errors import TelemetryFault

READINGS_AT_ONCE: Final = 4
OF_A_CALLER_AT_ONCE: Final = 2
"""Who asks for much waits for itself: the others' turn comes all the same."""
ANSWER_WITHIN_S: Final = 25.0
"""API Gateway gives up after 29 s."""
FULL_AFTER_S: Final = 8.0
"""A page of many owners ends here though it has room, and the next one goes on."""


class TooMuchToRead(TelemetryFault):
    """What was asked for could not be read in time."""

    code = "too_much_to_read"


class Costs:
    """What is known of costs, behind a reader of the table."""

    def __init__(self, reader: CostReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._turns = asyncio.Semaphore(READINGS_AT_ONCE)
        self._of_caller: defaultdict[Caller, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(OF_A_CALLER_AT_ONCE)
        )

    async def of_owner(
        self, caller: Caller, owner: str, query: CostQuery, *, after: Position, limit: int
    ) -> Page:
        """A page of one owner's rows; the first one with the totals of all of them."""
        async with self._turn(caller):
            statuses = await self._reader.statuses(query.first, query.last)
            totals, found = Totals(), list[Row]()
            async for lines in self._lines(owner, query, statuses, after):
                totals.add(lines)
                found += await asyncio.to_thread(_rows, lines, statuses, query, after, limit - len(found))
                if after and len(found) > limit:
                    break
            closed = all_closed(query.first, query.end, statuses)
            told = None if after else totals.told(closed=closed)
            return page_of(cost_columns(query.group_by), found, limit=limit, totals=told)

    async def of_all(self, caller: Caller, query: CostQuery, *, after: Position, limit: int) -> Page:
        """A page of all owners' rows, an owner after the other.

        The first one has totals, where all lines are asked for: what the statuses of the hours say.
        """
        started_ns = self._clock.monotonic_ns()
        async with self._turn(caller):
            statuses = await self._reader.statuses(query.first, query.last)
            owners = sorted({owner for status in statuses.values() for owner in status.owners})
            left = [owner for owner in owners if (owner, AFTER_OWNER) > after]
            found: list[Row] = []
            full_at: Position | None = None
            for owner in left:
                async for lines in self._lines(owner, query, statuses, after):
                    found += await asyncio.to_thread(_rows, lines, statuses, query, after, limit - len(found))
                    if len(found) > limit:
                        break
                spent_s = (self._clock.monotonic_ns() - started_ns) / 1e9
                if len(found) > limit:
                    break
                if owner != left[-1] and (len(found) == limit or spent_s > FULL_AFTER_S):
                    full_at = (owner, AFTER_OWNER)
                    break
            told = None
            if not after and not query.filtered:
                closed = all_closed(query.first, query.end, statuses)
                told = totals_of_hours(statuses.values(), closed=closed)
            page = page_of(cost_columns(query.group_by), found, limit=limit, totals=told)
            return page if full_at is None else replace(page, ends_at=full_at)

    async def of_hours(self, caller: Caller, asked: HoursParameters, *, after: Position) -> Page:
        """A page of how far each period is; the first one with the totals of all of them."""
        async with self._turn(caller):
            query = CostQuery(asked.first, asked.end, asked.granularity)
            statuses = await self._reader.statuses(query.first, query.last)
            rows = hours_rows(
                statuses,
                first=asked.first,
                end=asked.end,
                granularity=asked.granularity,
                now=self._clock.now(),
            )
            closed = all_closed(asked.first, asked.end, statuses)
            told = None if after else totals_of_hours(statuses.values(), closed=closed)
            rest = [row for row in rows if row.position > after]
            return page_of(HOURS_COLUMNS, rest, limit=asked.limit, totals=told)

    async def _lines(
        self, owner: str, query: CostQuery, statuses: Statuses, after: Position
    ) -> AsyncIterator[list[CostLine]]:
        """An owner's lines, a month after the other from the position's on: no more is held at once."""
        for first, last in _months(query.first, query.last):
            if (owner, f"{first:%Y-%m}") >= (*after[:1], *(period[:7] for period in after[1:2])):
                lines = await self._reader.lines(owner, first, last, statuses)
                yield [line for line in lines if query.chooses(line)]

    @asynccontextmanager
    async def _turn(self, caller: Caller) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), self._of_caller[caller], self._turns:
                yield
        except TimeoutError as error:
            raise TooMuchToRead("not read in time; ask for a shorter range, or again later") from error


def _rows(
    lines: list[CostLine], statuses: Statuses, query: CostQuery, after: Position, room: int
) -> list[Row]:
    """Rows after a position; more than there is room for where there are, but not all."""
    rows: list[Row] = []
    for period, of_period in groupby(lines, lambda line: period_of(line.hour, query.granularity)):
        if len(rows) > room:
            break
        if (lines[0].tenant_id, period) >= after[:2]:
            bill = bill_rows(of_period, statuses, query.granularity)
            rows += (row for row in cost_rows(bill, query.group_by) if row.position > after)
    return rows


def _months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The range cut at the ends of months: first and last day of each part."""
    while first <= last:
        next_month = period_end(f"{first:%Y-%m}").date()
        yield first, min(last, next_month - timedelta(days=1))
        first = next_month
