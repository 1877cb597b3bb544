"""`llm-platform evals export`: a tenant's results to a file, which appears whole or not at all."""

import asyncio
import csv
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import Progress, TextColumn

from llmplatform.aws.eval_content import why_withheld
from llmplatform.ids import TenantId
from operator_cli.console import ERR, OUT, CommandFailed
from operator_cli.evals_account import Account, open_account
from operator_cli.evals_columns import content_of, figures_of, schema
from operator_cli.evals_times import When, iso, minute

Format = Literal["csv", "jsonl", "parquet"]
Row = Mapping[str, Any]
WriteRows = Callable[[Sequence[Row]], None]

ROWS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written, and where."""

    tenant: TenantId
    start: When
    end: When | None
    format: Format
    output: Path
    content: bool = False
    force: bool = False


def run_export(asked: Export, *, region: str) -> None:
    """Write the file. Raises CommandFailed, and leaves no file, where it cannot be done whole."""
    _refuse_to_overwrite(asked)
    if not asked.output.parent.is_dir():
        raise CommandFailed(f"{asked.output.parent} is no folder")
    count = asyncio.run(_export(asked, region))
    OUT.print(f"{count:,} results of {asked.tenant} in {asked.output}", markup=False)
    if asked.content:
        ERR.print("[yellow]it holds what people and models said: keep it no longer than you need it[/yellow]")


async def _export(asked: Export, region: str) -> int:
    async with open_account(region) as account:
        now = account.clock.now()
        start, end = asked.start.moment(now), now if asked.end is None else asked.end.moment(now)
        if start >= end:
            raise CommandFailed(f"--from {minute(start)} is not before --to {minute(end)}")
        policy = await account.policy(asked.tenant)
        withheld = why_withheld(policy)
        if asked.content and withheld is not None:
            raise CommandFailed(f"no content of {asked.tenant} is exported: {withheld}; leave out --content")
        count = 0
        try:
            with _whole_file(asked) as file, _writing(asked, file) as write, _progress() as written:
                async for rows in _rows(account, asked, start, end):
                    await asyncio.to_thread(write, rows)
                    count += len(rows)
                    written(count)
                if policy is None and not count:
                    raise CommandFailed(f"there is no tenant {asked.tenant} and no result of one")
        except OSError as error:
            raise CommandFailed(f"{asked.output} cannot be written: {error.strerror}") from None
        return count


async def _rows(account: Account, asked: Export, start: datetime, end: datetime) -> AsyncIterator[list[Row]]:
    rows: list[Row] = []
    async for result in account.results.of_tenant(asked.tenant, start, end):
        row = figures_of(result)
        if asked.content:
            row |= content_of(await account.said(result))
        rows.append(row)
        if len(rows) == ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


@contextmanager
def _writing(asked: Export, file: BinaryIO) -> Iterator[WriteRows]:
    """What takes rows and writes them in the format."""
    columns = schema(content=asked.content)
    match asked.format:
        case "csv":
            yield _csv(file, columns.names)
        case "jsonl":
            yield lambda rows: file.writelines(_json_line(row) for row in rows)
        case "parquet":
            with pq.ParquetWriter(file, columns, compression="zstd") as writer:
                yield lambda rows: writer.write_table(pa.Table.from_pylist(list(rows), schema=columns))


def _csv(file: BinaryIO, columns: Sequence[str]) -> WriteRows:
    class Encoded:
        """The text side of a binary file, as `csv` wants it."""

        @staticmethod
        def write(text: str) -> int:
            return file.write(text.encode())

    lines = csv.writer(Encoded)
    lines.writerow(columns)
    return lambda rows: lines.writerows([_cell(row[name]) for name in columns] for row in rows)


def _cell(value: Any) -> Any:
    """A cell of CSV: empty is unknown."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _json_line(row: Row) -> bytes:
    plain = {name: iso(value) if isinstance(value, datetime) else value for name, value in row.items()}
    return json.dumps(plain, ensure_ascii=False).encode() + b"\n"


@contextmanager
def _whole_file(asked: Export) -> Iterator[BinaryIO]:
    """A file beside the one asked for, which takes its place when all of it is on disk."""
    output = asked.output
    handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse_to_overwrite(asked)  # also what came meanwhile
        Path(name).replace(output)
    finally:
        Path(name).unlink(missing_ok=True)


def _refuse_to_overwrite(asked: Export) -> None:
    if asked.output.exists() and not asked.force:
        raise CommandFailed(f"{asked.output} is there already; --force overwrites it")


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.completed:,.0f} results written"),)
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as progress:
        task = progress.add_task("writing", total=None)
        yield lambda count: progress.update(task, completed=count)
