"""An hour's usage and what ran in it to the lines of its bill: every dollar to somebody.

The story of allocation: tokens of Bedrock at their price, instance hours of SageMaker shared among those who
used them, the platform's own means. The sum of the lines is the total, to the smallest unit, always. Pure.
"""

from dataclasses import dataclass
from decimal import Decimal

from llmplatform.costs import CostLine


@dataclass(frozen=True, slots=True)
class HourCost:
    """The bill of an hour."""

    lines: tuple[CostLine, ...]
    """Sorted by owner and key."""

    @property
    def total_usd(self) -> Decimal:
        """Of all lines, as far as it is known."""
        return sum((line.amount_usd for line in self.lines if line.amount_usd is not None), Decimal(0))

    @property
    def unpriced(self) -> tuple[CostLine, ...]:
        """Lines whose quantity is known and whose price is not."""
        return tuple(line for line in self.lines if line.unit_price_usd is None and line.quantity)

    @property
    def uncounted_requests(self) -> int:
        """Calls that may be billed and of which nobody knows how much was used."""
        return sum(line.requests for line in self.lines if line.quantity is None)
