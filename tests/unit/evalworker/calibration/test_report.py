import asyncio
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from corpus.calibration.make_labels import ScriptedJudge, labels_csv
from evalworker.calibration.bootstrap import CONSTANT, NO_ITEMS
from evalworker.calibration.gate import GateRule, gate
from evalworker.calibration.judgements import JudgedItem, NoScore, Scores
from evalworker.calibration.judging import judge_items
from evalworker.calibration.labels import LabelledItem, parse_labels
from evalworker.calibration.record import calibration_age_days, calibration_record
from evalworker.calibration.report import Report, build_report
from llmplatform.evaluations import JUDGE_DIMENSIONS

ONE = "relevance"
RULE = GateRule(dimensions=(ONE,))


def item(people: tuple[int, ...], *said: int | NoScore, chars: int | None = 100) -> JudgedItem:
    labels = {ONE: people} if people else {}
    scores: tuple[Scores, ...] = tuple(each if isinstance(each, NoScore) else {ONE: each} for each in said)
    return JudgedItem(LabelledItem("id", None, labels, completion_chars=chars), scores)


def report_of(judged: list[JudgedItem], *, resamples: int = 200, repeat: int = 1) -> Report:
    return build_report(
        judged, judge_identity="j", repeat=repeat, rng=np.random.default_rng(0), resamples=resamples
    )


def noisy(
    items: int, *, judge: float, people: float = 0.5, length: float = 5.0, seed: int = 1
) -> list[JudgedItem]:
    """Items with a hidden quality that judge, people and length see with errors of such size."""
    rng = np.random.default_rng(seed)

    def seen(error: float) -> int:
        return int(np.clip(np.rint(quality + rng.normal(0, error)), 1, 5))

    judged = []
    for _ in range(items):
        quality = rng.normal(3.5, 1)
        chars = int(np.exp(5 + quality + rng.normal(0, length)))
        judged.append(item((seen(people), seen(people)), seen(judge), chars=chars))
    return judged


LABEL = st.integers(1, 5)
ITEM = st.builds(
    lambda people, said, chars: item(tuple(people), *said, chars=chars),
    st.lists(LABEL, max_size=3),
    st.lists(st.one_of(LABEL, st.sampled_from(NoScore)), min_size=1, max_size=2),
    st.integers(1, 50),
)


@given(st.lists(ITEM, min_size=1, max_size=40))
def test_every_figure_is_what_each_judgement_against_each_person_gives(judged: list[JudgedItem]) -> None:
    said, people, weights = [], [], []
    for each in judged:
        scores = [scores[ONE] for scores in each.judgements if not isinstance(scores, NoScore)]
        labels = each.item.labels.get(ONE, ())
        for score in scores:
            for label in labels:
                said.append(score)
                people.append(label)
                weights.append(1 / len(scores) / len(labels))
    told = report_of(judged, resamples=20).dimensions[0]
    if not said:
        assert told.judge.kappa.reason == NO_ITEMS
        return
    agree = np.average([a == b for a, b in zip(said, people, strict=True)], weights=weights)
    assert told.judge.exact.value == pytest.approx(agree)
    assert told.bias.value == pytest.approx(np.average(np.subtract(said, people), weights=weights), abs=1e-12)
    assert sum(map(sum, told.confusion)) == pytest.approx(told.coverage.compared)
    if len({*said, *people}) > 1:
        assert told.judge.kappa.value == pytest.approx(
            cohen_kappa_score(
                said, people, weights="quadratic", labels=[1, 2, 3, 4, 5], sample_weight=weights
            ),
            abs=1e-9,
        )
    else:
        assert told.judge.kappa.value is None
        assert told.judge.kappa.reason == CONSTANT


