"""The command: files and cost lines in, a report out, the result kept, and an exit status.

0: no error over the limit. 1: some are. 2: what was asked for cannot be done; nothing is kept then.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, TextIO

import orjson
from rich.console import Console

from costagg.reconciliation.charges import BillFault
from costagg.reconciliation.comparing import reconcile_cells
from costagg.reconciliation.cur_reader import find_files, read_bill
from costagg.reconciliation.cur_sql import TenantsOnBill
from costagg.reconciliation.matching import Cells
from costagg.reconciliation.report import as_document, as_tables
from costagg.reconciliation.results import DEFAULT_LIMIT_PERCENT, Reconciliation
from costagg.reconciliation.store import ReconciliationStore, rows_of
from costagg.reconciliation.usage_types import UsageTypes, load_usage_types
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.emf import encode_figures
from llmplatform.errors import ConfigFault, TelemetryFault
from llmplatform.metrics import COST, RECONCILIATION_ERROR_PERCENT
from llmplatform.sinks import Sink

OK: Final = 0
OVER_LIMIT: Final = 1
BAD_INPUT: Final = 2

_HOURS: Final = 24
_PIPED_WIDTH: Final = 240


@dataclass(frozen=True, slots=True)
class ReconcileArguments:
    """What the operator asks for."""

    files: tuple[str, ...]
    """Files, folders and patterns of one export."""
    first: date
    last: date
    """Included, UTC; in the month of `first`."""
    limit_percent: Decimal = DEFAULT_LIMIT_PERCENT
    tenants: TenantsOnBill = field(default_factory=TenantsOnBill)
    accounts: tuple[str, ...] = ()
    """Account ids; none are all that are on the bill."""
    usage_types: Path | None = None
    rows: int = 20
    """How many differences the tables show."""
    as_json: bool = False
    keep: bool = True
    """Whether to write the result to the table and as a metric."""


async def run(
    arguments: ReconcileArguments,
    reader: CostReader,
    dynamodb: DynamoDb,
    lines: Sink[bytes],
    now: datetime,
    *,
    out: TextIO = sys.stdout,
    err: TextIO = sys.stderr,
) -> int:
    """Reconcile, print, keep; the exit status. `lines` takes EMF lines; its flush is the caller's."""
    try:
        result = await _reconcile(arguments, reader)
        if arguments.keep:
            rows = rows_of(result, limit_percent=arguments.limit_percent, at=now)
            await ReconciliationStore(dynamodb).replace(arguments.first, arguments.last, rows)
    except (BillFault, ConfigFault, TelemetryFault) as fault:
        err.write(f"costagg reconcile: {fault}\n")
        return BAD_INPUT
    if arguments.keep:
        publish(result, lines, now)
    _print(result, arguments, out)
    return OVER_LIMIT if result.over(arguments.limit_percent) else OK


def publish(result: Reconciliation, lines: Sink[bytes], now: datetime) -> None:
    """The error of every service whose cost is no estimate, as a metric."""
    for one in result.services:
        if not one.estimated:
            values = {RECONCILIATION_ERROR_PERCENT.name: float(one.compared.error_percent)}
            lines.accept(encode_figures(now, COST, {"service": one.service}, values))


async def _reconcile(arguments: ReconcileArguments, reader: CostReader) -> Reconciliation:
    first, last = arguments.first, arguments.last
    if last < first or (first.year, first.month) != (last.year, last.month):
        raise BillFault(
            f"{first} to {last} is no period of one month: AWS bills a month, reconcile one at a time"
        )
    usage_types = load_usage_types(arguments.usage_types)
    bill = read_bill(
        find_files(arguments.files),
        first,
        last,
        usage_types,
        tenants=arguments.tenants,
        accounts=arguments.accounts,
    )
    if not bill.rows:
        raise BillFault(
            f"no line item from {first} to {last} is in these files: they are another month's or account's"
        )
    cells, open_days = await attributed(reader, first, last, usage_types)
    return reconcile_cells(bill, cells, first=first, last=last, usage_types=usage_types, open_days=open_days)


async def attributed(
    reader: CostReader, first: date, last: date, usage_types: UsageTypes
) -> tuple[Cells, dict[date, int]]:
    """What was attributed, in cells, and the number of hours that are not closed by day."""
    cells = Cells(usage_types)
    statuses = await reader.statuses(first, last)
    async for _owner, _day, day_lines in reader.all_lines(first, last, statuses):
        cells.attribute(day_lines)
    closed = Counter(hour.astimezone(UTC).date() for hour, status in statuses.items() if status.closed)
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return cells, {day: _HOURS - closed[day] for day in days if closed[day] < _HOURS}


def _print(result: Reconciliation, arguments: ReconcileArguments, out: TextIO) -> None:
    if arguments.as_json:
        document = as_document(result, limit_percent=arguments.limit_percent)
        out.write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    console = Console(file=out, width=None if out.isatty() else _PIPED_WIDTH, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(as_tables(result, limit_percent=arguments.limit_percent, rows=arguments.rows))
    out.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
