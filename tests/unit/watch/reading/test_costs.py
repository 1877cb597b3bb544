"""Costs as pages share them."""

from datetime import date
from typing import Any

import pytest

from harness.cost_lines import INPUT
from harness.kept_costs import KeptCosts
from llmplatform.aws.cost_reader import CostsUnavailable
from llmplatform.testing import FakeClock
from watch.reading.costs import KEEP_S, Costs

DAY = INPUT.hour.date()


class Counted(KeptCosts):
    asked = 0

    async def statuses(self, first: date, last: date) -> Any:
        self.asked += 1
        return await super().statuses(first, last)


async def test_who_looks_at_once_shares_one_reading_until_it_is_old() -> None:
    table, clock = Counted([INPUT]), FakeClock()
    reader: Any = table
    costs = Costs(reader, clock)
    for _ in range(3):
        assert list(await costs.statuses(DAY, DAY)) == [INPUT.hour]
    assert table.asked == 1
    clock.advance(s=KEEP_S + 1)
    await costs.statuses(DAY, DAY)
    assert table.asked == 2


async def test_what_reading_lines_changes_is_nobody_elses() -> None:
    reader: Any = Counted([INPUT])
    costs = Costs(reader, FakeClock())
    (await costs.statuses(DAY, DAY)).clear()
    assert await costs.statuses(DAY, DAY)


async def test_a_failure_is_not_kept() -> None:
    table = Counted([INPUT], broken=True)
    reader: Any = table
    costs = Costs(reader, FakeClock())
    with pytest.raises(CostsUnavailable):
        await costs.statuses(DAY, DAY)
    table.broken = False
    assert await costs.statuses(DAY, DAY)
