"""Rounding, in the one place where the cost job rounds, and sharing a whole without losing a unit of it.

The rule: amounts and quantities are computed exactly, as fractions, and rounded once, to the nearest 1E-12,
half to even, before they are shared; shares are whole units that add up to the rounded whole. Tokens times a
price need no rounding: prices have at most six decimals for a million tokens. Pure.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from llmplatform.costs import SMALLEST_USD

_UNITS_IN_ONE: Final = int(1 / SMALLEST_USD)


def in_units(exact: Fraction | Decimal) -> int:
    """The nearest number of smallest units, half to even."""
    return round(Fraction(exact) * _UNITS_IN_ONE)


def from_units(units: int) -> Decimal:
    """What so many smallest units are."""
    return units * SMALLEST_USD


def apportioned(units: int, weights: Sequence[Fraction]) -> list[int]:
    """Whole units for each weight, in proportion, with the sum `units`: the largest remainder method.

    Each share is its exact one, rounded down or up; of equal remainders the earlier one gets the unit. No
    weight may be negative. Raises ZeroDivisionError where all are 0: there is nobody to give it to.
    """
    total = sum(weights)
    exact = [units * weight / total for weight in weights]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda at: shares[at] - exact[at])
    for at in by_remainder[: units - sum(shares)]:
        shares[at] += 1
    return shares