@given(st.lists(st.tuples(LABEL, LABEL, st.integers(1, 30)), min_size=2, max_size=40))
def test_rho_of_judge_and_of_length_is_scipys(rows: list[tuple[int, int, int]]) -> None:
    people, said, chars = zip(*rows, strict=True)
    told = report_of([item((p,), s, chars=c) for p, s, c in rows], resamples=20).dimensions[0]
    for ours, side in ((told.judge.spearman, said), (told.length.spearman, chars)):
        if len(set(people)) == 1 or len(set(side)) == 1:
            assert ours.value is None
            assert ours.reason == CONSTANT
        else:
            theirs = spearmanr(side, people).statistic
            expected = theirs if side is said else abs(theirs)
            assert ours.value == pytest.approx(expected, abs=1e-9)


def test_nothing_in_a_report_is_ever_nan() -> None:
    for judged in (
        [item((5,), 5)] * 30,
        [item((), 3)],
        [item((2, 2), NoScore.MALFORMED)],
        [item((1,), 5)] * 9,
    ):
        document = calibration_record(
            report := report_of(judged), gate(report, RULE), calibrated_at=datetime.now(UTC)
        )
        assert "nan" not in repr(report).lower()
        assert "nan" not in repr(document).lower()


def test_length_as_a_judge_takes_the_better_direction_and_the_distribution_of_people() -> None:
    shorter_is_better = [item((5 - index // 20,), 3, chars=10 * (index + 1)) for index in range(100)]
    told = report_of(shorter_is_better).dimensions[0]
    assert told.length.exact.value == 1
    assert told.length.kappa.value == pytest.approx(1)
    assert told.length.spearman.value is not None
    assert told.length.spearman.value > 0.97


def test_a_length_that_is_unknown_makes_the_baseline_unknown_and_the_gate_says_so() -> None:
    judged = [*noisy(300, judge=0.3), item((4, 4), 4, chars=None)]
    report = report_of(judged)
    told = report.dimensions[0]
    assert told.length.kappa.value is None
    assert told.length.kappa.reason is not None
    assert "completion_chars" in told.length.kappa.reason
    verdict = gate(report, RULE)
    assert not verdict.passed
    assert any("length baseline's is unknown" in reason for reason in verdict.reasons[ONE])
    not_compared = item((), 4, chars=None)
    assert gate(report_of([*judged[:-1], not_compared]), RULE).passed


def test_people_among_themselves_are_compared_pair_by_pair() -> None:
    judged = [item((1, 1), 1), item((2, 5), 2), item((3, 3), 3), item((4,), 4)] * 5
    told = report_of(judged).dimensions[0]
    assert told.people.exact.value == pytest.approx(2 / 3)
    one, other = [1, 2, 5, 3] * 5, [1, 5, 2, 3] * 5
    weights = [1, 0.5, 0.5, 1] * 5
    assert told.people.kappa.value == pytest.approx(
        cohen_kappa_score(one, other, weights="quadratic", labels=[1, 2, 3, 4, 5], sample_weight=weights)
    )
    alone = report_of([item((4,), 4), item((3,), 2)]).dimensions[0].people.kappa
    assert (alone.value, alone.reason) == (None, "no item was rated by two people")


def test_three_who_disagree_do_not_outweigh_one() -> None:
    told = report_of([item((1, 2, 3), 5), item((5,), 5)]).dimensions[0]
    assert told.judge.exact.value == 0.5


def test_coverage_counts_every_judgement_and_scores_none_that_is_malformed() -> None:
    judged = [
        item((4,), 4, NoScore.MALFORMED),
        item((4,), NoScore.MALFORMED, NoScore.UNAVAILABLE),
        item((), 1, 1),
        JudgedItem(LabelledItem("x", None, {ONE: (2,)}), ({"coherence": 2}, {ONE: 2})),
    ]
    coverage = report_of(judged, repeat=2).dimensions[0].coverage
    assert (coverage.labelled, coverage.compared, coverage.asked, coverage.scored) == (3, 2, 6, 2)
    assert coverage.without_score == {"dimension_absent": 1, "malformed": 2, "unavailable": 1}
    assert coverage.share == pytest.approx(1 / 3)
    assert report_of([item((), 1)]).dimensions[0].coverage.share is None


def test_repeats_tell_the_spread_within_an_item() -> None:
    judged = [item((4,), 4, 4), item((4,), 3, 5), item((4,), 2)]
    assert report_of(judged).dimensions[0].within_item_sd == pytest.approx(1)  # variances 0 and 2
    assert report_of([item((4,), 4)]).dimensions[0].within_item_sd is None


def test_overall_pools_the_dimensions() -> None:
    both = JudgedItem(
        LabelledItem("a", None, {"relevance": (5,), "coherence": (2, 1)}, completion_chars=7),
        ({"relevance": 5, "coherence": 1},),
    )
    overall = report_of([both] * 12).overall
    assert overall.judge.exact.value == pytest.approx(0.75)
    assert (overall.coverage.labelled, overall.coverage.asked) == (12, 24)
    assert overall.length.exact.value is not None


def test_a_dimension_does_not_move_the_interval_of_another() -> None:
    alone = noisy(60, judge=0.6)
    more = [
        JudgedItem(
            LabelledItem("a", None, {**each.item.labels, "coherence": (3,)}, completion_chars=5),
            tuple(
                {**scores, "coherence": 2} for scores in each.judgements if not isinstance(scores, NoScore)
            ),
        )
        for each in alone
    ]
    assert report_of(alone).dimensions[0].judge == report_of(more).dimensions[0].judge


def test_the_gate_opens_for_a_judge_that_is_as_good_as_people() -> None:
    verdict = gate(report_of(noisy(300, judge=0.5)), RULE)
    assert verdict.passed
    assert verdict.reasons == {ONE: ()}


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (noisy(199, judge=0.4), "199 items compared, 200 are needed"),
        ([*noisy(300, judge=0.4), *[item((4,), NoScore.MALFORMED)] * 7], "97.7% of judgements gave a score"),
        (noisy(300, judge=1.6, people=0.9), "kappa may be as low as"),
        (noisy(400, judge=0.9, people=0.3), "under people's own"),
        (noisy(300, judge=0.6, length=0.1), "kappa is not surely above the length baseline's"),
        (noisy(300, judge=0.6, length=0.1), "Spearman's rho is not surely above the length baseline's"),
        (noisy(300, judge=9), "kappa is not surely above the always-the-mode baseline's"),
        ([item((5,), 5)] * 250, "kappa is unknown: one side is constant"),
        ([item((), 5)] * 250, "0 items compared"),
    ],
)
def test_the_gate_stays_shut_and_says_why(judged: list[JudgedItem], reason: str) -> None:
    verdict = gate(report_of(judged), RULE)
    assert not verdict.passed
    assert any(reason in each for each in verdict.reasons[ONE]), verdict.reasons


def test_coverage_just_good_enough_passes() -> None:
    assert gate(report_of([*noisy(294, judge=0.4), *[item((4,), NoScore.MALFORMED)] * 6]), RULE).passed


def test_a_dimension_without_labels_fails_the_whole() -> None:
    verdict = gate(report_of(noisy(300, judge=0.5)), GateRule())
    assert not verdict.passed
    assert verdict.reasons[ONE] == ()
    assert all(verdict.reasons[dimension] for dimension in JUDGE_DIMENSIONS[1:])


def test_the_record_holds_figures_and_no_text_and_tells_its_age() -> None:
    labels = parse_labels(labels_csv().encode())
    judged = asyncio.run(judge_items(ScriptedJudge(), labels.items, repeat=1, concurrency=3))
    report = report_of(list(judged))
    at = datetime(2026, 11, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    record = calibration_record(report, gate(report, GateRule()), calibrated_at=at)
    assert record["judge_identity"] == "j"
    assert record["calibrated_at"] == "2026-11-01T12:00:00+00:00"
    assert record["passed"] is True
    assert record["dimensions"].keys() == set(JUDGE_DIMENSIONS)
    assert record["dimensions"]["relevance"]["kappa"] == report.dimensions[0].judge.kappa.value
    assert "parcel" not in repr(record)
    assert calibration_age_days(record, now=datetime(2026, 11, 3, 0, tzinfo=UTC)) == 1.5
