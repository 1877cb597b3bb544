"""How a tenant stands against its daily budgets, now and as it will be at midnight UTC. Pure.

A tenant's budget pays for its own inference. What judging its answers costs is decided by the platform and
has a budget of its own, so it does not count here. Spending is the part that is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from costagg.hours import HOUR, hour_of, midnight_of
from costagg.totals import DAY, NOTHING
from costagg.usage import ClientTokens
from llmplatform.policy import TenantPolicy
from llmplatform.spending import percent_used

PACE_HOURS: Final = 3
"""Complete hours whose pace is carried on, with the running one: few, so that a day's rhythm shows, and more
than one, so that a burst does not rule."""

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget and what became of it, in its own unit: US dollars or tokens."""

    spent: Decimal
    """Since midnight UTC."""
    budget: Decimal
    projected: Decimal
    """At the next midnight: what is spent, and the pace of the last hours for all that is left of the day."""

    @property
    def used_percent(self) -> Decimal:
        """May be over 100."""
        return percent_used(self.spent, self.budget)

    @property
    def projected_percent(self) -> Decimal:
        """May be over 100."""
        return percent_used(self.projected, self.budget)


@dataclass(frozen=True, slots=True)
class TenantStanding:
    """A tenant's two budgets; None where it has none, or where nothing of its spending today is known."""

    usd: Standing | None
    tokens: Standing | None


def tenant_standing(
    policy: TenantPolicy,
    spent_usd: Mapping[datetime, Decimal | None],
    tokens: Mapping[datetime, Mapping[str, ClientTokens]] | None,
    now: datetime,
) -> TenantStanding:
    """How a tenant stands, by its dollars of each hour and all tenants' tokens of each hour.

    Both go back `PACE_HOURS` complete hours, and to midnight at least. `tokens` is None where nobody knows.
    """
    used = None
    if tokens is not None and policy.daily_budget_tokens is not None:
        used = {
            hour: Decimal(counts.prompt + counts.output)
            for hour, by_tenant in tokens.items()
            if (counts := by_tenant.get(policy.tenant_id)) is not None
        }
    return TenantStanding(
        usd=_standing(spent_usd, policy.daily_budget_usd, now),
        tokens=None if used is None else _standing(used, policy.daily_budget_tokens, now),
    )


def _standing(
    by_hour: Mapping[datetime, Decimal | None], budget: Decimal | int | None, now: datetime
) -> Standing | None:
    if budget is None:
        return None
    running = hour_of(now)
    midnight = midnight_of(now)
    spent = _since(by_hour, midnight)
    if spent is None:
        return None
    # Before three in the morning the pace is of yesterday's last hours too: a few minutes say too little.
    pace_from = running - PACE_HOURS * HOUR
    left = Decimal((midnight + DAY - now) // _MICROSECOND)
    seen = Decimal((now - pace_from) // _MICROSECOND)
    return Standing(
        spent=spent,
        budget=Decimal(budget),
        projected=spent + (_since(by_hour, pace_from) or NOTHING) * left / seen,
    )


def _since(by_hour: Mapping[datetime, Decimal | None], first: datetime) -> Decimal | None:
    """What is known of the hours from `first` on; None where something was spent and nothing is known."""
    amounts = [amount for hour, amount in by_hour.items() if hour >= first]
    known = [amount for amount in amounts if amount is not None]
    return None if amounts and not known else sum(known, NOTHING)
