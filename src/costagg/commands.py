"""The commands of `python -m costagg`, as a person or a scheduler calls them; the exit status is returned.

Rooms that bring FastAPI, DuckDB or Arrow are imported by their command: half a second less for all others.
"""

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from costagg.bootstrap import (
    CostJob,
    account_id,
    bill_files,
    billing_api,
    cost_job,
    cost_table,
    metric_lines,
)
from costagg.hours import HOUR, asked_hours
from costagg.job import HourReport, RunReport
from costagg.settings import CostSettings, EnvironmentSettings
from llmplatform.bills import period_end
from llmplatform.clock import SystemClock
from llmplatform.errors import ConfigFault
from llmplatform.process.stopping import stopped, told_to_stop

logger = logging.getLogger(__name__)

DONE: Final = 0
NOT_ALL_DONE: Final = 1
_DAY: Final = timedelta(days=1)


async def run(arguments: argparse.Namespace, settings: CostSettings, environment: EnvironmentSettings) -> int:
    """Compute the hours that are due or asked for, once or `--every` so many seconds."""
    now = SystemClock().now()
    asked = asked_hours(now, hour=arguments.hour, first=arguments.first, last=arguments.last)
    if asked and arguments.every is not None:
        raise ConfigFault("--every: goes without --hour, --from and --to")
    stop = told_to_stop()
    async with cost_job(settings, environment) as job:
        running = asyncio.create_task(_run(job, asked, stop, arguments.every))
        ending = asyncio.create_task(stop.wait())
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not running.done():
            # A run may be cut off anywhere: the next one makes the same table.
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return DONE if arguments.every is not None else NOT_ALL_DONE
        return DONE if running.result() else NOT_ALL_DONE


async def _run(job: CostJob, asked: Sequence[datetime], stop: asyncio.Event, every_s: float | None) -> bool:
    """Run until `stop`, or once; tells whether the last run did all of it."""
    clock = job.clock
    while True:
        began_ns = clock.monotonic_ns()
        report = await job.run(_show_hour if asked else _keep_quiet, asked=asked)
        complete = report is not None and report.complete
        if report is not None:
            _tell(report)
        took_s = (clock.monotonic_ns() - began_ns) / 1e9
        if every_s is None or await stopped(stop, within_s=max(every_s - took_s, 0)):
            return complete


def _tell(report: RunReport) -> None:
    logger.info(
        "costs are computed" if report.complete else "costs are computed in part",
        extra={
            "hours": len(report.hours),
            "failed": sum(hour.outcome == "failed" for hour in report.hours),
            "closed": sum(hour.closed for hour in report.hours),
            "rows": sum(hour.rows for hour in report.hours),
            "unpriced_lines": sum(hour.unpriced_lines for hour in report.hours),
            "uncounted_requests": sum(hour.uncounted_requests for hour in report.hours),
        },
    )
    if report.left_open:
        logger.warning(
            "hours were left open and are too old for a scheduled run: compute them with --from, --to",
            extra={
                "hours": len(report.left_open),
                "first": f"{report.left_open[0]:%Y-%m-%dT%H}",
                "last": f"{report.left_open[-1]:%Y-%m-%dT%H}",
            },
        )


def _show_hour(report: HourReport, number: int, of: int) -> None:
    """A line on stderr for who waits for a backfill."""
    what: str = report.outcome
    if report.total_usd is not None:
        source = "" if report.computed_from == "request-ledger" else f" from {report.computed_from}"
        what = f"{report.rows:,} rows, {report.lines:,} lines, ${report.total_usd:,.6f}{source}"
        what += ", closed" if report.closed else ", open"
        if report.unpriced_lines or report.uncounted_requests:
            what += f", {report.unpriced_lines} unpriced, {report.uncounted_requests} uncounted"
        if report.outcome == "superseded":
            what += "; another run holds the hour"
    sys.stderr.write(f"{report.hour:%Y-%m-%dT%H} ({number} of {of}): {what}\n")


def _keep_quiet(_report: HourReport, _number: int, _of: int) -> None:
    """A scheduled run tells its sum."""


async def serve_bills(settings: CostSettings, environment: EnvironmentSettings) -> int:
    """Serve the billing API until SIGTERM or SIGINT."""
    from costagg.api.server import serve  # noqa: PLC0415

    async with billing_api(settings, environment) as app:
        await serve(app, host=settings.api_host, port=settings.api_port)
    return DONE


