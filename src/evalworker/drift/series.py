"""From results to minutes: which minutes results belong to, and what a minute adds up to. Pure.

A minute is always made of all of its results in the order of their keys, so whoever makes it again gets the
same figures to the last bit.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.eval_series import MinuteScores, Series, bin_of, minute_of
from llmplatform.evaluations import epoch_of

MINUTE: Final = timedelta(minutes=1)
_NEAR: Final = timedelta(minutes=10)
"""Touched minutes that are no farther apart are read in one go."""

Touched = Mapping[Series, frozenset[datetime]]
Minutes = Mapping[Series, Mapping[datetime, MinuteScores]]


def touched_by(judged: Iterable[JudgedScores]) -> Touched:
    """The minutes, by the time of the requests, that results belong to."""
    touched: defaultdict[Series, set[datetime]] = defaultdict(set)
    for scores in judged:
        for series, _ in _values(scores):
            touched[series].add(minute_of(scores.event_at))
    return {series: frozenset(minutes) for series, minutes in touched.items()}


def ranges_of(touched: Touched) -> list[tuple[datetime, datetime]]:
    """Times [start, end) that hold all touched minutes, rising, few and far between."""
    ranges: list[tuple[datetime, datetime]] = []
    for minute in sorted(frozenset[datetime]().union(*touched.values())):
        if ranges and minute - ranges[-1][1] <= _NEAR:
            ranges[-1] = (ranges[-1][0], minute + MINUTE)
        else:
            ranges.append((minute, minute + MINUTE))
    return ranges


def minutes_of(results: Iterable[JudgedScores], touched: Touched) -> Minutes:
    """The touched minutes, from all of their results; others among `results` are passed over."""
    values: defaultdict[tuple[Series, datetime], list[tuple[float, float]]] = defaultdict(list)
    for scores in results:
        minute = minute_of(scores.event_at)
        for series, value in _values(scores):
            if minute in touched.get(series, ()):
                values[series, minute].append((value, scores.sample_rate))
    rebuilt: defaultdict[Series, dict[datetime, MinuteScores]] = defaultdict(dict)
    for (series, minute), readings in values.items():
        rebuilt[series][minute] = minute_scores(minute, readings, series.bins)
    return rebuilt


def minute_scores(
    minute: datetime, readings: Sequence[tuple[float, float]], bins: Sequence[float]
) -> MinuteScores:
    """A minute of values, each with the rate that it was sampled at."""
    counts = [0] * len(bins)
    weight = weighted_sum = weighted_sum_squares = 0.0
    for value, rate in readings:
        counts[bin_of(value, bins)] += 1
        weight += 1 / rate
        weighted_sum += value / rate
        weighted_sum_squares += value * value / rate
    return MinuteScores(minute, len(readings), weight, weighted_sum, weighted_sum_squares, tuple(counts))


def _values(scores: JudgedScores) -> Iterator[tuple[Series, float]]:
    for dimension, value in scores.values.items():
        epoch = epoch_of(dimension, scores.judge_identity, scores.bertscore_identity)
        yield Series(scores.tenant_id, scores.model_id, dimension, epoch), value
