import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from evalworker.calibration.bootstrap import CONSTANT, FEWEST_ITEMS, NO_ITEMS, Estimate, Measure, estimate
from evalworker.calibration.statistics import Array, quadratic_kappa, spearman


def mean_of(values: Array) -> Measure:
    return lambda drawn: drawn @ values / drawn.sum(axis=1)


def one_of(name: str, measure: Measure, *, items: int, seed: int = 0, resamples: int = 2_000) -> Estimate:
    found = estimate({name: measure}, items=items, resamples=resamples, rng=np.random.default_rng(seed))
    return found[name]


def tables_of(rng: np.random.Generator, items: int) -> Array:
    truth = rng.normal(3, 1, items)
    sides = [np.clip(np.rint(truth + rng.normal(0, 0.6, items)), 1, 5).astype(int) - 1 for _ in range(2)]
    tables = np.zeros((items, 25))
    tables[np.arange(items), sides[0] * 5 + sides[1]] = 1
    return tables


def test_the_interval_of_a_mean_is_scipys_percentile_interval() -> None:
    values = np.random.default_rng(1).normal(3, 1, 300)
    ours = one_of("mean", mean_of(values), items=300, resamples=20_000)
    theirs = scipy_bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_a_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.arange(50.0)
    same = [one_of("mean", mean_of(values), items=50, seed=seed) for seed in (7, 7, 8)]
    assert same[0] == same[1]
    assert same[0] != same[2]


def test_blocks_leave_no_resample_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalworker.calibration.bootstrap._CELLS_AT_ONCE", 110)
    drawn: list[int] = []

    def measure(counts: Array) -> Array:
        assert (counts.sum(axis=1) == 20).all()
        drawn.append(len(counts))
        return np.asarray(counts[:, 0])

    one_of("first", measure, items=20, resamples=23)
    assert drawn == [1, 5, 5, 5, 5, 3]


def test_a_paired_difference_of_the_same_is_zero_without_spread() -> None:
    tables = tables_of(np.random.default_rng(4), 100)

    def kappa(drawn: Array) -> Array:
        return quadratic_kappa((drawn @ tables).reshape(-1, 5, 5))

    found = one_of("difference", lambda drawn: kappa(drawn) - kappa(drawn), items=100)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    truth = float(quadratic_kappa(tables_of(rng, 400_000).sum(axis=0).reshape(5, 5)))
    inside = 0
    for _ in range(200):
        tables = tables_of(rng, 200)
        found = estimate(
            {"kappa": lambda drawn, flat=tables: quadratic_kappa((drawn @ flat).reshape(-1, 5, 5))},  # type: ignore[misc] # a default binds the loop's value
            items=200,
            resamples=400,
            rng=rng,
        )["kappa"]
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert 0.90 <= inside / 200 <= 0.99


def test_what_is_undefined_is_none_with_a_reason() -> None:
    constant = np.zeros((20, 25))
    constant[:, 24] = 1
    for statistic in (quadratic_kappa, spearman):
        found = one_of("it", lambda drawn, of=statistic: of((drawn @ constant).reshape(-1, 5, 5)), items=20)  # type: ignore[misc] # as above
        assert found == Estimate(None, None, None, CONSTANT)
    assert one_of("it", mean_of(np.empty(0)), items=0) == Estimate(None, reason=NO_ITEMS)


def test_no_interval_is_claimed_from_a_handful_of_items() -> None:
    few = one_of("mean", mean_of(np.arange(9.0)), items=FEWEST_ITEMS - 1)
    assert few.value == 4
    assert (few.low, few.high) == (None, None)
    assert few.reason is not None
    assert "fewer than 10" in few.reason
    assert one_of("mean", mean_of(np.arange(10.0)), items=FEWEST_ITEMS).reason is None


def test_no_interval_is_claimed_when_resamples_are_often_undefined() -> None:
    nearly_constant = np.zeros((12, 25))
    nearly_constant[:, 24] = 1
    nearly_constant[0] = np.eye(25)[0]
    found = one_of("rho", lambda drawn: spearman((drawn @ nearly_constant).reshape(-1, 5, 5)), items=12)
    assert found.value == pytest.approx(1)
    assert found.low is None
    assert found.reason is not None
    assert "undefined on more than 5 %" in found.reason


def test_a_statistic_is_asked_for_hundreds_of_resamples_at_once() -> None:
    tables = tables_of(np.random.default_rng(6), 500)
    asked: list[int] = []

    def rho(drawn: Array) -> Array:
        asked.append(len(drawn))
        return spearman((drawn @ tables).reshape(-1, 5, 5))

    assert one_of("rho", rho, items=500).low is not None
    assert asked == [1, 500, 500, 500, 500]  # as they are, and two thousand
