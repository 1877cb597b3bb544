"""Ranges keep their order, and every figure says where it is from."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operator_cli.estimate.figures import FIGURES, Figure, Range, total

numbers = st.decimals("0.001", 1_000_000, places=3)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low, likely, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Range(low, likely, high)


def in_order(value: Range) -> bool:
    return value.low <= value.likely <= value.high


@given(ranges(), ranges())
def test_what_is_reckoned_with_ranges_keeps_their_order(one: Range, other: Range) -> None:
    for made in (one + other, one * other, one * 3, one.inverse(), one.larger(other), total([one, other])):
        assert in_order(made)


@given(ranges())
def test_what_is_known_changes_all_three_alike(one: Range) -> None:
    doubled = one * Decimal(2)
    assert (doubled.low, doubled.likely, doubled.high) == (2 * one.low, 2 * one.likely, 2 * one.high)


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_a_figure_has_an_order_a_unit_and_a_source(figure: Figure) -> None:
    assert in_order(figure.value)
    assert figure.unit
    assert figure.source
