"""Dollars over time as columns of text, as wide as there is room. Pure.

Under each column stands what it is: a line where the amount is known, `?` where it was used and no amount is
known, `·` where nobody has computed it yet. No colour is needed to read it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from rich.text import Text

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_HEIGHT: Final = 5
_WIDEST: Final = 3
_KNOWN, UNKNOWN, MISSING = "─", "?", "·"


def chart(
    amounts: Sequence[Decimal | None], missing: Sequence[bool], ends: tuple[str, str], top: str, width: int
) -> Text:
    """A column for each amount, on a scale from 0 to the highest.

    `missing` tells which were never computed, `ends` what the first and the last are called, `top` what the
    highest amount is.
    """
    room = max(width - len(top) - 2, 1)
    each = max(min(room // max(len(amounts), 1), _WIDEST), 1)
    highest = max((amount for amount in amounts if amount is not None), default=Decimal(0))
    eighths = [_eighths(amount, highest) for amount in amounts]
    margin = " " * len(top)
    lines = []
    for level in reversed(range(_HEIGHT)):
        bars = "".join(_column(filled - level * 8, each) for filled in eighths)
        lines.append(f"{top if level == _HEIGHT - 1 else margin} │{bars}".rstrip())
    marks = [
        MISSING if absent else UNKNOWN if amount is None else _KNOWN
        for amount, absent in zip(amounts, missing, strict=True)
    ]
    lines.append(f"{'0':>{len(top)}} ┴{''.join(mark * each for mark in marks)}")
    first, last = ends
    gap = each * len(amounts) - len(first) - len(last)
    lines.append(f"{margin}  {first}{' ' * max(gap, 1)}{last if len(amounts) > 1 else ''}".rstrip())
    return Text("\n".join(lines))


def _eighths(amount: Decimal | None, highest: Decimal) -> int:
    """How much of a column is filled; what is above nothing is to be seen."""
    if not amount or not highest:
        return 0
    return max(int(amount * 8 * _HEIGHT / highest), 1)


def _column(eighths: int, each: int) -> str:
    bar = _EIGHTHS[min(max(eighths, 0), 8)]
    return bar if each == 1 else bar * (each - 1) + " "
