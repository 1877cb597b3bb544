"""A chart as data: times, series, thresholds, unit. Drawn by `static/charts.js` with uPlot. Pure.

A datapoint that is missing is None and leaves a gap: nothing is drawn where nothing is known, least of all a
zero. All charts of a page share their times, so that one crosshair goes through all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Literal

from watch.console.cells import Kind, unit_of
from watch.console.tables import Column, Row, Table

Severity = Literal["info", "warning", "critical"]
NOTHING_PUBLISHED: Final = "No data in this time. That is not zero: nothing was published."


@dataclass(frozen=True, slots=True)
class Series:
    """A line: one value for each of the chart's times, None where there is none."""

    label: str
    values: Sequence[float | None]
    week_before: bool = False
    """Dashed: the same time a week before, at this week's times."""
    rests_on: str | None = None
    """How much it rests on, such as "1,204 requests"."""

    @property
    def known(self) -> list[float]:
        """The values that are there."""
        return [value for value in self.values if value is not None and isfinite(value)]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A level that matters, with its name."""

    label: str
    value: float
    severity: Severity = "warning"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that matters, such as when a detector saw a change."""

    label: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart; `name` is its own on its page and names its file (`?format=csv&table=<name>`)."""

    name: str
    title: str
    kind: Kind
    times: Sequence[datetime]
    series: Sequence[Series]
    question: str = ""
    """What it answers, in one sentence."""
    thresholds: Sequence[Threshold] = ()
    marks: Sequence[Mark] = ()
    period: timedelta | None = None
    unknown: str | None = None
    """Why it cannot be read now, where it cannot."""
    stale_since: datetime | None = None
    incomplete: str | None = None
    """Why these are not all the values there are, where they are not."""
    when_empty: str = NOTHING_PUBLISHED
    """What is said instead of a chart without a value."""
    zero_based: bool = True
    stepped: bool = False
    """For states and counts: a value holds until the next."""
    _empty: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a series that does not have one value for each time: it would be drawn at wrong ones."""
        for series in self.series:
            if len(series.values) != len(self.times):
                raise ValueError(f"chart {self.name}: {series.label} has not one value for each time")
        object.__setattr__(self, "_empty", not any(series.known for series in self.series))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return self._empty

    @property
    def unit(self) -> str:
        """The unit of its values."""
        return unit_of(self.kind)

    @property
    def data(self) -> Mapping[str, Any]:
        """What the script draws; times in seconds since 1970."""
        return {
            "kind": self.kind,
            "unit": self.unit,
            "times": [int(time.timestamp()) for time in self.times],
            "period_s": int(self.period.total_seconds()) if self.period else None,
            "series": [
                {
                    "label": one.label,
                    "week_before": one.week_before,
                    "values": [_finite(v) for v in one.values],
                }
                for one in self.series
            ],
            "thresholds": [
                {"label": one.label, "value": one.value, "severity": one.severity} for one in self.thresholds
            ],
            "marks": [{"label": one.label, "at": int(one.at.timestamp())} for one in self.marks],
            "zero_based": self.zero_based,
            "stepped": self.stepped,
        }

    @property
    def summary(self) -> Table:
        """The chart in words: the latest, smallest and largest value of each series, and what is missing."""
        rows: list[Row] = []
        for series in self.series:
            known = series.known
            rows.append(
                {
                    "series": series.label,
                    "latest": known[-1] if known else None,
                    "least": min(known, default=None),
                    "most": max(known, default=None),
                    "points": len(known),
                    "missing": len(series.values) - len(known),
                }
            )
        return Table(
            caption=f"{self.title}: {len(self.times)} points in time",
            columns=(
                Column("series", "Series", sortable=False),
                Column("latest", "Latest", self.kind, sortable=False),
                Column("least", "Smallest", self.kind, sortable=False),
                Column("most", "Largest", self.kind, sortable=False),
                Column("points", "Points", "number", sortable=False),
                Column("missing", "Missing", "number", sortable=False),
            ),
            rows=rows,
            name=self.name,
        )

    @property
    def table(self) -> Table:
        """Every point, for the file."""
        labels = [series.label for series in self.series]
        rows: list[Row] = [
            {"time": time, **{label: one.values[at] for label, one in zip(labels, self.series, strict=True)}}
            for at, time in enumerate(self.times)
        ]
        return Table(
            caption=self.title,
            columns=(Column("time", "Time", "time"), *(Column(label, label, self.kind) for label in labels)),
            rows=rows,
            name=self.name,
        )


def along(
    times: Sequence[datetime],
    points: Mapping[datetime, float | Decimal | None],
    *,
    shift: timedelta | None = None,
) -> list[float | None]:
    """The values of points along `times`, None where there is none; with `shift`, of that much earlier."""
    found = (points.get(time - shift if shift else time) for time in times)
    return [None if value is None else float(value) for value in found]


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
