from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from evalworker.drift.baseline import Baseline
from evalworker.drift.drop import Drop, DropSettings, drop_at, window_before
from harness.score_series import DAY, at_minute, scores_of, series
from llmplatform.eval_series import MinuteScores

SETTINGS = DropSettings()
FEW = DropSettings(min_samples=30)
BASELINE = Baseline(n=14_000, mean=4.0, binned_mean=4.0, standard_error=0.01, swing=0.0, dispersion=1.0)


def minutes_of(*counts: int, times: int = 1, rate: float = 0.05) -> list[MinuteScores]:
    """Fifteen minutes, each with these counts."""
    return [scores_of(at, np.array(counts) * times, rate) for at in range(15)]


def drop(minutes: list[MinuteScores], baseline: Baseline = BASELINE) -> Drop:
    found = drop_at(at_minute(15), minutes, baseline, FEW)
    assert found is not None
    return found


def test_more_than_15_percent_is_a_breach_and_15_is_not() -> None:
    exact = drop(minutes_of(0, 3, 0, 17, 0), replace(BASELINE, mean=3.7 / 0.85))
    more = drop(minutes_of(0, 3, 1, 16, 0), replace(BASELINE, mean=3.7 / 0.85))

    assert exact.percent == pytest.approx(15)
    assert exact.percent <= 15 + 1e-9
    assert more.breached
    assert more.percent == pytest.approx(100 * (1 - 3.65 / (3.7 / 0.85)))
    assert not drop(minutes_of(0, 3, 0, 17, 0), replace(BASELINE, mean=3.69 / 0.85)).breached


def test_a_rise_is_a_negative_drop_and_no_breach() -> None:
    risen = drop(minutes_of(0, 0, 0, 0, 20))

    assert risen.percent == pytest.approx(-25)
    assert not risen.breached
    assert risen.p_value > 0.999


@pytest.mark.parametrize(("counts", "breached"), [((1, 0, 1, 0, 1), True), ((0, 1, 0, 2, 1), False)])
def test_a_hundred_times_as_many_scores_give_the_same_verdict(
    counts: tuple[int, ...],
    breached: bool,  # noqa: FBT001
) -> None:
    few, many = drop(minutes_of(*counts)), drop(minutes_of(*counts, times=100))

    assert few.percent == pytest.approx(many.percent)
    assert few.breached == many.breached == breached
    assert many.p_value < few.p_value  # what chance could do is said beside it


def test_means_are_weighted_by_what_scores_stand_for() -> None:
    half = minutes_of(0, 0, 0, 0, 20, rate=0.5)[:7] + minutes_of(0, 0, 2, 0, 0, rate=0.05)[7:14]

    assert drop(half).current_mean == pytest.approx(4.0)


@pytest.mark.parametrize(("per_minute", "shortest", "longest"), [(20, 15, 15), (3, 25, 45), (0.2, 350, 700)])
def test_the_window_is_the_last_hundred_scores_and_at_least_15_minutes(
    per_minute: float, shortest: int, longest: int
) -> None:
    minutes = series(DAY, DAY * per_minute)

    found = drop_at(at_minute(DAY), minutes, BASELINE, SETTINGS)

    assert found is not None
    assert shortest <= found.window_minutes <= longest
    assert found.n == sum(minute.n for minute in minutes[-found.window_minutes :])
    assert found.n >= SETTINGS.min_samples
    if shortest > SETTINGS.min_minutes:
        assert found.n - minutes[-found.window_minutes].n < SETTINGS.min_samples


def test_what_lies_before_a_window_is_never_needed_again() -> None:
    minutes = series(DAY, 3 * DAY)
    kept: list[MinuteScores] = []
    for at, minute in enumerate(minutes):
        kept = list(window_before(at_minute(at), kept, SETTINGS) or kept)
        assert drop_at(at_minute(at), kept, BASELINE, SETTINGS) == drop_at(
            at_minute(at), minutes, BASELINE, SETTINGS
        )
        kept.append(minute)
    assert len(kept) < 100


def test_too_few_scores_are_no_verdict() -> None:
    few, enough = minutes_of(6, 0, 0, 0, 0), minutes_of(7, 0, 0, 0, 0)

    assert drop_at(at_minute(15), few, BASELINE, SETTINGS) is None
    assert drop_at(at_minute(15), enough, BASELINE, SETTINGS) is not None
    assert drop_at(at_minute(14) + timedelta(days=1), enough, BASELINE, SETTINGS) is None
    assert drop_at(at_minute(15), enough, replace(BASELINE, mean=0.0), SETTINGS) is None


def test_the_minute_at_hand_is_not_in_the_window() -> None:
    open_minute = [*minutes_of(0, 0, 0, 20, 0), scores_of(15, np.array([999, 0, 0, 0, 0]))]

    assert drop(open_minute).percent == pytest.approx(0)


def test_p_value_is_that_of_a_normal_mean() -> None:
    minutes = minutes_of(0, 1, 0, 5, 0)  # mean 3.67, deviation 0.745, 90 scores
    exact = replace(BASELINE, mean=11 / 3 + 2 * 0.7454 / np.sqrt(90), standard_error=0.0)

    assert drop(minutes, exact).p_value == pytest.approx(0.02275, rel=0.01)
    assert drop(minutes_of(0, 0, 0, 5, 0), replace(exact, mean=4.1)).p_value == 0
