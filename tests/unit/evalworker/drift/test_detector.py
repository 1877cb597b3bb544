from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache

import msgspec
import numpy as np
import pytest

from evalworker.drift.baseline import Baseline, BaselineSettings, WarmingUp, baseline_at, hours_of, tabulated
from evalworker.drift.detector import DetectorSettings, DetectorState, Event, run
from evalworker.drift.evidence import STAKES, advance, log_growth, log_payoffs, log_total, unit_values
from evalworker.drift.replay import replayed
from harness.score_series import BEGIN, DAY, GOOD, SCORES, at_minute, chances, scores_of, series
from llmplatform.eval_series import BERTSCORE_BINS, JUDGE_BINS, MinuteScores

SETTINGS = DetectorSettings(series=5)
NORMAL = Baseline(
    n=14_000,
    mean=float(GOOD @ SCORES),
    binned_mean=float(GOOD @ SCORES),
    standard_error=0.008,
    swing=0.0,
    dispersion=1.0,
)


def all_at_once(
    minutes: Sequence[MinuteScores],
    state: DetectorState | None = None,
    history: Sequence[MinuteScores] = (),
) -> tuple[DetectorState, list[Event]]:
    hours = tabulated(hours_of([*history, *minutes], JUDGE_BINS))
    return replayed(state or DetectorState(), minutes, hours, JUDGE_BINS, SETTINGS)


def step(
    state: DetectorState,
    minute: MinuteScores,
    baseline: Baseline | WarmingUp,
    bins: Sequence[float],
    settings: DetectorSettings,
) -> tuple[DetectorState, Event | None]:
    state, event, _ = run(state, (minute,), baseline, bins, settings)
    return state, event


def under(
    baseline: Baseline, minutes: Sequence[MinuteScores], state: DetectorState | None = None
) -> tuple[DetectorState, list[Event]]:
    state, events = state or DetectorState(), []
    for minute in minutes:
        state, event = step(state, minute, baseline, JUDGE_BINS, SETTINGS)
        if event is not None:
            events.append(event)
    return state, events


def within(first: int, last: int, points: float) -> Callable[[int], float]:
    return lambda index: points if first <= index < last else 0.0


@cache
def ten_days_with_a_fall_on_the_eighth() -> tuple[MinuteScores, ...]:
    return tuple(series(10 * DAY, 2000, fall=within(8 * DAY, 9 * DAY, 0.8)))


def test_a_fall_is_one_alarm_and_its_end_one_recovery() -> None:
    state, events = all_at_once(ten_days_with_a_fall_on_the_eighth())

    fell, recovered = events
    assert (fell.kind, recovered.kind) == ("fell", "recovered")
    assert at_minute(8 * DAY) < fell.at < at_minute(8 * DAY + 240)
    assert at_minute(9 * DAY) < recovered.at < at_minute(9 * DAY + 480)
    assert abs(fell.onset - at_minute(8 * DAY)) < timedelta(minutes=60)
    assert 0.4 < fell.baseline_mean - fell.level < 1.4
    assert state.status == "steady"


def test_a_second_fall_after_recovery_is_a_second_alarm() -> None:
    def twice(index: int) -> float:
        return 0.8 if 8 * DAY <= index < 9 * DAY or index >= 10 * DAY else 0.0

    _, events = all_at_once(series(11 * DAY, 2000, fall=twice))

    assert [event.kind for event in events] == ["fell", "recovered", "fell"]


