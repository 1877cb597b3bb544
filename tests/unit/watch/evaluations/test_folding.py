"""Minutes as points, sums and distributions: whatever is folded, nothing is lost and nothing is added."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.scored import minute
from llmplatform.eval_series import MinuteScores
from watch.evaluations.folding import bins_of, counts_of, points_of, steps_of, whole_of

FIRST = datetime(2026, 11, 23, 10, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

some_minutes = st.dictionaries(
    st.integers(0, 2_000),
    st.tuples(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.sampled_from([0.05, 0.5, 1.0])),
    max_size=40,
)


def minutes_of(found: dict[int, tuple[list[int], float]]) -> list[MinuteScores]:
    return [minute(FIRST + at * MINUTE, *scores, rate=rate) for at, (scores, rate) in sorted(found.items())]


@given(some_minutes, st.integers(1, 2_000), st.integers(1, 300))
def test_every_answer_of_the_time_is_in_one_point(
    found: dict[int, tuple[list[int], float]], length: int, period: int
) -> None:
    steps = tuple(FIRST + at * MINUTE for at in range(0, length, period))
    points = points_of(minutes_of(found), steps, period * MINUTE)
    end = len(steps) * period
    assert sum(point.n for point in points) == sum(
        len(scores) for at, (scores, _) in found.items() if at < end
    )
    for at, point in enumerate(points):
        inside = [
            (score, 1 / rate)
            for when, (scores, rate) in found.items()
            if at * period <= when < (at + 1) * period
            for score in scores
        ]
        if not inside:
            assert point.value is None
        else:
            mean = sum(score * weight for score, weight in inside) / sum(weight for _, weight in inside)
            assert point.value is not None
            assert abs(point.value - mean) < 1e-9


@given(some_minutes)
def test_a_distribution_and_a_sum_hold_as_many_answers_as_the_minutes(
    found: dict[int, tuple[list[int], float]],
) -> None:
    minutes = minutes_of(found)
    counts = counts_of(minutes, 5)
    answers = [score for scores, _ in found.values() for score in scores]
    assert list(counts) == [answers.count(score) for score in range(1, 6)]
    assert sum(counts) == whole_of(minutes).n
    shares = [one.share for one in bins_of(counts)]
    if answers:
        assert abs(sum(share or 0 for share in shares) - 1) < 1e-9
    else:
        assert shares == [None] * 5


@given(st.integers(1, 43_200), st.integers(0, 1_000_000), st.sampled_from([1, 5, 15, 60]))
def test_points_cover_the_time_and_are_never_finer_than_asked(length: int, answers: int, finest: int) -> None:
    end = FIRST + length * MINUTE
    steps, period = steps_of(FIRST, end, finest * MINUTE, answers)
    assert period >= finest * MINUTE
    assert steps[0] <= FIRST < steps[0] + period
    assert steps[-1] < end <= steps[-1] + period
    assert all(after - before == period for before, after in pairwise(steps))


def test_few_answers_make_coarser_points_but_still_a_course() -> None:
    end = FIRST + timedelta(hours=24)
    assert steps_of(FIRST, end, 5 * MINUTE, 100_000)[1] == 5 * MINUTE
    assert steps_of(FIRST, end, 5 * MINUTE, 1_300)[1] == 30 * MINUTE
    assert steps_of(FIRST, end, 5 * MINUTE, 3)[1] == 60 * MINUTE


def test_bins_of_a_likeness_are_named_by_their_bounds() -> None:
    bins = bins_of([0] * 19 + [4])
    assert (bins[0].label, bins[19].label, bins[19].share) == ("0.00–0.05", "0.95–1.00", 1.0)
    assert [one.label for one in bins_of([1, 0, 0, 0, 1])] == ["1", "2", "3", "4", "5"]
