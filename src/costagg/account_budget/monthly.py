"""What the month's budget wants of the brake on sampling. Pure.

Decided from how the budget stands and from nothing that was told before: a message that comes twice, late or
not at all changes nothing that the next reading does not mend, and a budget that was raised lets go.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from llmplatform.account_budget import factor_at
from llmplatform.bills import period_end
from llmplatform.sampling import SamplingBrake
from llmplatform.spending import percent_used

WRITER: Final = "costagg account-budget"

EXPIRES_AFTER: Final = timedelta(hours=13)
"""Two readings, six hours apart, and a little: a missed one lets nothing go, a handler that is gone does."""

SETTLES_AFTER: Final = timedelta(days=1)
"""AWS computes spending up to three times a day: on a month's first day the figure may be last month's."""


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """An AWS Budget, as it stands in the running month."""

    name: str
    limit_usd: Decimal
    spent_usd: Decimal

    @property
    def used_percent(self) -> Decimal:
        """What is spent of it."""
        return percent_used(self.spent_usd, self.limit_usd)


def wanted_brake(standing: BudgetStanding, now: datetime) -> SamplingBrake:
    """The brake that the budget wants at `now`, UTC; it never outlives the month."""
    month = now.date().replace(day=1)
    ends = period_end(f"{month:%Y-%m}")
    begun = now - now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    factor = 1.0 if begun < SETTLES_AFTER else factor_at(standing.used_percent)
    return SamplingBrake(factor=factor, expires_at=min(now + EXPIRES_AFTER, ends), writer=WRITER)