def test_while_fallen_deeper_is_no_second_alarm() -> None:
    state, events = under(NORMAL, series(DAY, 2000, fall=lambda at: 0.8 if at < DAY // 2 else 1.6))

    assert [event.kind for event in events] == ["fell"]
    assert state.status == "fallen"


@pytest.mark.parametrize("rise", [0.2, 0.7])
def test_a_rise_never_alarms(rise: float) -> None:
    _, events = under(NORMAL, series(3 * DAY, 20_000, fall=lambda _: -rise))

    assert not events


def test_a_time_in_alarm_is_no_part_of_later_baselines() -> None:
    minutes = ten_days_with_a_fall_on_the_eighth()
    state, (fell, recovered) = all_at_once(minutes)

    (span,) = state.excluded
    assert (span.start, span.end) == (fell.onset, recovered.at + timedelta(minutes=1))
    hours = tabulated(hours_of(minutes, JUDGE_BINS))
    later = baseline_at(at_minute(10 * DAY), hours, SETTINGS.baseline, excluded=state.excluded)
    assert isinstance(later, Baseline)
    assert later.mean == pytest.approx(NORMAL.mean, abs=0.04)


def test_one_minute_at_a_time_is_all_at_once_to_the_last_bit() -> None:
    minutes = ten_days_with_a_fall_on_the_eighth()[: 8 * DAY + 600]
    hours = tabulated(hours_of(minutes, JUDGE_BINS))
    half, _ = all_at_once(minutes[: 7 * DAY])

    whole, events = all_at_once(minutes)
    resumed, resumed_events = all_at_once(minutes[7 * DAY :], half, minutes[: 7 * DAY])
    single, single_events = half, []
    for minute in minutes[7 * DAY :]:
        baseline = baseline_at(minute.minute, hours, SETTINGS.baseline, excluded=single.excluded)
        single, event = step(single, minute, baseline, JUDGE_BINS, SETTINGS)
        single_events += [event] if event else []

    assert whole == resumed == single
    assert events == resumed_events == single_events != []


def test_a_state_survives_json_to_the_last_bit() -> None:
    for end in (DAY, 8 * DAY - 7, 8 * DAY + 600, 10 * DAY):
        state, _ = all_at_once(ten_days_with_a_fall_on_the_eighth()[:end])
        assert msgspec.json.decode(msgspec.json.encode(state), type=DetectorState) == state


def test_while_warming_up_it_says_what_is_missing() -> None:
    assert DetectorState().status == "warming_up"

    state, events = all_at_once(series(DAY, 200))

    assert not events
    assert state.status == "warming_up"
    assert state.warming is not None
    assert 250 < state.warming.missing_samples < 350
    assert state.warming.missing_hours == 2  # an hour of gap, and the one at hand


def test_minutes_without_scores_change_nothing_but_let_players_wait() -> None:
    steady, _ = under(NORMAL, series(60, 2000))
    nothing = np.zeros(5, dtype=int)
    same, event = step(steady, scores_of(61, nothing), NORMAL, JUDGE_BINS, SETTINGS)
    assert same is steady
    assert event is None

    late, _ = step(steady, scores_of(70, nothing + 1), NORMAL, JUDGE_BINS, SETTINGS)
    assert steady.as_of is not None
    waiting = (at_minute(70) - steady.as_of) // timedelta(minutes=1)
    unit = np.asarray((NORMAL.reference(JUDGE_BINS, SETTINGS.baseline) - 1) / 4)
    payoffs = log_payoffs(unit, unit_values(JUDGE_BINS))
    by_hand = np.array(steady.log_evidence)
    for _ in range(waiting - 1):
        by_hand = advance(by_hand, 0.0, np.zeros(STAKES.size))
    by_hand = advance(by_hand, 0.0, log_growth(np.ones(5), payoffs, np.asarray(1.0)))
    assert late.log_evidence == pytest.approx(tuple(by_hand), rel=1e-12)


@pytest.mark.parametrize("earlier", [0, 5])
def test_a_minute_that_is_not_later_is_refused(earlier: int) -> None:
    state, _ = step(DetectorState(), scores_of(5, np.ones(5, dtype=int)), NORMAL, JUDGE_BINS, SETTINGS)

    with pytest.raises(ValueError, match="order"):
        step(state, scores_of(earlier, np.ones(5, dtype=int)), NORMAL, JUDGE_BINS, SETTINGS)


def test_a_level_of_seven_days_becomes_the_normal_one() -> None:
    minutes = series(17 * DAY, 2000, fall=within(8 * DAY, 99 * DAY, 0.8))
    state, events = all_at_once(minutes)

    assert [event.kind for event in events] == ["fell", "accepted"]
    assert events[1].at - events[0].at >= SETTINGS.accept_after
    assert state.status == "steady"
    assert state.baseline_since == events[0].onset
    hours = tabulated(hours_of(minutes, JUDGE_BINS))
    now = baseline_at(at_minute(17 * DAY), hours, SETTINGS.baseline, since=state.baseline_since)
    assert isinstance(now, Baseline)
    assert now.mean == pytest.approx(NORMAL.mean - 0.8, abs=0.05)


@pytest.mark.parametrize("bins", [JUDGE_BINS, BERTSCORE_BINS])
@pytest.mark.parametrize("usual", [0, -1])
def test_no_count_overflows_and_no_constant_score_divides_by_zero(
    bins: tuple[float, ...], usual: int
) -> None:
    worst, best = (np.zeros(len(bins), dtype=int) for _ in range(2))
    worst[0] = best[-1] = 1_000_000
    constant = replace(NORMAL, mean=bins[usual], binned_mean=bins[usual], standard_error=0.0)
    state = DetectorState()
    kinds = []
    for at, counts in enumerate([best, worst, best, worst, worst]):
        minute = replace(scores_of(at, np.ones(5, dtype=int)), n=1_000_000, counts=tuple(counts.tolist()))
        state, event = step(state, minute, constant, bins, SETTINGS)
        kinds.append(event and event.kind)
        assert np.isfinite(state.log_evidence).all()

    fallen_and_back = [None, "fell", "recovered", "fell", None]
    assert kinds == (fallen_and_back if usual else [None] * 5)  # what is lowest cannot fall


def run_lengths(threshold: float, mean_off: float, replicates: int, dispersion: float = 1.0) -> list[int]:
    """Minutes until evidence reaches `threshold`, for scores whose mean is `mean_off` the reference."""
    rng = np.random.default_rng(7)
    reference = np.asarray((NORMAL.mean + mean_off - 1) / 4)
    payoffs = log_payoffs(reference, unit_values(JUDGE_BINS))
    evidence = np.full((replicates, STAKES.size), -np.inf)
    lengths = np.zeros(replicates, dtype=int)
    minute = 0
    while not lengths.all():
        minute += 1
        counts = rng.multinomial(rng.poisson(1.4, replicates), GOOD)
        evidence = advance(evidence, 0.0, log_growth(counts.astype(float), payoffs, np.asarray(dispersion)))
        lengths[(log_total(evidence) >= np.log(threshold)) & (lengths == 0)] = minute
    return lengths.tolist()


@pytest.mark.parametrize("threshold", [20, 100])
def test_mean_run_length_keeps_its_proven_bound_at_the_edge_of_normal(threshold: float) -> None:
    """The worst case that the guarantee covers: scores exactly at the reference, no tolerance left."""
    lengths = run_lengths(threshold, mean_off=0.0, replicates=400)

    assert np.mean(lengths) - 3 * np.std(lengths) / np.sqrt(len(lengths)) >= threshold


def test_mean_run_length_check_can_fail() -> None:
    assert np.mean(run_lengths(100, mean_off=0.5, replicates=400)) < 100


def test_the_threshold_shares_a_month_among_the_series_of_a_tenant() -> None:
    one, ten = DetectorSettings(series=1), DetectorSettings(series=10)

    assert np.exp(one.log_threshold) == pytest.approx(30 * 24 * 60)
    assert np.exp(ten.log_threshold) == pytest.approx(10 * 30 * 24 * 60)


@pytest.mark.parametrize(
    ("per_day", "swing", "burst"), [(2000, 0.0, 0.0), (10_000, 0.1, 0.0), (10_000, 0.1, 0.3)]
)
def test_shipped_settings_stay_quiet_over_two_tenant_weeks(per_day: int, swing: float, burst: float) -> None:
    """Estimated baselines, dependent scores; one alarm in these ten weeks of series would be two a month."""
    events = []
    for seed in range(10):
        rng = np.random.default_rng(100 + seed)

        def quality(index: int, rng: np.random.Generator = rng) -> float:
            return float(swing * np.cos(2 * np.pi * index / DAY) + burst * rng.standard_normal())

        events += all_at_once(series(14 * DAY, per_day, fall=quality, seed=seed))[1]

    assert not events


def test_a_mean_inside_the_tolerance_is_quiet_at_any_volume() -> None:
    for per_day in (2000, 200_000):
        _, events = under(NORMAL, series(2 * DAY, per_day, fall=lambda _: 0.08))
        assert not events


@pytest.mark.parametrize(("per_day", "median_minutes"), [(2000, 130), (10_000, 30), (40_000, 10)])
def test_a_fall_of_half_a_point_and_more_is_seen_within_the_published_delay(
    per_day: int, median_minutes: int
) -> None:
    delays = []
    for seed in range(20):
        _, events = under(NORMAL, series(DAY, per_day, fall=lambda _: 0.6, seed=seed))
        delays.append((events[0].at - BEGIN) / timedelta(minutes=1) + 1)

    assert np.median(delays) <= median_minutes


def test_what_people_would_take_instead_rings_all_the_time() -> None:
    """The textbook CUSUM on the same scores, so that a quiet detector above is no matter of quiet data."""
    scores = np.repeat(SCORES, np.random.default_rng(3).multinomial(14_000, GOOD))
    np.random.default_rng(4).shuffle(scores)
    mean, deviation, total, alarms = scores.mean(), scores.std(), 0.0, 0
    for score in scores:
        total = max(total + mean - 0.5 * deviation - score, 0.0)
        if total > 5 * deviation:
            total, alarms = 0.0, alarms + 1

    assert alarms > 5


def test_a_reference_below_the_scale_is_a_bet_that_is_never_won() -> None:
    settings = BaselineSettings()
    low = replace(NORMAL, binned_mean=1.05)
    assert low.reference(JUDGE_BINS, settings) < 1

    worst = [scores_of(at, np.array([50, 0, 0, 0, 0])) for at in range(600)]
    assert not under(low, worst)[1]


def test_an_alarm_needs_a_baseline() -> None:
    state, event = step(
        DetectorState(), scores_of(0, np.array([999, 0, 0, 0, 0])), WarmingUp(7, 0), JUDGE_BINS, SETTINGS
    )

    assert event is None
    assert state.warming == WarmingUp(7, 0)
    assert not state.log_evidence


def test_chances_have_the_mean_they_are_asked_for() -> None:
    assert chances(0.6) @ SCORES == pytest.approx(NORMAL.mean - 0.6)
