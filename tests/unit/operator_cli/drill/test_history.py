from collections import defaultdict
from datetime import UTC, datetime, timedelta

from evalworker.drift.baseline import Baseline, HourTable, baseline_at, hours_of, tabulated
from evalworker.drift.series import minute_scores
from evalworker.drift.settings import DriftSettings
from evalworker.judging.judge import JudgeConfig, judge_of
from evalworker.judging.rubric import load_rubric
from llmplatform.eval_series import JUDGE_BINS, minute_of
from llmplatform.evaluations import EvalResult, decode_result, encode_result
from llmplatform.judges import load_judge_models
from operator_cli.drill.history import results_of
from sandbox.laptop import JUDGES

NOW = datetime(2026, 11, 29, 20, 7, tzinfo=UTC)
CONFIG = JudgeConfig(load_judge_models(JUDGES).named("scripted"), load_rubric(None))
PAST = list(results_of("shop", "model", CONFIG, NOW))


def table_of(results: list[EvalResult]) -> HourTable:
    values = defaultdict[datetime, list[tuple[float, float]]](list)
    for result in results:
        values[minute_of(result.event_at)].append((result.scores["relevance"], result.sample_rate))
    minutes = [minute_scores(at, values[at], JUDGE_BINS) for at in sorted(values)]
    return tabulated(hours_of(minutes, JUDGE_BINS))


def test_the_seeded_past_is_a_baseline_to_the_detector() -> None:
    found = baseline_at(NOW, table_of(PAST), DriftSettings().detector.baseline)
    assert isinstance(found, Baseline)
    assert 4.5 < found.mean < 4.9


def test_it_is_a_baseline_whatever_the_time_of_the_day() -> None:
    for hours in range(0, 24, 5):
        now = NOW + timedelta(hours=hours)
        past = list(results_of("shop", "model", CONFIG, now))
        assert isinstance(baseline_at(now, table_of(past), DriftSettings().detector.baseline), Baseline)


def test_results_are_rows_of_the_judge_that_runs() -> None:
    assert {result.judge for result in PAST} == {judge_of(CONFIG)}
    assert decode_result(encode_result(PAST[0])) == PAST[0]


def test_nothing_is_in_the_future_and_no_request_is_twice_there() -> None:
    assert max(result.judged_at for result in PAST) < NOW
    assert len({result.request_id for result in PAST}) == len(PAST)
    assert [result.event_at for result in PAST] == sorted(result.event_at for result in PAST)


def test_the_same_time_has_the_same_past() -> None:
    assert list(results_of("shop", "model", CONFIG, NOW)) == PAST
