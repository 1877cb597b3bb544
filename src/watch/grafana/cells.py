"""What a dashboard is made of, before it is Grafana's: cells in rows, variables, a folder. Pure.

Which cells make which dashboard is in `boards`, how each is drawn in `drawing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal

from watch.tables.panel import Panel, Shown
from watch.tables.readings import Reading

Source = Literal["cloudwatch", "athena", "xray", "promql"]
"""Where a cell's data comes from; also the name of the variable that chooses the data source."""
SOURCES: Final[Mapping[Source, str]] = {
    "cloudwatch": "cloudwatch",
    "athena": "grafana-athena-datasource",
    "xray": "grafana-x-ray-datasource",
    "promql": "grafana-amazonprometheus-datasource",
}
"""The plugins, as Grafana names their types."""

_UID_PREFIX: Final = "llm-"
_UID_HEX: Final = 32  # with the prefix 36 of the 40 characters that Grafana takes


def uid_of(key: str) -> str:
    """The uid of a dashboard or folder: the same for the same key, in every workspace."""
    return _UID_PREFIX + sha256(key.encode()).hexdigest()[:_UID_HEX]


def is_ours(uid: str) -> bool:
    """Whether a uid has the form of ours."""
    digest = uid.removeprefix(_UID_PREFIX)
    return digest != uid and len(digest) == _UID_HEX and not set(digest) - set("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold as it is drawn, in the unit that is shown."""

    value: float
    meaning: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A reading with its variables filled in: by a value, or by `$name` of a variable of the dashboard."""

    reading: Reading
    values: Mapping[str, str]
    label: str


@dataclass(frozen=True, slots=True)
class MetricCell:
    """A panel of the table, for one target or one variable."""

    key: str
    panel: Panel
    asked: tuple[Asked, ...]
    lines: tuple[Line, ...] = ()
    gpu_count: int = 0
    """What a reading that is summed over GPUs is divided by."""
    view: str | None = None
    """Where the console shows the same."""
    title: str = ""
    """Another than the panel's own."""
    latest: bool = False
    """Bars of the newest values, to compare many, instead of lines over time."""
    source: Source = field(default="cloudwatch", init=False)


@dataclass(frozen=True, slots=True)
class AthenaCell:
    """A query of the history of evaluations."""

    key: str
    title: str
    question: str
    sql: str
    shown: Shown
    drawn: Literal["table", "bars"]
    traces: bool = False
    """Whether its column `trace_id` leads to the debug dashboard."""
    source: Source = field(default="athena", init=False)


@dataclass(frozen=True, slots=True)
class PromCell:
    """A query of the OpenTelemetry metrics of SageMaker's detailed observability."""

    key: str
    title: str
    question: str
    query: str
    legend: str
    unit: str
    source: Source = field(default="promql", init=False)


@dataclass(frozen=True, slots=True)
class TraceCell:
    """A trace of X-Ray, by its id there."""

    key: str
    title: str
    question: str
    trace_id: str
    source: Source = field(default="xray", init=False)


@dataclass(frozen=True, slots=True)
class LogCell:
    """Lines of a log group, by a query of Logs Insights."""

    key: str
    title: str
    question: str
    log_group: str
    query: str
    source: Source = field(default="cloudwatch", init=False)


@dataclass(frozen=True, slots=True)
class TextCell:
    """Markdown."""

    key: str
    title: str
    question: str
    text: str
    source: Source | None = field(default=None, init=False)


Cell = MetricCell | AthenaCell | PromCell | TraceCell | LogCell | TextCell


@dataclass(frozen=True, slots=True)
class Row:
    """Cells under a heading. What is folded away asks nothing until somebody opens it."""

    title: str
    cells: tuple[Cell, ...]
    folded: bool = False
    for_each: str = ""
    """A variable for each of whose values Grafana repeats the row."""


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader chooses: one of `values`, a text of its own, or what a query makes of another."""

    name: str
    label: str
    values: tuple[str, ...] = ()
    several: bool = False
    """Any number of them, at first all."""
    sql: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of dashboards: what access is given to."""

    key: str
    title: str

    @property
    def uid(self) -> str:
        """Its uid."""
        return uid_of(f"folder/{self.key}")


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    key: str
    kind: Literal["executive", "operational", "debug", "tenant", "platform"]
    title: str
    meaning: str
    folder: Folder
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-3h"
    refresh: str = ""
    """How often it asks again by itself; empty is not at all, since each time costs queries."""
    view: str = "/"
    """Where the console shows the same."""
    tenant_id: str | None = None

    @property
    def uid(self) -> str:
        """Its uid."""
        return uid_of(f"dashboard/{self.key}")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All of them, in order."""
        return tuple(cell for row in self.rows for cell in row.cells)
