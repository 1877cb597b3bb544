"""Costs as pages read them: how far each hour is, kept for half a minute and shared by whoever looks.

A month of hours with the amounts of fifty owners takes a second to read and changes once an hour. Lines are
read as they are asked for.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import date
from typing import Final

from llmplatform.aws.cost_reader import CostReader, Statuses
from llmplatform.clock import Clock
from llmplatform.costs import CostLine

KEEP_S: Final = 30.0
_MOST_KEPT: Final = 24
"""Months."""

_Days = tuple[date, date]


class Costs:
    """The table of costs behind a reader. All reads raise CostsUnavailable."""

    def __init__(self, reader: CostReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._kept: OrderedDict[_Days, tuple[int, asyncio.Task[Statuses]]] = OrderedDict()

    async def statuses(self, first: date, last: date) -> Statuses:
        """The statuses of all hours of these days: a copy, which reading lines may change."""
        days, now_ns = (first, last), self._clock.monotonic_ns()
        asked_ns, task = self._kept.get(days, (0, None))
        if task is None or _is_no_answer(task) or now_ns - asked_ns > KEEP_S * 1e9:
            task = asyncio.ensure_future(self._reader.statuses(first, last))
            self._kept[days] = (now_ns, task)
            self._kept.move_to_end(days)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return dict(await asyncio.shield(task))

    async def lines(self, owner: str, first: date, last: date, statuses: Statuses) -> list[CostLine]:
        """An owner's lines that count; brings `statuses` up to date."""
        return await self._reader.lines(owner, first, last, statuses)

    def all_lines(
        self, first: date, last: date, statuses: Statuses
    ) -> AsyncIterator[tuple[str, date, list[CostLine]]]:
        """The lines of every owner that has some, a day after the other."""
        return self._reader.all_lines(first, last, statuses)


def _is_no_answer(task: "asyncio.Task[Statuses]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
