from datetime import UTC, datetime, timedelta

from evalworker.drift.series import minutes_of, ranges_of, touched_by
from llmplatform.aws.eval_reader import JudgedScores
from llmplatform.eval_series import Series
from llmplatform.evaluations import BERTSCORE

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def judged(
    after_s: float, *, rate: float = 0.05, judge: str = "judge-a", bert: float | None = None
) -> JudgedScores:
    return JudgedScores(
        tenant_id="acme",
        request_id=f"r-{after_s}",
        event_at=NOON + timedelta(seconds=after_s),
        judged_at=NOON + timedelta(hours=3),
        model_id="small",
        sample_rate=rate,
        judge_identity=judge,
        scores={"relevance": 4 if after_s < 60 else 2},
        bertscore_f1=bert,
        bertscore_identity=None if bert is None else "a scorer whose identity is longer than a key may hold",
    )


RELEVANCE = Series("acme", "small", "relevance", "judge-a")


def test_results_touch_the_minutes_of_their_requests_whenever_they_were_judged() -> None:
    touched = touched_by([judged(1), judged(59.9), judged(60)])
    assert touched == {RELEVANCE: {NOON, NOON + timedelta(minutes=1)}}


def test_another_judge_and_another_dimension_are_other_series() -> None:
    touched = touched_by([judged(1), judged(2, judge="judge-b", bert=0.9)])
    assert {(series.dimension, series.epoch) for series in touched} >= {
        ("relevance", "judge-a"),
        ("relevance", "judge-b"),
    }
    (likeness,) = (series for series in touched if series.dimension == BERTSCORE)
    assert likeness.epoch not in {"judge-a", "judge-b"}
    assert "#" not in likeness.epoch
    assert len(likeness.epoch) <= 32


def test_near_minutes_are_read_together_and_far_ones_apart() -> None:
    touched = touched_by([judged(0), judged(300), judged(7_200)])
    assert ranges_of(touched) == [
        (NOON, NOON + timedelta(minutes=6)),
        (NOON + timedelta(hours=2), NOON + timedelta(hours=2, minutes=1)),
    ]
    assert ranges_of({}) == []


def test_a_minute_is_the_weighted_sum_of_all_of_its_results() -> None:
    results = [judged(1, rate=0.5), judged(2, rate=0.25), judged(61)]
    made = minutes_of(results, touched_by(results[:1]))
    assert set(made) == {RELEVANCE}
    (minute,) = made[RELEVANCE].values()
    assert (minute.minute, minute.n, minute.counts) == (NOON, 2, (0, 0, 0, 2, 0))
    assert (minute.weight, minute.weighted_sum, minute.weighted_sum_squares) == (6.0, 24.0, 96.0)


def test_only_touched_minutes_are_made() -> None:
    results = [judged(1), judged(61)]
    made = minutes_of(results, touched_by(results[1:]))
    assert list(made[RELEVANCE]) == [NOON + timedelta(minutes=1)]
