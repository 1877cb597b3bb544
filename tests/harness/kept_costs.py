"""Costs as a reader of them tells, kept in memory: lines that a test puts in, and a fault that it sets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime

from llmplatform.aws.cost_reader import CostsUnavailable, Statuses
from llmplatform.costs import CostLine, HourStatus, amounts_by_owner


@dataclass
class KeptCosts:
    """What pages ask of `CostReader`."""

    found: list[CostLine] = field(default_factory=list)
    closed: bool = True
    broken: bool = False

    async def statuses(self, first: date, last: date) -> Statuses:
        """The hours that have lines."""
        if self.broken:
            raise CostsUnavailable("not now")
        hours = sorted({line.hour for line in self.found if first <= line.hour.date() <= last})
        return {hour: self._status(hour) for hour in hours}

    async def lines(self, owner: str, first: date, last: date, _: Statuses) -> list[CostLine]:
        """An owner's."""
        return [line for line in self._of(first, last) if line.tenant_id == owner]

    async def all_lines(
        self, first: date, last: date, _: Statuses
    ) -> AsyncIterator[tuple[str, date, list[CostLine]]]:
        """Everybody's."""
        for owner in sorted({line.tenant_id for line in self._of(first, last)}):
            yield owner, first, [line for line in self._of(first, last) if line.tenant_id == owner]

    def _of(self, first: date, last: date) -> list[CostLine]:
        return [line for line in self.found if first <= line.hour.date() <= last]

    def _status(self, hour: datetime) -> HourStatus:
        lines = [line for line in self.found if line.hour == hour]
        return HourStatus(
            hour,
            "closed" if self.closed else "open",
            claimed_run=1,
            run=1,
            computed_at=hour,
            amounts_usd=amounts_by_owner(lines),
            unpriced_lines=sum(line.amount_usd is None for line in lines),
        )
