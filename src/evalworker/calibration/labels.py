"""What people said: reading LABELS.csv. Pure: bytes in, items out.

One row an item. A dimension has one column a rater: `relevance` where one person rated, `relevance:alice` and
`relevance:bob` where two did. An empty cell is not rated: unknown, so left out and counted. A fault names
line, column and fix, and quotes no cell: a shifted row would put a prompt where a label belongs.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from evalworker.calibration.statistics import LABELS
from llmplatform.errors import PlatformFault
from llmplatform.evaluations import JUDGE_DIMENSIONS

_TEXT_COLUMNS: Final = (
    "item_id",
    "request_id",
    "prompt",
    "completion",
    "reference",
    "contexts",
    "completion_chars",
)
_RATINGS: Final = {str(label): label for label in LABELS}
_DELIMITERS: Final = ",;\t"
_NEARLY: Final = 0.8
_LETTERS_OFF: Final = 2
"""What differs by more in length is another name: an export's `score_factual_fidelity` is no label."""


@dataclass(frozen=True, slots=True)
class LabelledItem:
    """One answer and what people said of it; content is None where the file has none."""

    item_id: str
    request_id: str | None
    labels: Mapping[str, tuple[int, ...]]
    """Dimension to the labels of those who rated it; a dimension that nobody rated is absent."""
    prompt: str | None = field(default=None, repr=False)
    completion: str | None = field(default=None, repr=False)
    reference: str | None = field(default=None, repr=False)
    contexts: tuple[str, ...] = field(default=(), repr=False)
    completion_chars: int | None = None
    """The answer's length in characters; None is unknown."""


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A whole file of labels."""

    items: tuple[LabelledItem, ...]
    raters: Mapping[str, int]
    """Dimension to its columns of labels; 0 where the file has none."""
    blank_cells: Mapping[str, int]
    """Dimension to its cells that hold no label."""
    ignored_columns: tuple[int, ...]
    """Positions, from 1, of columns that mean nothing here."""

    @property
    def has_content(self) -> bool:
        """Whether the items can be judged from the file alone; else they are looked up by request id."""
        return all(item.prompt is not None for item in self.items)


class LabelsFault(PlatformFault):
    """A file of labels cannot be used; each problem names line, column and fix."""

    code = "invalid_labels"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def parse_labels(data: bytes) -> LabelFile:
    """The items of a CSV file in UTF-8 (a byte order mark is fine; commas, semicolons or tabs).

    Raises LabelsFault with every problem found.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabelsFault([f"line {line}: not UTF-8; save the file as 'CSV UTF-8'"]) from None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = lines.line_num + 1
    except csv.Error as error:
        raise LabelsFault([f"line {line}: not CSV ({error}); export the file again"]) from None
    if len(rows) < 2:  # noqa: PLR2004
        raise LabelsFault(["line 1: a row of column names is needed, and a row for each item"])
    return _Reader(rows[0][1]).read(rows[1:])


