"""Rounding once, half to even, and shares that add up to the whole."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from costagg.rounding import apportioned, from_units, in_units
from llmplatform.costs import SMALLEST_USD

weights = st.lists(st.fractions(0, 10**6, max_denominator=10**4), min_size=1, max_size=20)


def test_a_unit_is_the_smallest_amount() -> None:
    assert in_units(Decimal("1.5")) == 1_500_000_000_000
    assert from_units(1) == SMALLEST_USD
    assert from_units(in_units(Decimal("7.09"))) == Decimal("7.09")


@pytest.mark.parametrize(("halves", "units"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_a_half_goes_to_the_even_unit(halves: int, units: int) -> None:
    assert in_units(Fraction(halves, 2 * 10**12)) == units


def test_what_does_not_divide_goes_to_the_largest_remainders() -> None:
    # 10 units at 5 : 3 : 1 are 5.56, 3.33 and 1.11: the first has the largest remainder.
    assert apportioned(10, [Fraction(5), Fraction(3), Fraction(1)]) == [6, 3, 1]


def test_of_equal_remainders_the_earlier_gets_the_unit() -> None:
    assert apportioned(5, [Fraction(1)] * 3) == [2, 2, 1]


@given(st.integers(0, 10**18), weights)
def test_shares_are_whole_add_up_and_are_next_to_the_exact_ones(units: int, given: list[Fraction]) -> None:
    assume(any(given))
    shares = apportioned(units, given)
    assert sum(shares) == units
    for share, weight in zip(shares, given, strict=True):
        assert abs(share - units * weight / sum(given)) < 1
        assert weight or share == 0


def test_there_must_be_somebody_to_give_it_to() -> None:
    with pytest.raises(ZeroDivisionError):
        apportioned(1, [Fraction(0)])
