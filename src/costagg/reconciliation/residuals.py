"""Why two sides of a cell differ, in named parts that add up to the difference exactly. Pure.

The bill's price and quantity are held against ours: what we used at the bill's price less what we said is the
price, the rest is the quantity. The last part is always what is left, so nothing is lost to rounding.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from costagg.reconciliation.results import Residual
from llmplatform.costs import SMALLEST_USD

AWS_ROUNDS_AT: Final = Decimal("1E-10")
"""Amounts and quantities of a line item of the Cost and Usage Report have at most ten decimals."""


@dataclass(slots=True)
class Billed:
    """The bill's side of a cell."""

    usd: Decimal = Decimal(0)
    quantity: Decimal = Decimal(0)
    """In our unit."""
    rows: int = 0
    per_unit: Decimal = Decimal(1)
    """Of ours in one unit of the bill's: how coarse its quantities are."""

    def add(self, usd: Decimal, quantity: Decimal, rows: int, per_unit: Decimal) -> None:
        """Take charges in."""
        self.usd += usd
        self.quantity += quantity
        self.rows += rows
        self.per_unit = max(self.per_unit, per_unit)


@dataclass(slots=True)
class Attributed:
    """Our side of a cell."""

    usd: Decimal = Decimal(0)
    quantity: Decimal = Decimal(0)
    """Of what is priced."""
    unpriced: Decimal = Decimal(0)
    """Quantity without a price."""
    lines: int = 0
    unpriced_lines: int = 0
    uncounted: int = 0
    """Requests of which nobody knows the quantity; an instance's unknown hours are one."""

    def add(self, usd: Decimal | None, quantity: Decimal | None, requests: int, *, lines: int = 1) -> None:
        """Take a cost line in."""
        self.lines += lines
        if quantity is None:
            self.uncounted += max(requests, 1)
        elif usd is None:
            self.unpriced += quantity
            self.unpriced_lines += 1
        else:
            self.usd += usd
            self.quantity += quantity

    def merge(self, other: "Attributed") -> None:
        """Take another side in."""
        self.usd += other.usd
        self.quantity += other.quantity
        self.unpriced += other.unpriced
        self.lines += other.lines
        self.unpriced_lines += other.unpriced_lines
        self.uncounted += other.uncounted


def residuals_of(
    billed: Billed, attributed: Attributed, *, estimated: bool, open_day: bool
) -> dict[Residual, Decimal]:
    """Parts of `billed.usd - attributed.usd`, none of them 0."""
    difference = billed.usd - attributed.usd
    if estimated:
        parts: dict[Residual, Decimal] = {"estimate": difference}
    elif not attributed.lines:
        parts = {"open_hours" if open_day else "only_on_bill": difference}
    elif not billed.rows:
        parts = {"only_attributed": difference}
    elif _is_rounding(billed, attributed):
        parts = {"rounding": difference}
    elif billed.quantity <= 0:
        parts = {"only_on_bill": billed.usd, "only_attributed": -attributed.usd}
    else:
        parts = _both_sides(billed, attributed, open_day=open_day)
    return {residual: usd for residual, usd in parts.items() if usd}


def _both_sides(billed: Billed, attributed: Attributed, *, open_day: bool) -> dict[Residual, Decimal]:
    at_their_price = (billed.usd * attributed.quantity / billed.quantity).quantize(SMALLEST_USD)
    price = at_their_price - attributed.usd
    unpriced = (billed.usd * attributed.unpriced / billed.quantity).quantize(SMALLEST_USD)
    rest = billed.usd - attributed.usd - price - unpriced
    price_name: Residual = "rounding" if abs(price) <= _cost_tolerance(billed) else "price"
    parts: dict[Residual, Decimal] = {price_name: price, "unpriced": unpriced}
    rest_name = _of_quantity(billed, attributed, rest, open_day=open_day)
    parts[rest_name] = parts.get(rest_name, Decimal(0)) + rest
    return parts


def _of_quantity(billed: Billed, attributed: Attributed, rest: Decimal, *, open_day: bool) -> Residual:
    missing = billed.quantity - attributed.quantity - attributed.unpriced
    if abs(missing) <= _quantity_tolerance(billed) or abs(rest) <= _cost_tolerance(billed):
        return "rounding"
    if missing > 0 and open_day:
        return "open_hours"
    if missing > 0 and attributed.uncounted:
        return "uncounted"
    return "quantity"


def _is_rounding(billed: Billed, attributed: Attributed) -> bool:
    """Same quantity and same amount, up to what AWS's decimals can tell."""
    return (
        not attributed.unpriced
        and abs(billed.quantity - attributed.quantity) <= _quantity_tolerance(billed)
        and abs(billed.usd - attributed.usd) <= _cost_tolerance(billed)
    )


def _cost_tolerance(billed: Billed) -> Decimal:
    return billed.rows * AWS_ROUNDS_AT


def _quantity_tolerance(billed: Billed) -> Decimal:
    return billed.rows * AWS_ROUNDS_AT * billed.per_unit
