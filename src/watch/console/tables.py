"""A table as data, drawn by `macros/tables.html` and written as CSV. Pure.

Sorting is a link (`?sort=ttft_p99&dir=desc`), so a sorted table is a URL too and needs no script. What is
unknown comes last whichever way it is sorted. A page with several tables names them: their parameters are
then `models.sort` and `models.dir`, and their file `?format=csv&table=models`.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from llmplatform.spreadsheets import plain_text
from watch.console.cells import Kind, Value, is_number, is_unknown, raw

Direction = Literal["asc", "desc"]
State = Literal["ok", "info", "warning", "critical", "muted"]
"""Shown as a badge with a sign of its own before the cell's text: never by colour alone."""

MOST_ROWS_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with what goes beside it."""

    value: Value
    href: str | None = None
    state: State | None = None
    note: str | None = None
    """Small, after the value: what it rests on, or why it is unknown."""
    title: str | None = None
    """What a pointer that rests on it is told; nothing that is told nowhere else."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `key` names it in rows, in the URL and in the file."""

    key: str
    title: str
    kind: Kind = "text"
    help: str | None = None
    """What it means, where its title cannot say it."""
    sortable: bool = True

    @property
    def numeric(self) -> bool:
        """Whether it is aligned as numbers are."""
        return is_number(self.kind)


Row = Mapping[str, Value | Cell]
"""Cells by the keys of columns; one that is not there is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    name: str = ""
    """Only where a page has several."""
    sort: str | None = None
    direction: Direction = "asc"
    rests_on: str | None = None
    """How much the figures rest on, such as "12,345 requests"."""
    empty: str = "Nothing here in this time."
    """What is said instead of rows."""
    hide_caption: bool = False
    """Where a heading says it already; it is still read out."""
    totals: Row | None = None
    """A last row that is not sorted."""
    _by_key: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the columns."""
        object.__setattr__(self, "_by_key", {column.key: column for column in self.columns})

    def sorted_as(
        self, query: Mapping[str, str], *, default: str | None = None, direction: Direction = "asc"
    ) -> "Table":
        """The table as a query sorts it, else by `default`; a column that is not there sorts nothing."""
        asked = query.get(self.parameter("sort"))
        key, way = default, direction
        if asked is not None and asked in self._by_key and self._by_key[asked].sortable:
            key, way = asked, "desc" if query.get(self.parameter("dir")) == "desc" else "asc"
        if key is None:
            return self
        return Table(
            caption=self.caption,
            columns=self.columns,
            rows=_sorted(self.rows, key, way),
            name=self.name,
            sort=key,
            direction=way,
            rests_on=self.rests_on,
            empty=self.empty,
            hide_caption=self.hide_caption,
            totals=self.totals,
        )

    def parameter(self, name: str) -> str:
        """The name of one of its parameters in the URL."""
        return f"{self.name}.{name}" if self.name else name

    def next_sort(self, column: Column) -> Mapping[str, str]:
        """The parameters that a click on a column's title sets: numbers begin with the largest."""
        if self.sort == column.key:
            way = "asc" if self.direction == "desc" else "desc"
        else:
            way = "desc" if column.numeric or column.kind == "time" else "asc"
        return {self.parameter("sort"): column.key, self.parameter("dir"): way}

    def aria_sort(self, column: Column) -> str | None:
        """How the table is sorted by a column, as assistive technology is told."""
        if self.sort != column.key:
            return None
        return "descending" if self.direction == "desc" else "ascending"

    @property
    def csv_query(self) -> Mapping[str, str]:
        """The parameters that ask for it as a file."""
        return {"format": "csv", **({"table": self.name} if self.name else {})}

    def cells(self, row: Row) -> Iterator[tuple[Column, Cell]]:
        """The cells of a row, in the order of the columns."""
        for column in self.columns:
            yield column, as_cell(row.get(column.key))

    def csv(self) -> bytes:
        """All rows (RFC 4180, UTF-8): a header of keys, full digits, times in ISO 8601, unknown is empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([plain_text(column.key) for column in self.columns])
        for row in self.rows:
            writer.writerow([raw(cell.value) for _, cell in self.cells(row)])
        return text.getvalue().encode()


def as_cell(value: Value | Cell) -> Cell:
    """A cell, of a value or of itself."""
    return value if isinstance(value, Cell) else Cell(value)


def _sorted(rows: Sequence[Row], key: str, direction: Direction) -> Sequence[Row]:
    known = [row for row in rows if not is_unknown(as_cell(row.get(key)).value)]
    unknown = [row for row in rows if is_unknown(as_cell(row.get(key)).value)]
    known.sort(key=lambda row: _order(as_cell(row[key]).value), reverse=direction == "desc")
    return [*known, *unknown]


def _order(value: Value) -> tuple[int, float, str]:
    """Numbers among numbers, times among times, text among text, whatever a column mixes."""
    if isinstance(value, datetime):
        return (1, value.timestamp(), "")
    if isinstance(value, int | float | Decimal):
        return (0, float(value), "")
    return (2, 0.0, str(value).casefold())
