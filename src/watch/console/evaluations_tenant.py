"""A tenant's evaluations as data: means over time, distributions, how they stand, the worst answers. Pure.

Scores of two epochs are two lines, two distributions and two rows: whatever is drawn here is of one judge.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from llmplatform.eval_scores import Mean
from llmplatform.eval_series import MinuteScores
from llmplatform.eval_series import Series as ScoreSeries
from llmplatform.eval_status import SeriesStatus
from llmplatform.evaluations import BERTSCORE
from watch.console.charts import Chart, Mark, Series, Threshold
from watch.console.evaluations_overview import STATES, title_of
from watch.console.evaluations_worst import LOW
from watch.console.tables import Cell, Column, Row, Table
from watch.console.timerange import WEEK, TimeRange
from watch.evaluations.folding import Bin, bins_of, counts_of, points_of, steps_of, whole_of
from watch.evaluations.reaches import Reach, held_to, reaches_of
from watch.evaluations.standing import order_of, told_of

MOST_MINUTES: Final = 60_000
"""That one view reads, a week before included: a week of five dimensions, or a month of one."""
MOST_EPOCHS: Final = 4
"""Of one dimension that are drawn, the newest of them."""
_SHORT: Final = 8
_FEW_BARS: Final = 5

Minutes = Mapping[ScoreSeries, tuple[MinuteScores, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a view is about."""

    tenant_id: str
    model: str | None
    """None without any series."""
    models: tuple[str, ...] = ()
    """Those that there are."""
    dimension: str | None = None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How scores of one dimension and epoch are spread."""

    title: str
    answers: int
    bins: tuple[Bin, ...]
    before: tuple[Bin, ...] | None
    """The week before; None where that is not asked for."""
    table: Table

    @property
    def bars(self) -> list[tuple[Bin, Bin | None]]:
        """The bars from the highest on, each with the week before; of many the empty ends are left out."""
        before: Sequence[Bin | None] = self.before or [None] * len(self.bins)
        bars = list(zip(self.bins, before, strict=True))
        filled = [at for at, pair in enumerate(bars) if any(one is not None and one.count for one in pair)]
        if len(bars) > _FEW_BARS and filled:
            bars = bars[filled[0] : filled[-1] + 1]
        return bars[::-1]


@dataclass(frozen=True, slots=True)
class EvaluationsOfTenant:
    """What is asked for, and what was told."""

    choice: Choice
    statuses: Sequence[SeriesStatus]
    """Of the model, dimension and epoch that are asked for, the newest epoch of each dimension first; of
    earlier epochs only those that scored in the time."""
    range_: TimeRange
    reaches: tuple[Reach, ...] = field(init=False)
    begins: datetime | None = field(init=False)
    """Where the minutes begin that are shown, where all of the range would be too many."""

    def __post_init__(self) -> None:
        """Find out what can be read."""
        range_ = self.range_
        most = MOST_MINUTES // 2 if range_.compare_week else MOST_MINUTES
        reaches, begins = held_to(reaches_of(self.statuses, range_.first, range_.end), range_.steps, most)
        object.__setattr__(self, "reaches", reaches)
        object.__setattr__(self, "begins", begins)

    @property
    def reaches_before(self) -> tuple[Reach, ...]:
        """The minutes of the week before; none where that is not asked for."""
        if not self.range_.compare_week:
            return ()
        before = self.range_.week_before
        shift = self.range_.first - before.first
        first = before.first if self.begins is None else self.begins - shift
        return reaches_of(self.statuses, first, before.end)

    @property
    def dimensions(self) -> list[str]:
        """Those that there is something of, in order."""
        return sorted({status.series.dimension for status in self.statuses}, key=order_of)

    def charts(self, minutes: Minutes, before: Minutes) -> list[Chart]:
        """The means of each dimension, and how many answers they rest on."""
        if not self.statuses:
            return []
        answers = self._answered(minutes)
        steps, period = steps_of(self.range_.first, self.range_.end, self.range_.period, answers)
        drawing = _Drawing(steps, period, minutes, before)
        return [*(self._chart(dimension, drawing) for dimension in self.dimensions), self._answers(drawing)]

    def distributions(self, minutes: Minutes, before: Minutes) -> list[Distribution]:
        """How the scores of each dimension and epoch are spread; none of what has no score in the time."""
        found = []
        for status in self.statuses:
            series = status.series
            counts = counts_of(minutes.get(series, ()), len(series.bins))
            if not sum(counts):
                continue
            earlier = None
            if self.range_.compare_week:
                earlier = bins_of(counts_of(before.get(series, ()), len(series.bins)))
            found.append(self._distribution(status, counts, earlier))
        return found

    def table(self, minutes: Minutes | None, before: Minutes) -> Table:
        """How each series stands, and its mean; `minutes` is None where they cannot be read."""
        rows = [self._row(status, minutes, before) for status in self.statuses]
        columns = _COLUMNS if self.range_.compare_week else tuple(c for c in _COLUMNS if c.key != "before")
        answers = _answers_told(self._answered(minutes or {}))
        return Table(
            caption=f"How scores stand, and their means over {self.range_.told}",
            name="standing",
            columns=columns,
            rows=rows,
            rests_on=answers if minutes is not None else "no means: they cannot be read now",
            empty="No series of scores is like that.",
        )

    def low_link(self, dimension: str | None = None) -> str:
        """The requests with low scores."""
        query = {**self.range_.query, "tenant": self.choice.tenant_id, "score": str(LOW)}
        if self.choice.model is not None:
            query["model"] = self.choice.model
        if dimension is not None:
            query["dimension"] = dimension
        return f"/requests?{urlencode(query)}"

    def _chart(self, dimension: str, drawing: "_Drawing") -> Chart:
        range_ = self.range_
        statuses = [status for status in self.statuses if status.series.dimension == dimension]
        lines: list[Series] = []
        for status in statuses:
            points = drawing.points(status.series)
            label = "mean" if len(statuses) == 1 else f"mean, {_epoch_told(status)}"
            answers = sum(point.n for point in points)
            lines.append(Series(label, [point.value for point in points], rests_on=_answers_told(answers)))
            if range_.compare_week:
                values = [point.value for point in drawing.points_before(status.series)]
                lines.append(Series(f"{label}, a week before", values, week_before=True))
        return Chart(
            name=dimension,
            title=f"{title_of(dimension)}, mean of {drawing.period_told}",
            kind="score",
            times=drawing.steps,
            series=lines,
            question=_QUESTIONS.get(dimension, ""),
            thresholds=[level for status in statuses if status.current for level in _levels(status)],
            marks=[mark for mark in _marks(statuses) if range_.first <= mark.at < range_.end],
            period=drawing.period,
            when_empty="Nothing was scored in this time. That is not a score of zero.",
            zero_based=False,
        )

    def _answers(self, drawing: "_Drawing") -> Chart:
        judged: list[list[int]] = []
        likened: list[list[int]] = []
        for dimension in self.dimensions:
            counts = [0] * len(drawing.steps)
            for status in self.statuses:
                if status.series.dimension == dimension:
                    counts = [
                        n + point.n for n, point in zip(counts, drawing.points(status.series), strict=True)
                    ]
            (likened if dimension == BERTSCORE else judged).append(counts)
        return Chart(
            name="answers",
            title=f"Answers scored in {drawing.period_told}",
            kind="number",
            times=drawing.steps,
            series=[
                Series(label, [float(n) if (n := max(at)) else None for at in zip(*counts, strict=True)])
                for label, counts in (("judged", judged), ("with a reference", likened))
                if counts
            ],
            question="How many answers does each point rest on?",
            period=drawing.period,
            when_empty="Nothing was scored in this time.",
            stepped=True,
        )

    def _distribution(
        self, status: SeriesStatus, counts: Sequence[int], before: tuple[Bin, ...] | None
    ) -> Distribution:
        series = status.series
        several = sum(one.series.dimension == series.dimension for one in self.statuses) > 1
        title = f"{title_of(series.dimension)}{f', {_epoch_told(status)}' if several else ''}"
        bins = bins_of(counts)
        rows: list[Row] = [
            {
                "score": one.label,
                "answers": one.count,
                "share": one.share,
                "before": None if before is None else before[at].share,
            }
            for at, one in enumerate(bins)
        ]
        columns = (
            Column("score", "Score", sortable=False),
            Column("answers", "Answers", "number", sortable=False),
            Column("share", "Share", "ratio", sortable=False),
            *(() if before is None else (Column("before", "A week before", "ratio", sortable=False),)),
        )
        table = Table(
            caption=f"{title}: distribution",
            name=f"distribution-{series.dimension}-{series.epoch}",
            columns=columns,
            rows=rows,
        )
        return Distribution(title, sum(counts), bins, before, table)

    def _row(self, status: SeriesStatus, minutes: Minutes | None, before: Minutes) -> Row:
        series, fall, told = status.series, status.fall, told_of(status)
        mean = Mean() if minutes is None else whole_of(minutes.get(series, ()))
        return {
            "dimension": Cell(title_of(series.dimension), href=f"#chart-{series.dimension}"),
            "state": Cell(
                told.word, state=STATES[told.word], note=f"lacks {told.lacks}" if told.lacks else None
            ),
            "mean": mean.value,
            "n": None if minutes is None else mean.n,
            "stands_for": None if minutes is None else mean.weight,
            "before": whole_of(before.get(series, ())).value,
            "baseline": Cell(
                status.baseline_mean,
                note=None if status.baseline_samples is None else f"of {status.baseline_samples:,}",
            ),
            "drop": Cell(status.drop_percent, state="warning" if status.dropped else None),
            "level": None if fall is None else fall.level,
            "fell": None if fall is None else fall.onset,
            "alarmed": None if fall is None else fall.alarmed_at,
            "epoch": series.epoch,
            "began": status.began,
            "latest": status.latest,
        }

    def _answered(self, minutes: Minutes) -> int:
        """Answers: what the dimension with most of them has."""
        by_dimension: dict[str, int] = {}
        for status in self.statuses:
            n = whole_of(minutes.get(status.series, ())).n
            by_dimension[status.series.dimension] = by_dimension.get(status.series.dimension, 0) + n
        return max(by_dimension.values(), default=0)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Minutes along the points of charts."""

    steps: tuple[datetime, ...]
    period: timedelta
    minutes: Minutes
    before: Minutes

    def points(self, series: ScoreSeries) -> tuple[Mean, ...]:
        """A mean for each step."""
        return points_of(self.minutes.get(series, ()), self.steps, self.period)

    def points_before(self, series: ScoreSeries) -> tuple[Mean, ...]:
        """The same a week before."""
        steps = [step - WEEK for step in self.steps]
        return points_of(self.before.get(series, ()), steps, self.period)

    @property
    def period_told(self) -> str:
        """How much time one point covers."""
        minutes = self.period // timedelta(minutes=1)
        return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


