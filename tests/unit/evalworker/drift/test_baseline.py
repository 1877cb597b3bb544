from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evalworker.drift.baseline import (
    HOUR,
    Baseline,
    BaselineSettings,
    Span,
    WarmingUp,
    baseline_at,
    hour_of,
    hours_of,
    tabulated,
)
from harness.score_series import BEGIN, DAY, GOOD, SCORES, at_minute, scores_of, series
from llmplatform.eval_series import BERTSCORE_BINS, JUDGE_BINS, MinuteScores

SETTINGS = BaselineSettings()
MEAN = float(GOOD @ SCORES)
DEVIATION = float(np.sqrt(GOOD @ SCORES**2 - MEAN**2))


def found(minutes: list[MinuteScores], moment: datetime, *excluded: Span) -> Baseline:
    baseline = baseline_at(moment, tabulated(hours_of(minutes, JUDGE_BINS)), SETTINGS, excluded=excluded)
    assert isinstance(baseline, Baseline)
    return baseline


def test_hours_hold_what_their_minutes_held() -> None:
    minutes = series(DAY, 2000)

    hours = hours_of(minutes, JUDGE_BINS)

    assert [hour.hour for hour in hours] == [BEGIN + at * HOUR for at in range(24)]
    assert sum(hour.n for hour in hours) == sum(minute.n for minute in minutes)
    assert sum(hour.minutes for hour in hours) == sum(minute.n > 0 for minute in minutes)
    for name in ("weight", "weighted_sum"):
        of_minutes = sum(getattr(minute, name) for minute in minutes)
        assert sum(getattr(hour, name) for hour in hours) == pytest.approx(of_minutes)
    assert hours_of([scores_of(0, np.zeros(5, dtype=int))], JUDGE_BINS) == []


def test_hours_are_of_the_clock_in_utc() -> None:
    half_past = datetime.fromisoformat("2026-11-02T10:30:00+05:30")

    assert hour_of(half_past) == datetime(2026, 11, 2, 5, tzinfo=UTC)


def test_a_baseline_is_the_mean_of_a_week_with_its_error() -> None:
    baseline = found(series(8 * DAY, 2000), at_minute(8 * DAY - 1))

    assert baseline.n == pytest.approx(14_000, rel=0.03)
    assert baseline.standard_error == pytest.approx(DEVIATION / np.sqrt(14_000), rel=0.2)
    assert abs(baseline.mean - MEAN) < 4 * baseline.standard_error
    assert baseline.mean == pytest.approx(baseline.binned_mean)
    assert baseline.swing == pytest.approx(0, abs=0.03)
    assert baseline.dispersion == pytest.approx(1, abs=0.02)


def test_neither_the_last_day_nor_anything_older_than_a_week_before_it_counts() -> None:
    minutes = series(10 * DAY, 2000)
    moment = at_minute(9 * DAY + 30)
    first, last = moment - timedelta(days=8, minutes=30), moment - timedelta(days=1, minutes=30)
    spoiled = [
        minute
        if first <= minute.minute < last
        else replace(minute, counts=(minute.n, 0, 0, 0, 0), weighted_sum=minute.weight)
        for minute in minutes
    ]

    assert found(spoiled, moment) == found(minutes, moment)
    assert found(spoiled, moment + HOUR) != found(minutes, moment + HOUR)


def test_a_young_series_goes_without_the_last_hour_alone() -> None:
    minutes = series(2 * DAY, 2000)

    young = found(minutes, at_minute(26 * 60))

    assert young.n == sum(minute.n for minute in minutes[: 25 * 60])
    assert found(minutes, at_minute(2 * DAY)).n == sum(minute.n for minute in minutes[:DAY])


def test_a_baseline_is_the_same_for_all_minutes_of_an_hour() -> None:
    minutes = series(8 * DAY, 2000)

    assert found(minutes, at_minute(8 * DAY - 60)) == found(minutes, at_minute(8 * DAY - 1))