class _Reader:
    """Reads rows under one header, collecting problems."""

    def __init__(self, header: Sequence[str]) -> None:
        self.problems: list[str] = []
        self.width = len(header)
        self.text: dict[str, int] = {}
        self.ratings: dict[str, list[tuple[int, str]]] = {dimension: [] for dimension in JUDGE_DIMENSIONS}
        self.ignored: list[int] = []
        self.blank = dict.fromkeys(JUDGE_DIMENSIONS, 0)
        seen: set[str] = set()
        for position, cell in enumerate(header):
            name = cell.strip()
            if name in seen:
                self.problems.append(f"line 1, column {position + 1}: its name is there twice; remove one")
            seen.add(name)
            self._column(position, name)
        self._check_columns()

    def _column(self, position: int, name: str) -> None:
        dimension = name.partition(":")[0]
        if dimension in self.ratings:
            self.ratings[dimension].append((position, name))
        elif name in _TEXT_COLUMNS:
            self.text[name] = position
        elif near := _misspelt(dimension.lower(), (*_TEXT_COLUMNS, *self.ratings)):
            self.problems.append(f"line 1, column {position + 1}: is `{near}` meant? Spell it so")
        else:
            self.ignored.append(position + 1)

    def _check_columns(self) -> None:
        if not self.text.keys() & {"item_id", "request_id"}:
            self.problems.append("line 1: a column `item_id` or `request_id` is needed")
        if not any(self.ratings.values()):
            self.problems.append(f"line 1: a column of labels is needed: {', '.join(self.ratings)}")
        content = self.text.keys() & {"prompt", "completion"}
        if len(content) == 1:
            (missing,) = {"prompt", "completion"} - content
            self.problems.append(f"line 1: a column `{missing}` is needed beside `{content.pop()}`")
        if not content and "request_id" not in self.text:
            self.problems.append(
                "line 1: columns `prompt` and `completion` are needed to judge now, "
                "or `request_id` to look up what was judged before"
            )

    def read(self, rows: Sequence[tuple[int, list[str]]]) -> LabelFile:
        lines: dict[str, int] = {}
        items: list[LabelledItem] = []
        for line, cells in () if self.problems else rows:
            if len(cells) != self.width:
                self.problems.append(
                    f"line {line}: {len(cells)} cells under {self.width} columns; "
                    "quote cells that hold the separator or a line break"
                )
                continue
            item = self._item(line, cells)
            if item.item_id in lines:
                self._fault(line, self._id_column, f"the id of line {lines[item.item_id]} again; remove one")
            lines.setdefault(item.item_id, line)
            items.append(item)
        if self.problems:
            raise LabelsFault(self.problems)
        raters = {dimension: len(columns) for dimension, columns in self.ratings.items()}
        return LabelFile(tuple(items), raters, self.blank, tuple(self.ignored))

    @property
    def _id_column(self) -> str:
        return "item_id" if "item_id" in self.text else "request_id"

    def _item(self, line: int, cells: Sequence[str]) -> LabelledItem:
        def cell(name: str) -> str | None:
            return (cells[self.text[name]] if name in self.text else "").strip() or None

        looked_up = () if "prompt" in self.text else ("request_id",)
        for name in dict.fromkeys((self._id_column, "prompt", "completion", *looked_up)):
            if name in self.text and cell(name) is None:
                self._fault(line, name, "empty; fill it, or remove the row")
        completion = cell("completion")
        return LabelledItem(
            item_id=cell(self._id_column) or f"line {line}",
            request_id=cell("request_id"),
            labels=self._labels(line, cells),
            prompt=cell("prompt"),
            completion=completion,
            reference=cell("reference"),
            contexts=_contexts(cell("contexts")),
            completion_chars=self._chars(line, cell("completion_chars"))
            if completion is None
            else len(completion),
        )

    def _labels(self, line: int, cells: Sequence[str]) -> dict[str, tuple[int, ...]]:
        labels: dict[str, tuple[int, ...]] = {}
        for dimension, columns in self.ratings.items():
            rated: list[int] = []
            for position, name in columns:
                cell = cells[position].strip()
                if not cell:
                    self.blank[dimension] += 1
                elif cell in _RATINGS:
                    rated.append(_RATINGS[cell])
                else:
                    self._fault(line, name, "not a whole number from 1 to 5; leave it empty if not rated")
            if rated:
                labels[dimension] = tuple(rated)
        return labels

    def _chars(self, line: int, cell: str | None) -> int | None:
        if cell is None:
            return None
        if cell.isascii() and cell.isdigit():
            return int(cell)
        self._fault(line, "completion_chars", "not a whole number of characters")
        return None

    def _fault(self, line: int, column: str, what: str) -> None:
        self.problems.append(f"line {line}, column `{column}`: {what}")


def _contexts(cell: str | None) -> tuple[str, ...]:
    """One text, or a JSON list of texts."""
    if cell is None:
        return ()
    if cell.startswith("["):
        try:
            texts = json.loads(cell)
        except ValueError:
            return (cell,)
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            return tuple(texts)
    return (cell,)


def _misspelt(name: str, known: Sequence[str]) -> str | None:
    """The name that was meant, if one nearly is."""
    as_long = [one for one in known if abs(len(one) - len(name)) <= _LETTERS_OFF]
    return next(iter(get_close_matches(name, as_long, 1, _NEARLY)), None)


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(_DELIMITERS, key=header.count)
