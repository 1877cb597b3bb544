"""Rows to a file, CSV or Parquet by its name: a day at a time, and the file appears whole or not at all.

Every decimal of a CSV has a decimal point: readers that guess a column's type are not to guess whole numbers.
"""

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from costagg.focus.columns import COLUMNS, VERSION, Kind
from costagg.focus.rows import FocusRow, Value
from llmplatform.errors import ConfigFault

WriteRows = Callable[[Sequence[FocusRow]], None]

_TYPES: Final[dict[Kind, pa.DataType]] = {
    "text": pa.string(),
    "decimal": pa.decimal128(38, 18),  # tokens by the million and shares of an hour are exact in it
    "time": pa.timestamp("us", tz="UTC"),
}
_SCHEMA: Final = pa.schema(
    [pa.field(name, _TYPES[kind]) for name, kind in COLUMNS.items()],
    metadata={"focus_version": VERSION, "focus_dataset": "CostAndUsage"},
)


@contextmanager
def focus_file(out: Path) -> Iterator[WriteRows]:
    """What takes rows, of a file that takes the place of `out` when all of it is on disk.

    Raises ConfigFault where the name ends in neither `.csv` nor `.parquet`.
    """
    if out.suffix not in _FORMATS:
        raise ConfigFault(f"{out.name} names no format: end it in .csv or .parquet")
    handle, part = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            with _FORMATS[out.suffix](file) as write:
                yield write
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(out)
    finally:
        Path(part).unlink(missing_ok=True)


@contextmanager
def _csv(file: BinaryIO) -> Iterator[WriteRows]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(rows: Sequence[FocusRow]) -> None:
        writer.writerows([_text(row[name]) for name in COLUMNS] for row in rows)

    yield write
    text.detach()


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[WriteRows]:
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(list(rows), schema=_SCHEMA))


_FORMATS: Final = {".csv": _csv, ".parquet": _parquet}


def _text(value: Value) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            whole, _, part = f"{value:f}".partition(".")
            return f"{whole}.{part.rstrip('0') or '0'}"
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case str():
            return value
