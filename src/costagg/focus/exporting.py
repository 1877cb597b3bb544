"""An export: the days of the table of costs, one after the other, to one file of FOCUS 1.3.

What has no price cannot be told in FOCUS, where BilledCost is never null, and 0 would be untrue. So an export
stops at it, unless those lines are to be left out; then the summary says which and how many.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import botocore.loaders

from costagg.focus.files import focus_file
from costagg.focus.rows import Account, focus_rows
from llmplatform.aws.cost_reader import CostReader, Statuses
from llmplatform.bills import BillRow, bill_rows, exact_sum, total_usd
from llmplatform.costs import CostLine
from llmplatform.errors import ConfigFault

FocusGranularity = Literal["hour", "day"]

Progress = Callable[[date, int], None]
"""Told after each day that has rows: the day, and how many rows there are by then."""

_ROWS_AT_ONCE: Final = 10_000


class UnpricedLines(ConfigFault):
    """Something was used that no price is known for, and was not to be left out."""

    code = "unpriced_lines"


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written."""

    rows: int
    total_usd: Decimal
    """The sum of BilledCost."""
    hours: int
    """Of these days that a run has computed; of the others nothing is in the file."""
    open_rows: int
    """Rows of periods that may yet change."""
    left_out: Mapping[str, int]
    """Rows without an amount, which are not in the file, by what they are: their number."""


async def export(
    reader: CostReader,
    first: date,
    last: date,
    out: Path,
    *,
    granularity: FocusGranularity,
    account_id: str,
    account_name: str | None = None,
    allow_unpriced: bool = False,
    progress: Progress = lambda _day, _rows: None,
) -> ExportSummary:
    """Write the costs of all owners from the first day to the last, both included.

    `account_id` is the AWS account's, whose bill it is. Raises UnpricedLines, ConfigFault where the file's
    name tells no format, and CostsUnavailable; the file is then as it was before.
    """
    account = Account(account_id, account_name, _region_names())
    statuses = await reader.statuses(first, last)
    rows, open_rows, total = 0, 0, Decimal(0)
    left_out: Counter[str] = Counter()
    with focus_file(out) as write:
        async for day, bill in _bills(reader, first, last, statuses, granularity):
            priced = [row for row in bill if row.amount_usd is not None]
            left_out.update(_name(row) for row in bill if row.amount_usd is None)
            if left_out and not allow_unpriced:
                raise UnpricedLines(
                    f"FOCUS has no row for what no amount is known of, on {day} {_listed(left_out)}; add the "
                    "missing prices and run these hours again, or leave it out with --allow-unpriced"
                )
            written = focus_rows(priced, account)
            while batch := list(islice(written, _ROWS_AT_ONCE)):
                write(batch)
            rows += len(priced)
            open_rows += sum(row.completeness == "open" for row in priced)
            total = exact_sum((total, total_usd(priced)))
            progress(day, rows)
    hours = sum(status.run > 0 for status in statuses.values())
    return ExportSummary(rows, total, hours, open_rows, left_out)


async def _bills(
    reader: CostReader, first: date, last: date, statuses: Statuses, granularity: FocusGranularity
) -> AsyncIterator[tuple[date, tuple[BillRow, ...]]]:
    """The bill of each day that has one, all owners together."""
    lines: list[CostLine] = []
    at: date | None = None
    async for _, day, of_owner in reader.all_lines(first, last, statuses):
        if at is not None and day != at:
            yield at, bill_rows(lines, statuses, granularity)
            lines = []
        at = day
        lines += of_owner
    if at is not None:
        yield at, bill_rows(lines, statuses, granularity)


def _name(row: BillRow) -> str:
    what = row.price_key if row.model_id is None else f"{row.model_id} {row.charge_class}"
    return f"{what} ({'no count' if row.quantity is None else 'no price'})"


def _listed(left_out: Mapping[str, int]) -> str:
    names = sorted(left_out)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


_NAMED: Final = 5


@cache
def _region_names() -> Mapping[str, str]:
    """What AWS calls its regions, by the SDK's own data."""
    endpoints = botocore.loaders.create_loader().load_data("endpoints")
    regions = [partition["regions"] for partition in endpoints["partitions"]]
    return {name: region["description"] for group in regions for name, region in group.items()}
