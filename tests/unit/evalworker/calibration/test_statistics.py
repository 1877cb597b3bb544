"""Against scikit-learn and SciPy on random ratings, and against published figures."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from evalworker.calibration.statistics import (
    LABELS,
    Array,
    exact_agreement,
    mean_difference,
    quadratic_kappa,
    spearman,
)

Pairs = list[tuple[int, int]]
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=80)


def table(one: list[int], other: list[int], levels: int = 5) -> Array:
    counts = np.zeros((levels, levels))
    for a, b in zip(one, other, strict=True):
        counts[a - 1, b - 1] += 1
    return counts


def apart(pairs: Pairs) -> tuple[list[int], list[int]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


@given(PAIRS)
def test_kappa_is_scikit_learns(pairs: Pairs) -> None:
    one, other = apart(pairs)
    ours = float(quadratic_kappa(table(one, other)))
    if len({*one, *other}) == 1:
        assert np.isnan(ours)
        return
    assert ours == pytest.approx(
        cohen_kappa_score(one, other, weights="quadratic", labels=list(LABELS)), abs=1e-12
    )


@given(PAIRS)
def test_rho_is_scipys_with_ties_at_mean_ranks(pairs: Pairs) -> None:
    one, other = apart(pairs)
    ours = float(spearman(table(one, other)))
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert np.isnan(ours)
        return
    assert ours == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


@given(PAIRS)
def test_agreement_and_bias_are_what_counting_gives(pairs: Pairs) -> None:
    one, other = apart(pairs)
    counts = table(one, other)
    assert float(exact_agreement(counts)) == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    assert float(mean_difference(counts)) == pytest.approx(np.mean(one) - np.mean(other), abs=1e-12)


@given(PAIRS)
def test_the_sides_may_be_exchanged(pairs: Pairs) -> None:
    counts = table(*apart(pairs))
    for statistic in (exact_agreement, quadratic_kappa, spearman):
        assert float(statistic(counts)) == pytest.approx(float(statistic(counts.T)), nan_ok=True)


@given(PAIRS, st.integers(2, 9))
def test_counting_everything_several_times_changes_nothing(pairs: Pairs, times: int) -> None:
    counts = table(*apart(pairs))
    for statistic in (exact_agreement, quadratic_kappa, spearman, mean_difference):
        assert float(statistic(counts * times)) == pytest.approx(
            float(statistic(counts)), nan_ok=True, abs=1e-12
        )


@given(st.lists(PAIRS, min_size=1, max_size=5))
def test_a_stack_of_tables_gives_what_each_gives_alone(several: list[Pairs]) -> None:
    stack = np.array([table(*apart(pairs)) for pairs in several])
    for statistic in (exact_agreement, quadratic_kappa, spearman, mean_difference):
        alone = [float(statistic(each)) for each in stack]
        assert statistic(stack).tolist() == pytest.approx(alone, nan_ok=True)


@given(PAIRS)
def test_a_constant_baseline_has_a_kappa_of_zero_and_no_rho(pairs: Pairs) -> None:
    _, people = apart(pairs)
    assume(len(set(people)) > 1)
    constant = table([3] * len(people), people)
    assert float(quadratic_kappa(constant)) == pytest.approx(0, abs=1e-12)
    assert np.isnan(spearman(constant))


def test_no_pairs_have_no_statistics_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for statistic in (exact_agreement, quadratic_kappa, spearman, mean_difference):
            assert np.isnan(statistic(np.zeros((5, 5))))


def test_kappa_of_the_r_package_metrics_example() -> None:
    """ScoreQuadraticWeightedKappa of CRAN's Metrics 0.1.4: its manual page prints 0.56."""
    assert float(quadratic_kappa(table([1, 4, 5, 5, 2, 1], [2, 2, 4, 5, 3, 3]))) == pytest.approx(0.56)


def test_kappa_of_the_anxiety_ratings() -> None:
    """`anxiety[,2:3]` of CRAN's irr: kappa2(..., "squared") gives 0.2520325 (also in statsmodels' tests).

    The column holds three people's twenty ratings each. irr numbers the levels that occur, and none of these
    two is a 5; so 6 is the fifth here.
    """
    column = "333455235226152212433646242433" + "233322133421443216111233113322"
    second, third = ([5 if digit == "6" else int(digit) for digit in column[at : at + 20]] for at in (20, 40))
    assert float(quadratic_kappa(table(second, third))) == pytest.approx(0.2520325, abs=5e-8)


def test_kappa_is_the_ratio_of_moments_that_fleiss_and_cohen_gave() -> None:
    """1 - kappa = mean squared difference / (variances + squared difference of the means), in 1973."""
    rng = np.random.default_rng(3)
    one, other = rng.integers(1, 6, 200), rng.integers(1, 6, 200)
    expected = 1 - np.mean((one - other) ** 2) / (one.var() + other.var() + (one.mean() - other.mean()) ** 2)
    assert float(quadratic_kappa(table(one.tolist(), other.tolist()))) == pytest.approx(expected)


def test_rho_of_the_textbook_example_of_iq_and_television() -> None:
    """Wikipedia, "Spearman's rank correlation coefficient", worked example: -29/165."""
    iq = [86, 97, 99, 100, 101, 103, 106, 110, 112, 113]
    hours = [2, 20, 28, 27, 50, 29, 7, 17, 6, 12]
    ranks = (np.argsort(np.argsort(iq)) + 1).tolist(), (np.argsort(np.argsort(hours)) + 1).tolist()
    assert float(spearman(table(*ranks, levels=10))) == pytest.approx(-29 / 165)


def test_rho_of_scipys_own_example_with_ties() -> None:
    """scipy.stats.spearmanr's manual: [1, 2, 3, 4, 5] and [5, 6, 7, 8, 7] give 0.8207826816681233."""
    assert float(spearman(table([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], levels=8))) == pytest.approx(
        0.8207826816681233
    )
