"""One value as a person reads it, and as a program does. Pure.

What is unknown is None: "–" on a page, an empty cell in a file, never 0.
"""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from llmplatform.spreadsheets import plain_text

Kind = Literal[
    "text",
    "number",
    "tokens",
    "ms",
    "seconds",
    "usd",
    "percent",
    "ratio",
    "score",
    "per_second",
    "time",
    "bytes",
]
"""`percent` is of 0 to 100 already, `ratio` of 0 to 1 and shown as percent; `ms` are milliseconds."""
Value = str | int | float | Decimal | datetime | bool | None

UNKNOWN: Final = "–"
_UNITS: Final[dict[str, str]] = {
    "tokens": "tokens",
    "ms": "ms",
    "seconds": "s",
    "usd": "USD",
    "percent": "%",
    "ratio": "%",
    "per_second": "/s",
    "bytes": "bytes",
}
_BIG_USD: Final = 100
_SMALL_USD: Final = Decimal("0.01")
_MS_IN_S: Final = 10_000


def unit_of(kind: Kind) -> str:
    """The unit of a kind, as an axis or a legend names it; "" where it has none."""
    return _UNITS.get(kind, "")


def is_number(kind: Kind) -> bool:
    """Whether values of a kind are aligned and sorted as numbers."""
    return kind not in {"text", "time"}


def is_unknown(value: Value) -> bool:
    """Whether there is no value: None, or what is no number."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def shown(value: Value, kind: Kind = "text") -> str:
    """The value with its unit, as a page shows it. Times are shown by the `moment` macro instead."""
    if value is None or is_unknown(value):
        return UNKNOWN
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return _number(value, kind)


def raw(value: Value) -> str | int | float:
    """The value as a file holds it: full digits, no unit, no formula."""
    if value is None or is_unknown(value):
        return ""
    match value:
        case datetime():
            told: str | int | float = value.astimezone(UTC).isoformat()
        case bool():
            told = "yes" if value else "no"
        case Decimal():
            told = f"{value:f}"
        case str():
            told = plain_text(value)
        case _:
            told = value
    return told


def _number(value: float | Decimal, kind: Kind) -> str:
    number = float(value)
    match kind:
        case "ms":
            told = f"{number:,.0f} ms" if abs(number) < _MS_IN_S else f"{number / 1_000:,.1f} s"
        case "seconds":
            told = f"{number:,.1f} s"
        case "usd":
            told = _usd(Decimal(str(value)))
        case "percent":
            told = f"{_digits(number)} %"
        case "ratio":
            told = f"{_digits(number * 100)} %"
        case "score":
            told = f"{number:.2f}"
        case "per_second":
            told = f"{_digits(number)} /s"
        case "bytes":
            told = _bytes(number)
        case _:
            told = f"{number:,.0f}" if number.is_integer() else _digits(number)
    return told


def _usd(amount: Decimal) -> str:
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if size == 0 or size >= _SMALL_USD:
        return f"{sign}${size:,.0f}" if size >= _BIG_USD * 100 else f"{sign}${size:,.2f}"
    return f"{sign}${float(size):.3g}" if size >= Decimal("0.0001") else f"{sign}<$0.0001"


def _digits(value: float) -> str:
    """About three digits that matter."""
    size = abs(value)
    if size and size < 0.01:  # noqa: PLR2004  # below this two decimals would say zero
        return f"{value:.1g}" if size >= 0.0001 else "<0.0001"  # noqa: PLR2004  # and here nobody counts zeros
    return f"{value:,.0f}" if size >= 100 else f"{value:,.1f}" if size >= 10 else f"{value:,.2f}"  # noqa: PLR2004


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1_024:  # noqa: PLR2004  # the next unit begins
            return f"{_digits(size)} {unit}"
        size /= 1_024
    return f"{_digits(size)} TiB"
