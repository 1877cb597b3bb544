"""Numbers as people read them: a few digits, and what is unknown said to be. Pure."""

from decimal import Decimal
from typing import Final

from operator_cli.estimate.figures import Range

UNKNOWN: Final = "unknown"
_STEPS: Final = (
    (Decimal(10) ** 12, "T"),
    (Decimal(10) ** 9, "B"),
    (Decimal(10) ** 6, "M"),
    (Decimal(10) ** 3, "k"),
)
_DIGITS: Final = 3


def short(number: Decimal) -> str:
    """Three digits: 4.58k, 61.0M, 0.74."""
    for step, letter in _STEPS:
        if number >= step:
            return f"{_three(number / step)}{letter}"
    return f"{number:.0f}" if number == number.to_integral_value() else _three(number)


def usd(month: Range | None) -> str:
    """Most likely so much."""
    return UNKNOWN if month is None else f"${short(month.likely)}"


def usd_between(month: Range) -> str:
    """At least and at most."""
    low, high = f"${short(month.low)}", f"${short(month.high)}"
    return low if low == high else f"{low}–{high}"


def percent(share: Decimal) -> str:
    """Of a whole, with a decimal place."""
    return f"{share * 100:,.1f} %"


def percent_between(share: Range | None) -> str:
    """At least and at most."""
    if share is None:
        return UNKNOWN
    low, high = percent(share.low), percent(share.high)
    return low if low == high else f"{low.removesuffix(' %')}–{high}"


def full(fullness: Decimal | None) -> str:
    """How full a limit is: in percent, and in multiples where it is far over."""
    if fullness is None:
        return UNKNOWN
    return times(fullness) if fullness >= 10 else f"{fullness:.0%}".replace("%", " %")  # noqa: PLR2004


def times(factor: Decimal) -> str:
    """A multiple: 0.8×, 4.6×, 1,000×."""
    return f"{factor:,.0f}×" if factor >= 10 or factor == factor.to_integral_value() else f"{factor:.1f}×"  # noqa: PLR2004


def _three(number: Decimal) -> str:
    whole = len(str(int(number)))
    return f"{number:.{max(_DIGITS - whole, 0)}f}"
