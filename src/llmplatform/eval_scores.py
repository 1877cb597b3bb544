"""Scores over time, as weighted means, one judge epoch at a time, and the worst answers. Pure.

Each score stands for as many requests as its sample rate says, so means are weighted by it. Scores of two
judges are never put into one figure: whatever is made here is of one epoch. The command and the console show
the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.eval_series import MinuteScores, Series
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, JUDGE_DIMENSIONS, epoch_of

HOURLY_UP_TO: Final = timedelta(hours=48)

Width = Literal["hour", "day"]
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_STEPS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


@dataclass(slots=True)
class Mean:
    """A weighted mean in the making."""

    n: int = 0
    weight: float = 0.0
    total: float = 0.0

    def add(self, value: float, weight: float) -> None:
        """Take one score that stands for `weight` requests."""
        self.n += 1
        self.weight += weight
        self.total += value * weight

    def add_minute(self, minute: MinuteScores) -> None:
        """Take the scores of a minute, summed already."""
        self.n += minute.n
        self.weight += minute.weight
        self.total += minute.weighted_sum

    @property
    def value(self) -> float | None:
        """The mean; unknown without scores."""
        return self.total / self.weight if self.weight else None


@dataclass(frozen=True, slots=True)
class Line:
    """One series over time."""

    series: Series
    buckets: tuple[tuple[datetime, Mean], ...]
    """Every hour or day of the span, with its beginning; those without scores too."""
    whole: Mean
    latest: datetime
    """Time of the last request that was scored."""


@dataclass(slots=True)
class _Growing:
    whole: Mean = field(default_factory=Mean)
    buckets: defaultdict[datetime, Mean] = field(default_factory=lambda: defaultdict(Mean))
    latest: datetime = _NEVER


def width_of(start: datetime, end: datetime) -> Width:
    """By the hour, or by the day where that would be too many."""
    return "hour" if end - start <= HOURLY_UP_TO else "day"


def epoch_in(scores: JudgedScores, dimension: str) -> str:
    """The epoch that a value of this dimension belongs to."""
    return epoch_of(dimension, scores.judge_identity, scores.bertscore_identity)


def lines_of(scored: Iterable[JudgedScores], start: datetime, end: datetime) -> tuple[Line, ...]:
    """A line for each model, dimension and epoch: the judges first, of them the one that was last seen."""
    width = width_of(start, end)
    growing: defaultdict[Series, _Growing] = defaultdict(_Growing)
    for scores in scored:
        for dimension, value in scores.values.items():
            series = Series(scores.tenant_id, scores.model_id, dimension, epoch_in(scores, dimension))
            grown = growing[series]
            weight = 1 / scores.sample_rate
            grown.whole.add(value, weight)
            grown.buckets[_bucket(scores.event_at, width)].add(value, weight)
            grown.latest = max(grown.latest, scores.event_at)
    beginnings = tuple(_beginnings(start, end, width))
    lines = [
        Line(
            series,
            tuple((at, grown.buckets.get(at, Mean())) for at in beginnings),
            grown.whole,
            grown.latest,
        )
        for series, grown in growing.items()
    ]
    last_seen: dict[str, datetime] = {}
    for line in lines:
        epoch = line.series.epoch
        last_seen[epoch] = max(last_seen.get(epoch, line.latest), line.latest)
    return tuple(
        sorted(
            lines,
            key=lambda line: (
                line.series.dimension == BERTSCORE,
                -last_seen[line.series.epoch].timestamp(),
                line.series.epoch,
                line.series.model_id,
                _order(line.series.dimension),
            ),
        )
    )


@dataclass(frozen=True, slots=True)
class Worst:
    """An answer with its lowest score."""

    scores: JudgedScores
    dimension: str
    value: float


def worst_of(scored: Sequence[JudgedScores], count: int, dimension: str | None = None) -> tuple[Worst, ...]:
    """The answers with the lowest scores, the worst first, of the epoch that scored last.

    By one dimension, or by each answer's lowest of the judge's; of equals the one with the lowest other
    scores first, then the newest.
    """
    asked = JUDGE_DIMENSIONS if dimension is None else (dimension,)
    having = [scores for scores in scored if any(name in scores.values for name in asked)]
    if not having:
        return ()
    newest = max(having, key=lambda scores: scores.judged_at)
    named = next(name for name in asked if name in newest.values)
    epoch = epoch_in(newest, named)
    worst = []
    for scores in having:
        if epoch_in(scores, named) != epoch:
            continue
        value, name = min((scores.values[name], name) for name in asked if name in scores.values)
        worst.append(Worst(scores, name, value))
    worst.sort(key=lambda one: (one.value, sum(one.scores.scores.values()), -one.scores.event_at.timestamp()))
    return tuple(worst[:count])


def _order(dimension: str) -> int:
    return DIMENSIONS.index(dimension) if dimension in DIMENSIONS else len(DIMENSIONS)


def _bucket(moment: datetime, width: Width) -> datetime:
    beginning = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return beginning if width == "hour" else beginning.replace(hour=0)


def _beginnings(start: datetime, end: datetime, width: Width) -> Iterator[datetime]:
    at = _bucket(start, width)
    while at < end:
        yield at
        at += _STEPS[width]