def test_hours_that_touch_a_time_of_fallen_scores_are_left_out() -> None:
    minutes = series(8 * DAY, 2000, fall=lambda at: 1.0 if 3 * DAY + 30 <= at < 4 * DAY - 30 else 0.0)
    span = Span(at_minute(3 * DAY + 30), at_minute(4 * DAY - 30))

    clean = found(minutes, at_minute(8 * DAY - 1), span)

    assert clean.n == pytest.approx(12_000, rel=0.03)
    assert clean.mean == pytest.approx(MEAN, abs=0.03)
    assert found(minutes, at_minute(8 * DAY - 1)).mean < MEAN - 0.1


def test_nothing_before_an_accepted_level_counts() -> None:
    minutes = series(8 * DAY, 2000, fall=lambda at: 1.0 if at < 5 * DAY else 0.0)
    hours = tabulated(hours_of(minutes, JUDGE_BINS))

    baseline = baseline_at(at_minute(8 * DAY), hours, SETTINGS, since=at_minute(5 * DAY))

    assert isinstance(baseline, Baseline)
    assert baseline.mean == pytest.approx(MEAN, abs=0.05)


@pytest.mark.parametrize(
    ("minutes", "per_day", "missing"),
    [(0, 0, WarmingUp(500, 24)), (600, 72_000, WarmingUp(0, 15))],
    ids=["nothing yet", "many scores of one morning"],
)
def test_too_little_is_no_baseline_and_says_what_is_missing(
    minutes: int, per_day: int, missing: WarmingUp
) -> None:
    hours = tabulated(hours_of(series(minutes, per_day), JUDGE_BINS))

    assert baseline_at(at_minute(minutes), hours, SETTINGS) == missing


def test_missing_samples_are_counted() -> None:
    few = [scores_of(60 * at, np.array([0, 0, 1, 4, 5])) for at in range(30)]
    hours = tabulated(hours_of(few, JUDGE_BINS))

    assert baseline_at(at_minute(31 * 60), hours, SETTINGS) == WarmingUp(500 - 300, 0)


def test_a_brake_on_sampling_does_not_move_the_mean() -> None:
    """By day answers are better and a tenth is sampled of what is by night."""
    minutes = []
    for at in range(8 * DAY):
        day = (at // 720) % 2 == 0
        counts = np.array([0, 0, 0, 0, 1]) if day else np.array([0, 0, 10, 0, 0])
        minutes.append(scores_of(at, counts, rate=0.05 if day else 0.5))

    assert found(minutes, at_minute(8 * DAY)).mean == pytest.approx(4.0, abs=0.02)


def test_a_swing_of_the_day_is_found_and_tolerated() -> None:
    calm = found(series(8 * DAY, 10_000), at_minute(8 * DAY))
    swinging = found(
        series(8 * DAY, 10_000, fall=lambda at: 0.2 * np.cos(2 * np.pi * at / DAY)), at_minute(8 * DAY)
    )

    assert swinging.swing == pytest.approx(0.2 / np.sqrt(2), rel=0.2)
    assert calm.reference(JUDGE_BINS, SETTINGS) == pytest.approx(
        calm.mean - 0.1 - 3 * calm.standard_error, abs=1e-9
    )
    assert swinging.mean - swinging.reference(JUDGE_BINS, SETTINGS) > 0.2


def test_bursts_of_like_scores_count_for_less() -> None:
    rng = np.random.default_rng(5)
    minutes = [scores_of(at, 3 * rng.multinomial(rng.poisson(3), GOOD)) for at in range(8 * DAY)]

    baseline = found(minutes, at_minute(8 * DAY))

    assert baseline.dispersion == pytest.approx(3, rel=0.15)  # each score came three times
    assert baseline.standard_error == pytest.approx(DEVIATION / np.sqrt(baseline.n / 3), rel=0.2)


def test_bertscores_keep_their_exact_mean_beside_that_of_the_bins() -> None:
    counts = [0] * 20
    counts[17] = 10
    minutes = [
        MinuteScores(at_minute(15 * at), 10, 200.0, 200 * 0.86, 200 * 0.86**2, tuple(counts))
        for at in range(4 * 192)
    ]
    hours = tabulated(hours_of(minutes, BERTSCORE_BINS))

    baseline = baseline_at(at_minute(8 * DAY), hours, SETTINGS)

    assert isinstance(baseline, Baseline)
    assert baseline.mean == pytest.approx(0.86)
    assert baseline.binned_mean == pytest.approx(0.875)
    assert baseline.standard_error == pytest.approx(0, abs=1e-9)
