"""What tables say of requests, by whatever they are counted: what to ask for, and the cells. Pure.

A percentile is that of the whole time, asked for as such: those of its minutes cannot be put together. What
cost and budgets say is the latest since midnight UTC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from llmplatform import metrics as ours
from llmplatform.metrics import Metric
from llmplatform.policy import Objectives
from watch.console.panel_charts import whole_of
from watch.console.tables import Cell, Column, Row, State, as_cell
from watch.console.timerange import TimeRange
from watch.limits import Limits
from watch.metric_queries import Figures, Span, Wanted
from watch.tables.readings import Series, read

_ASKED: Final[Mapping[str, tuple[Metric, str]]] = {
    "requests": (ours.REQUEST_COUNT, "Sum"),
    "failed": (ours.REQUEST_FAILED, "Average"),
    "ttft_p50": (ours.TIME_TO_FIRST_TOKEN, "p50"),
    "ttft_p99": (ours.TIME_TO_FIRST_TOKEN, "p99"),
    "streams": (ours.TIME_TO_FIRST_TOKEN, "SampleCount"),
    "input_tokens": (ours.INPUT_TOKEN_COUNT, "Sum"),
    "output_tokens": (ours.OUTPUT_TOKEN_COUNT, "Sum"),
}
_COMPARED: Final = ("requests", "ttft_p99")
BEFORE: Final = "_week_before"

_COLUMNS: Final = (
    Column("requests", "Requests", "number", "Whatever became of them."),
    Column("failed", "Failed", "ratio", "Share of requests that the platform failed."),
    Column("ttft_p50", "TTFT p50", "ms", "Time to first token of streams, over the whole time."),
    Column("ttft_p99", "TTFT p99", "ms", "Time to first token of streams, over the whole time."),
)
_TOKENS: Final = (
    Column("input_tokens", "Input tokens", "number"),
    Column("output_tokens", "Output tokens", "number"),
)
_COLUMNS_BEFORE: Final = (
    Column(f"requests{BEFORE}", "Requests 7 d before", "number", "In the same time a week before."),
    Column(f"ttft_p99{BEFORE}", "TTFT p99 7 d before", "ms", "In the same time a week before."),
)
_GAUGE_PERIOD: Final = timedelta(minutes=15)
_OLD: Final = timedelta(minutes=90)
"""The cost job runs hourly: what is older is shown with its time."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests with these dimensions, over a page's time."""

    by: Mapping[str, str]
    range_: TimeRange

    def wants(self) -> Iterator[Wanted]:
        """What must be asked for."""
        for key in _ASKED:
            yield Wanted(self._series(key), whole_of(self.range_))
        if self.range_.compare_week:
            for key in _COMPARED:
                yield Wanted(self._series(key), whole_of(self.range_.week_before))

    def value(self, key: str, figures: Figures, *, week_before: bool = False) -> float | None:
        """One figure, None while unknown."""
        range_ = self.range_.week_before if week_before else self.range_
        return figures.of(self._series(key), whole_of(range_)).only

    def cells(
        self, figures: Figures, limits: Limits, objectives: Objectives | None = None
    ) -> dict[str, Cell]:
        """The cells of `columns`, with what they rest on and whether they keep what was promised."""
        values = {key: self.value(key, figures) for key in _ASKED}
        streams = values["streams"]
        rest = f"of {streams:,.0f}" if streams is not None and values["ttft_p99"] is not None else None
        cells = {key: Cell(values[key]) for key in ("requests", "input_tokens", "output_tokens")}
        cells["failed"] = Cell(values["failed"], state=failed_state(values["failed"], limits))
        cells["ttft_p50"] = Cell(
            values["ttft_p50"],
            state=_over(values["ttft_p50"], objectives.ttft_p50_ms if objectives else None),
        )
        cells["ttft_p99"] = Cell(
            values["ttft_p99"],
            state=_over(values["ttft_p99"], objectives.ttft_p99_ms if objectives else None),
            note=rest,
            title=None if rest is None else "streams that it rests on",
        )
        if self.range_.compare_week:
            for key in _COMPARED:
                cells[f"{key}{BEFORE}"] = Cell(self.value(key, figures, week_before=True))
        return cells

    def _series(self, key: str) -> Series:
        metric, statistic = _ASKED[key]
        return _series_of(metric, statistic, tuple(self.by.items()))


def columns(range_: TimeRange, *between: Column) -> tuple[Column, ...]:
    """The columns of `Traffic.cells`, others before those of tokens, which are read last."""
    before = _COLUMNS_BEFORE if range_.compare_week else ()
    return (*_COLUMNS, *before, *between, *_TOKENS)


@dataclass(frozen=True, slots=True)
class Gauge:
    """What was last said today of a figure that only its publisher adds up."""

    metric: Metric
    by: Mapping[str, str]
    now: datetime
    statistic: str = "Maximum"

    def wants(self) -> Iterator[Wanted]:
        """What must be asked for."""
        yield Wanted(self._series, since_midnight(self.now))

    def value(self, figures: Figures) -> float | None:
        """The latest, None where nothing was said today."""
        latest = figures.of(self._series, since_midnight(self.now)).latest
        return None if latest is None else latest[1]

    def cell(self, figures: Figures, state: State | None = None) -> Cell:
        """The latest, with its time where it is old."""
        latest = figures.of(self._series, since_midnight(self.now)).latest
        if latest is None:
            return Cell(None)
        at, value = latest
        old = self.now - at > _OLD
        return Cell(value, state=state, note=f"{at:%H:%M} UTC" if old else None)

    @property
    def _series(self) -> Series:
        return _series_of(self.metric, self.statistic, tuple(self.by.items()))


@lru_cache(maxsize=20_000)
def _series_of(metric: Metric, statistic: str, by: tuple[tuple[str, str], ...]) -> Series:
    """Held against the tables once: a page of fifty tenants names a thousand."""
    return read(metric, statistic, **dict(by)).series({})


def since_midnight(now: datetime) -> Span:
    """The UTC day so far: yesterday's spend is not today's, however late the cost job is."""
    first = now.replace(hour=0, minute=0, second=0, microsecond=0)
    periods = max(1, -((first - now) // _GAUGE_PERIOD))
    return Span(first, first + periods * _GAUGE_PERIOD, int(_GAUGE_PERIOD.total_seconds()))


def failed_state(share: float | None, limits: Limits) -> State | None:
    """Whether the error budget is being used up faster than even, or so fast that somebody is called."""
    budget = 1 - limits.availability_objective
    if share is None or share <= budget:
        return None
    return "critical" if share > budget * limits.fast_burn else "warning"


def budget_state(percent: float | None, limits: Limits) -> State | None:
    """Whether a daily budget is used up, or over what rings."""
    if percent is None or percent < 100:  # noqa: PLR2004  # percent
        return None
    return "critical" if percent > limits.budget_percent else "warning"


def totals(rows: Sequence[Row], first: str, *summed: str) -> Row:
    """The last row of a table: sums of what may be added up, and none of what may not."""
    row: dict[str, str | float | None] = {first: "Sum"}
    for key in summed:
        known = [
            float(value) for one in rows if isinstance(value := as_cell(one.get(key)).value, int | float)
        ]
        row[key] = sum(known) if known else None
    return row


def rests_on(rows: Sequence[Row], range_: TimeRange) -> str | None:
    """How many requests the rows of a table are about; None where nothing is known."""
    known = totals(rows, "", "requests")["requests"]
    return None if known is None else f"{known:,.0f} requests in {range_.told}"


def _over(value: float | None, objective: float | None) -> State | None:
    return "warning" if value is not None and objective is not None and value > objective else None
