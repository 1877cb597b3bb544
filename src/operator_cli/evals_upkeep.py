"""`llm-platform evals parked` and `evals compact`: what was put aside, and tidying up the history."""

import asyncio
import json
from datetime import UTC, datetime

from rich.table import Table

from evalworker.stores.compaction import MIN_AGE, Replaced, compact
from evalworker.stores.parked import ParkedRecords
from llmplatform.aws.sessions import aws_session
from llmplatform.clock import SystemClock
from llmplatform.eval_parked import ParkedRecord
from operator_cli.console import ERR, OUT, CommandFailed, print_table
from operator_cli.evals_account import eval_settings, open_history
from operator_cli.evals_times import When, iso, last_day, minute, second


def run_parked(since: When, *, region: str, as_json: bool) -> None:
    """List the records that were put aside, the newest first."""
    now = SystemClock().now()
    found = asyncio.run(_parked(since.moment(now), now, region))
    if as_json:
        print(json.dumps([_facts(record) for record in found], indent=2))
        return
    if not found:
        OUT.print(f"nothing was put aside since {minute(since.moment(now))}")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("arrived", "reason", "shard", "sequence number", "bytes", "on the stream until"):
        table.add_column(column, no_wrap=True)
    for record in found:
        until = "gone" if record.readable_until <= now else minute(record.readable_until)
        table.add_row(
            second(record.arrived_at),
            record.reason,
            record.shard_id,
            record.sequence_number,
            f"{record.size_bytes:,}",
            until,
        )
    print_table(table)
    ERR.print("[dim]`llm-platform evals replay` has them evaluated again, while the stream has them[/dim]")


async def _parked(start: datetime, end: datetime, region: str) -> list[ParkedRecord]:
    if start >= end:
        raise CommandFailed(f"--since {minute(start)} is not in the past")
    async with open_history(aws_session(region), eval_settings()) as objects:
        listed = ParkedRecords(objects).list(start.astimezone(UTC).date(), end.date())
        found = [record async for record in listed if record.arrived_at >= start]
    return sorted(found, key=lambda record: record.arrived_at, reverse=True)


def _facts(record: ParkedRecord) -> dict[str, object]:
    return {
        "reason": record.reason,
        "shard_id": record.shard_id,
        "sequence_number": record.sequence_number,
        "arrived_at": iso(record.arrived_at),
        "size_bytes": record.size_bytes,
        "sha256": record.sha256,
        "readable_until": iso(record.readable_until),
    }


def run_compact(start: When, end: When | None, *, region: str) -> None:
    """Compact the history of some days, telling each file that is made."""
    now = SystemClock().now()
    first, until = start.moment(now), now if end is None else end.moment(now)
    if first >= until:
        raise CommandFailed(f"--from {minute(first)} is not before --to {minute(until)}")
    made: list[Replaced] = []

    def told(replaced: Replaced) -> None:
        made.append(replaced)
        OUT.print(
            f"{replaced.folder}: {replaced.files:,} files of {replaced.bytes_before:,} bytes became one of "
            f"{replaced.bytes_after:,}; {replaced.rows:,} rows, {replaced.duplicates:,} were there twice",
            markup=False,
        )

    async def work() -> None:
        async with open_history(aws_session(region), eval_settings()) as objects:
            await compact(
                objects,
                first.astimezone(UTC).date(),
                last_day(first, until),
                written_before=now - MIN_AGE,
                progress=told,
            )

    asyncio.run(work())
    before, after = sum(one.bytes_before for one in made), sum(one.bytes_after for one in made)
    files = sum(one.files for one in made)
    if made:
        OUT.print(f"{files:,} files became {len(made):,}, {before:,} bytes became {after:,}")
    else:
        OUT.print("there is nothing to make larger files of")
    minutes = int(MIN_AGE.total_seconds() // 60)
    ERR.print(f"[dim]files of the last {minutes} minutes are left alone: batches may still come again[/dim]")