async def reconcile(arguments: argparse.Namespace, environment: EnvironmentSettings) -> int:
    """Hold a month, or a part of it, against AWS's bill."""
    from costagg.reconciliation import running  # noqa: PLC0415
    from costagg.reconciliation.charges import BillFault  # noqa: PLC0415
    from costagg.reconciliation.cur_sql import TenantsOnBill  # noqa: PLC0415

    now = SystemClock().now()
    first, last = _days(arguments, now.date())
    try:
        async with bill_files(environment, arguments.files, first) as files:
            asked = running.ReconcileArguments(
                files=files,
                first=first,
                last=last,
                limit_percent=arguments.limit,
                tenants=TenantsOnBill(arguments.tenant_tag, arguments.session_prefix),
                accounts=tuple(arguments.account),
                usage_types=arguments.usage_types,
                rows=arguments.rows,
                as_json=arguments.json,
                keep=not arguments.dry_run,
            )
            # The report has standard output for itself.
            async with (
                cost_table(environment) as (reader, dynamodb),
                metric_lines(environment, fd=2) as lines,
            ):
                return await running.run(asked, reader, dynamodb, lines, now)
    except BillFault as fault:
        sys.stderr.write(f"costagg reconcile: {fault}\n")
        return running.BAD_INPUT


async def export_costs(arguments: argparse.Namespace, environment: EnvironmentSettings) -> int:
    """Write the costs of some days to a file in FOCUS."""
    from costagg.focus.exporting import export  # noqa: PLC0415

    now = SystemClock().now()
    first, last = _days(arguments, now.date())
    account = arguments.account_id or await account_id(environment)
    async with cost_table(environment) as (reader, _):
        summary = await export(
            reader,
            first,
            last,
            arguments.out,
            granularity=arguments.granularity,
            account_id=account,
            account_name=arguments.account_name,
            allow_unpriced=arguments.allow_unpriced,
            progress=_show_day,
        )
    sys.stderr.write(f"{arguments.out}: {summary.rows:,} rows, ${summary.total_usd:,.6f}\n")
    if summary.open_rows:
        sys.stderr.write(f"  {summary.open_rows:,} of them are of periods that may yet change\n")
    if missing := _hours_begun(first, last, now) - summary.hours:
        sys.stderr.write(f"  {missing:,} hours of these days were never computed: nothing of them is in it\n")
    for what, rows in sorted(summary.left_out.items()):
        sys.stderr.write(f"  left out, since its amount is not known: {what} ({rows:,} rows)\n")
    return DONE


def _hours_begun(first: date, last: date, now: datetime) -> int:
    began = datetime.combine(first, time(), UTC)
    end = datetime.combine(last, time(), UTC) + _DAY
    return max(-((began - min(end, now)) // HOUR), 0)


def _show_day(day: date, rows: int) -> None:
    sys.stderr.write(f"{day}: {rows:,} rows\n")


def _days(arguments: argparse.Namespace, today: date) -> tuple[date, date]:
    """The first and the last day that are asked for: of a month, or from one to another, both included."""
    if arguments.last_month and (arguments.month or arguments.first or arguments.last):
        raise ConfigFault("--last-month: goes without --month, --from and --to")
    if arguments.month is not None and (arguments.first is not None or arguments.last is not None):
        raise ConfigFault("--month: goes without --from and --to")
    if arguments.last_month:
        ended = today.replace(day=1) - _DAY
        return ended.replace(day=1), ended
    if arguments.month is not None:
        month: date = arguments.month
        if month > today:
            raise ConfigFault(f"--month: {month:%Y-%m} has not begun")
        return month, min(period_end(f"{month:%Y-%m}").date() - _DAY, today)
    if arguments.first is None:
        raise ConfigFault("--month, or --from and --to: needed, such as --month 2026-11")
    last: date = today if arguments.last is None else arguments.last
    if last < arguments.first:
        raise ConfigFault("--to: is before --from")
    return arguments.first, last


def a_month(text: str) -> date:
    """The first day of a month such as 2026-11. Raises ArgumentTypeError."""
    try:
        return datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007  # a month has no zone
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give a month as 2026-11") from error


def a_percent(text: str) -> Decimal:
    """A number from 0 on. Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text}: give a percentage from 0 on, such as 2 or 0.5")
    return Decimal(text)


def a_file(text: str) -> Path:
    """A path whose folder exists. Raises ArgumentTypeError."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent}: no such folder")
    return path
