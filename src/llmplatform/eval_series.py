"""Series of scores for drift: what a series is, its minutes, and how both are rows.

A week of raw results at 5 % is 700,000 rows; a week of minutes is 10,080 a series, and the counts of each
score in a minute lose nothing of it. Pure; the tables are defined in `llmplatform.aws.tables`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from llmplatform.aws.tables import EVAL_MINUTES
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import BERTSCORE, MAX_SCORE, MIN_SCORE

Item = dict[str, dict[str, Any]]

JUDGE_BINS: Final = tuple(float(score) for score in range(MIN_SCORE, MAX_SCORE + 1))
"""A bin a score: the counts are all there is to know."""
BERTSCORE_BINS: Final = tuple((at + 0.5) / 20 for at in range(20))
"""Twenty bins over [0, 1], by their middles; what is below 0 counts in the first."""

_RETENTION_S: Final = EVAL_MINUTES.retention_days * 86_400


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """One line of scores that can be compared with itself."""

    tenant_id: str
    model_id: str
    dimension: str
    epoch: str
    """Judge identity, or the scorer's for BERTScore: another one is another series."""

    @property
    def key(self) -> str:
        """Partition key of its minutes. No part can hold a `#`."""
        return f"{self.tenant_id}#{self.model_id}#{self.dimension}#{self.epoch}"

    @classmethod
    def of(cls, key: str) -> "Series":
        """The series that a key names. Raises TelemetryFault."""
        parts = key.split("#")
        if len(parts) != 4:  # noqa: PLR2004
            raise TelemetryFault("not the key of a series")
        return cls(*parts)

    @property
    def bins(self) -> tuple[float, ...]:
        """The value that each bin of its counts stands for, rising."""
        return BERTSCORE_BINS if self.dimension == BERTSCORE else JUDGE_BINS


@dataclass(frozen=True, slots=True)
class MinuteScores:
    """A minute of one series, by the time of the requests."""

    minute: datetime
    n: int
    weight: float
    """Requests that the `n` stand for: the sum of 1 / sample rate."""
    weighted_sum: float
    weighted_sum_squares: float
    counts: tuple[int, ...]
    """Number of scores by bin."""


def minute_of(moment: datetime) -> datetime:
    """The beginning of a moment's minute, UTC."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def minute_text(minute: datetime) -> str:
    """A minute as keys have it: `2026-11-23T20:15Z`."""
    return minute.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def bin_of(value: float, bins: Sequence[float]) -> int:
    """The bin nearest to a value; bins are evenly spaced."""
    step = bins[1] - bins[0]
    return min(max(round((value - bins[0]) / step), 0), len(bins) - 1)


def encode_minute(series: Series, scores: MinuteScores) -> Item:
    """The row of a minute."""
    return {
        "series": {"S": series.key},
        "minute": {"S": minute_text(scores.minute)},
        EVAL_MINUTES.ttl_attribute: {"N": str(int(scores.minute.timestamp()) + _RETENTION_S)},
        "n": {"N": str(scores.n)},
        "weight": {"N": repr(scores.weight)},
        "weighted_sum": {"N": repr(scores.weighted_sum)},
        "weighted_sum_squares": {"N": repr(scores.weighted_sum_squares)},
        "counts": {"L": [{"N": str(count)} for count in scores.counts]},
    }


def decode_minute(item: Mapping[str, Mapping[str, Any]]) -> MinuteScores:
    """The minute that a row holds. Raises TelemetryFault when it is none."""
    try:
        return _scores_of(msgspec.convert(item, _Row))
    except (msgspec.ValidationError, ValueError):
        raise TelemetryFault("not a minute of scores") from None


def decode_minutes(answer: bytes) -> tuple[list[MinuteScores], Mapping[str, Any] | None]:
    """The minutes of an answer to a Query, and where the next one begins; None after the last.

    In a quarter of the time that the rows take one by one. Raises TelemetryFault when it is no such answer.
    """
    try:
        page = _ANSWER.decode(answer)
        return [_scores_of(row) for row in page.Items], page.LastEvaluatedKey
    except (msgspec.DecodeError, ValueError):
        raise TelemetryFault("not minutes of scores") from None


class _Text(msgspec.Struct):
    S: str


class _Number(msgspec.Struct):
    N: str


class _Numbers(msgspec.Struct):
    L: list[_Number]


class _Row(msgspec.Struct):
    minute: _Text
    n: _Number
    weight: _Number
    weighted_sum: _Number
    weighted_sum_squares: _Number
    counts: _Numbers


class _Answer(msgspec.Struct):
    Items: list[_Row]
    LastEvaluatedKey: dict[str, Any] | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def _scores_of(row: _Row) -> MinuteScores:
    return MinuteScores(
        minute=datetime.fromisoformat(row.minute.S),
        n=int(row.n.N),
        weight=float(row.weight.N),
        weighted_sum=float(row.weighted_sum.N),
        weighted_sum_squares=float(row.weighted_sum_squares.N),
        counts=tuple([int(count.N) for count in row.counts.L]),
    )
