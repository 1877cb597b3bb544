"""A panel, about one thing and over one time, as the frame's chart: what to ask for, what came of it. Pure.

What is drawn is in the panel's unit, of one GPU where the publisher sums over them, with the thresholds of
the thing in question and where they come from. A line is given with the number of requests it rests on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from llmplatform.metrics import EVAL_SCORES, INFERENCE, OUTPUT_TOKENS_PER_SECOND, TIME_TO_FIRST_TOKEN
from watch.console.cells import Kind
from watch.console.charts import NOTHING_PUBLISHED, Chart, Mark, Series, Threshold, along
from watch.console.timerange import WEEK, TimeRange
from watch.limits import Limits
from watch.metric_queries import Figures, Found, Span, Wanted
from watch.tables import native
from watch.tables.panel import Panel, Shown
from watch.tables.readings import Reading
from watch.tables.targets import EndpointVariant, Model, Target

_KINDS: Final[Mapping[Shown, Kind]] = {
    "requests": "number",
    "tokens": "tokens",
    "share": "ratio",
    "ms": "ms",
    "s": "seconds",
    "usd": "usd",
    "percent": "percent",
    "tokens/s": "per_second",
    "score": "score",
    "state": "number",
    "bytes": "bytes",
    "units": "number",
    "days": "number",
}
_RESTS_ON: Final[Mapping[str, str]] = {
    INFERENCE: "requests",
    EVAL_SCORES: "answers",
    native.BEDROCK: "calls",
    native.SAGEMAKER: "calls",
}
"""What a datapoint's samples are, by namespace; others' are moments at which somebody looked."""
_LOOKED_AT: Final = frozenset({native.ENDPOINT_CONCURRENT_REQUESTS.name})
_OF_STREAMS: Final = frozenset({TIME_TO_FIRST_TOKEN.name, OUTPUT_TOKENS_PER_SECOND.name})
_GOOD_NEWS: Final = "Nothing in this time: it is only published when there is some."


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel about one thing: a tenant, a variant, the platform."""

    panel: Panel
    target: Target
    name: str
    """Of the chart, its own on its page."""
    title: str = ""
    """Instead of the panel's, where a page shows it for several things."""

    def wants(self, range_: TimeRange) -> Iterator[Wanted]:
        """What must be asked for, to draw it."""
        for reading in self.panel.readings:
            series = reading.series(self.target.variables)
            yield Wanted(series, span_of(range_))
            if range_.compare_week:
                yield Wanted(series, span_of(range_.week_before))
            if _samples_of(reading):
                yield Wanted(replace(series, statistic="SampleCount"), whole_of(range_))

    def chart(self, figures: Figures, range_: TimeRange, limits: Limits) -> Chart:
        """The chart of what was read."""
        panel, times = self.panel, range_.steps
        lines = [self._found(reading, figures, range_) for reading in panel.readings]
        unknown = all(found.unknown for found in lines)
        summed = all(reading.statistic == "Sum" for reading in panel.readings)
        # A sum of a period that is not over looks like a fall.
        so_far = [Mark("so far", times[-1])] if summed and range_.unended else []
        return Chart(
            name=self.name,
            title=f"{self.title or panel.title}{f', per {range_.period_told}' if summed else ''}",
            kind=_KINDS[panel.shown],
            times=times,
            series=list(self._series(figures, range_, times)),
            question=f"{panel.question} The last point is the running {range_.period_told} so far."
            if so_far
            else panel.question,
            marks=so_far,
            thresholds=_lines_of(panel, self.target, limits),
            period=range_.period,
            unknown=_why(lines) if unknown else None,
            stale_since=min((one.read_at for one in lines if one.failed and one.read_at), default=None),
            incomplete=_incomplete(lines) or None,
            stepped=panel.drawn == "state",
            when_empty=_GOOD_NEWS if panel.sparse else NOTHING_PUBLISHED,
        )

    def _found(self, reading: Reading, figures: Figures, range_: TimeRange) -> Found:
        return figures.of(reading.series(self.target.variables), span_of(range_))

    def _series(self, figures: Figures, range_: TimeRange, times: Sequence[datetime]) -> Iterator[Series]:
        said: set[str] = set()
        for reading in self.panel.readings:
            scale = self.panel.scale / _gpus(reading, self.target)
            found = self._found(reading, figures, range_)
            rests_on = self._rests_on(reading, figures, range_)
            yield Series(
                reading.label,
                _scaled(along(times, found.values), scale),
                rests_on=None if rests_on in said else rests_on,
            )
            said.add(rests_on or "")
            if range_.compare_week:
                before = figures.of(reading.series(self.target.variables), span_of(range_.week_before))
                yield Series(
                    f"{reading.label}, a week before",
                    _scaled(along(times, before.values, shift=WEEK), scale),
                    week_before=True,
                )

    def _rests_on(self, reading: Reading, figures: Figures, range_: TimeRange) -> str | None:
        samples = _samples_of(reading)
        if not samples:
            return None
        series = replace(reading.series(self.target.variables), statistic="SampleCount")
        count = figures.of(series, whole_of(range_)).only
        return None if count is None else counted(count, samples)


