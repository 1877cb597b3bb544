"""Pages read from the table of costs: of one owner, of all, and of the hours.

One owner's rows are read whole for each page; of all owners only as many as the page holds. Readings are
bounded in number and in time, so that nothing that is asked takes the process down.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from costagg.api.callers import Caller
from costagg.api.page import AFTER_OWNER, Page, page_of
from costagg.api.query import CostQuery, HoursParameters
from costagg.api.table import (
    HOURS_COLUMNS,
    Position,
    Row,
    all_closed,
    cost_columns,
    cost_rows,
    hours_rows,
    totals_of,
    totals_of_hours,
)
from llmplatform.aws.cost_reader import CostReader
from llmplatform.bills import bill_rows
from llmplatform.clock import Clock
from llmplatform.costs import CostLine, HourStatus
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
        """A page of one owner's rows, with the totals of all of them."""
        async with self._turn(caller):
            statuses = await self._reader.statuses(query.first, query.last)
            lines = _chosen(await self._reader.lines(owner, query.first, query.last, statuses), query)
            rows = await asyncio.to_thread(_rows, lines, statuses, query)
            closed = all_closed(query.first, query.end, statuses)
            totals = totals_of(lines, closed=closed)
            return page_of(cost_columns(query.group_by), rows, after=after, limit=limit, totals=totals)

    async def of_all(self, caller: Caller, query: CostQuery, *, after: Position, limit: int) -> Page:
        """A page of all owners' rows, an owner after the other; totals where all lines are asked for."""
        started_ns = self._clock.monotonic_ns()
        async with self._turn(caller):
            statuses = await self._reader.statuses(query.first, query.last)
            owners = sorted({owner for status in statuses.values() for owner in status.owners})
            left = [owner for owner in owners if (owner, AFTER_OWNER) > after]
            found: list[Row] = []
            full_at: Position | None = None
            for owner in left:
                lines = _chosen(await self._reader.lines(owner, query.first, query.last, statuses), query)
                rows = await asyncio.to_thread(_rows, lines, statuses, query)
                found += (row for row in rows if row.position > after)
                if len(found) > limit:
                    break
                spent_s = (self._clock.monotonic_ns() - started_ns) / 1e9
                if owner != left[-1] and (len(found) == limit or spent_s > FULL_AFTER_S):
                    full_at = (owner, AFTER_OWNER)
                    break
            totals = None
            if not query.filtered:
                closed = all_closed(query.first, query.end, statuses)
                totals = totals_of_hours(statuses.values(), closed=closed)
            page = page_of(cost_columns(query.group_by), found, after=after, limit=limit, totals=totals)
            return page if full_at is None else Page(page.columns, page.rows, full_at, totals)

    async def of_hours(self, caller: Caller, asked: HoursParameters, *, after: Position) -> Page:
        """A page of how far each period is, with the totals of all of them."""
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
            totals = totals_of_hours(statuses.values(), closed=closed)
            return page_of(HOURS_COLUMNS, rows, after=after, limit=asked.limit, totals=totals)

    @asynccontextmanager
    async def _turn(self, caller: Caller) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), self._of_caller[caller], self._turns:
                yield
        except TimeoutError as error:
            raise TooMuchToRead("not read in time; ask for a shorter range, or again later") from error


def _chosen(lines: list[CostLine], query: CostQuery) -> list[CostLine]:
    if not query.filtered:
        return lines
    return [
        line
        for line in lines
        if query.model_id in {None, line.model_id} and query.endpoint_type in {None, line.endpoint_type}
    ]


def _rows(lines: list[CostLine], statuses: Mapping[datetime, HourStatus], query: CostQuery) -> list[Row]:
    return cost_rows(bill_rows(lines, statuses, query.granularity), query.group_by)