def chosen(
    tenant_id: str, statuses: Sequence[SeriesStatus], query: Mapping[str, str], range_: TimeRange
) -> tuple[Choice, list[SeriesStatus]]:
    """What a query asks for, and its series: those that scores come from now, those that scored in the time.

    A model or an epoch that is not there leaves none.
    """
    models = sorted({status.series.model_id for status in statuses})
    model = query.get("model") or _liveliest(statuses)
    dimension, epoch = query.get("dimension") or None, query.get("epoch") or None
    found = [
        status
        for status in statuses
        if status.series.model_id == model
        and dimension in {None, status.series.dimension}
        and epoch in {None, status.series.epoch}
        and (status.current or _scored_in(status, range_))
    ]
    kept: list[SeriesStatus] = []
    for name in sorted({status.series.dimension for status in found}, key=order_of):
        of_dimension = [status for status in found if status.series.dimension == name]
        of_dimension.sort(key=lambda status: (status.current, status.began), reverse=True)
        kept += of_dimension[:MOST_EPOCHS]
    choice = Choice(tenant_id=tenant_id, model=model, models=tuple(models), dimension=dimension, epoch=epoch)
    return choice, kept


def _scored_in(status: SeriesStatus, range_: TimeRange) -> bool:
    times = [range_, range_.week_before] if range_.compare_week else [range_]
    return any(reaches_of([status], time.first, time.end) for time in times)