def counted(count: float, what: str) -> str:
    """So many of something, such as "1,204 requests"."""
    return f"{count:,.0f} {what.removesuffix('s') if count == 1 else what}"


def span_of(range_: TimeRange) -> Span:
    """The time of a page, in its periods."""
    return Span(range_.first, range_.end, range_.period_s)


def whole_of(range_: TimeRange) -> Span:
    """The time of a page, in one."""
    return Span.whole(range_.first, range_.end)


def drawn_of(panels: Sequence[Panel], target: Target, *, suffix: str = "", title: str = "") -> list[Drawn]:
    """The panels that have something to show of a target: models of the other kind, and CPUs, have less."""
    return [
        Drawn(panel, target, f"{panel.key}{suffix}", f"{panel.title}{title}" if title else "")
        for panel in panels
        if _applies(panel, target)
    ]


def _applies(panel: Panel, target: Target) -> bool:
    if not panel.variables <= target.variables.keys():
        return False
    if isinstance(target, Model):
        return panel.needs in {"", target.entry.endpoint_type}
    if isinstance(target, EndpointVariant):
        return target.gpu_count > 0 or not any(reading.per_gpu for reading in panel.readings)
    return True


def _gpus(reading: Reading, target: Target) -> int:
    return target.gpu_count if reading.per_gpu and isinstance(target, EndpointVariant) else 1


def _samples_of(reading: Reading) -> str:
    """What a percentile or a mean rests on; "" where that says nothing."""
    if reading.statistic != "Average" and not reading.statistic.startswith("p"):
        return ""
    if reading.metric.name in _LOOKED_AT:
        return ""
    if reading.metric.name in _OF_STREAMS:
        return "streams"
    return _RESTS_ON.get(reading.metric.namespace, "")


def _scaled(values: Sequence[float | None], scale: float) -> list[float | None]:
    return [None if value is None else value * scale for value in values]


def _lines_of(panel: Panel, target: Target, limits: Limits) -> list[Threshold]:
    gpus = max((_gpus(reading, target) for reading in panel.readings), default=1)
    by_value: dict[float, list[str]] = {}
    for threshold in panel.thresholds:
        if (value := threshold.value(target, limits)) is not None:
            field = threshold.setting.partition(",")[0].rpartition(".")[2]
            told = f"{field} ({threshold.source})" if field else threshold.source
            by_value.setdefault(value / gpus, []).append(told)
    return [Threshold("; ".join(told), value) for value, told in by_value.items()]


def _why(lines: Sequence[Found]) -> str:
    return next((found.failed for found in lines if found.failed), "")


def _incomplete(lines: Sequence[Found]) -> str:
    """Why not all is here; a line that could not be read is no line without values."""
    told = (found.incomplete or (found.failed if found.unknown else "") for found in lines)
    return next(filter(None, told), "")