_QUESTIONS: Final = {
    "relevance": "Do answers answer what was asked?",
    "coherence": "Do answers hang together?",
    "factual_fidelity": "Do answers keep to the facts that they were given?",
    "absence_of_hallucination": "Do answers make nothing up?",
    BERTSCORE: "How alike are answers and their references?",
}
_COLUMNS: Final = (
    Column("dimension", "Dimension"),
    Column("state", "Detector", help="Whether scores have fallen, beyond chance."),
    Column("mean", "Mean", "score", "Weighted by the requests that each score stands for."),
    Column("n", "Answers", "number"),
    Column("stands_for", "Stand for", "number", "Requests: the sum of 1 / sample rate."),
    Column("before", "A week before", "score"),
    Column("baseline", "Baseline", "score", "The seven days that ended 24 hours ago, without falls."),
    Column("drop", "Below baseline", "percent", "Of the latest scores; minus is above."),
    Column("level", "Level since", "score", "The mean since the fall began."),
    Column("fell", "Fell", "time"),
    Column("alarmed", "Alarm", "time", "When the evidence was enough."),
    Column("epoch", "Epoch"),
    Column("began", "Epoch began", "time"),
    Column("latest", "Last scored", "time"),
)


def _levels(status: SeriesStatus) -> Iterator[Threshold]:
    if status.baseline_mean is not None:
        yield Threshold("baseline", status.baseline_mean, "info")
    if status.fall is not None:
        yield Threshold("level since the fall", status.fall.level, "critical")


def _marks(statuses: Sequence[SeriesStatus]) -> Iterator[Mark]:
    first = min((status.began for status in statuses), default=None)
    for status in statuses:
        if status.fall is not None and status.current:
            yield Mark("fell", status.fall.onset)
            yield Mark("alarm", status.fall.alarmed_at)
        if status.began != first:
            yield Mark(f"new epoch: {_epoch_told(status)}", status.began)


def _epoch_told(status: SeriesStatus) -> str:
    series = status.series
    return f"{'scorer' if series.dimension == BERTSCORE else 'judge'} {series.epoch[:_SHORT]}"


def _answers_told(count: int) -> str:
    return f"{count:,} answer{'' if count == 1 else 's'}"


def _liveliest(statuses: Sequence[SeriesStatus]) -> str | None:
    """The model to begin with: one that has fallen, else the one that was scored last."""
    first = max(statuses, key=lambda status: (status.fall is not None, status.latest), default=None)
    return None if first is None else first.series.model_id
