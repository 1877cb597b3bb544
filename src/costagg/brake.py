"""How far sampling is held down while observing nears its own daily budget, and what observing costs. Pure.

Judging is what of observing can be done less of, so the brake is on sampling; inference never notices. The
factor follows from the day's spending alone: it is back to 1 with the new day. The account's monthly budget
is `account_budget`'s.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from llmplatform.sampling import SamplingBrake

OBSERVABILITY_BUDGET: Final = "observability_budget"
"""The reason, which names the parameter."""

BRAKE_FROM_PERCENT: Final = Decimal(80)
_ALL_PERCENT: Final = Decimal(100)

EXPIRES_AFTER: Final = timedelta(hours=2.5)
"""Two hourly runs and a little: a run that is late or missed lets nothing go, a job that is gone does."""

WRITER: Final = "costagg"


def factor_at(used_percent: Decimal | None) -> float:
    """The factor on every tenant's sample rate, from 1 at 80 % of the budget to 0 at all of it.

    It falls in a line, because spending is seen once an hour: the nearer the end, the less an hour can add,
    and there are samples all day unless the budget is far too small. Who knows of no spending or has no
    budget holds nobody down.
    """
    if used_percent is None:
        return 1.0
    left = (_ALL_PERCENT - used_percent) / (_ALL_PERCENT - BRAKE_FROM_PERCENT)
    return round(float(min(max(left, Decimal(0)), Decimal(1))), 4)


def daily_brake(used_percent: Decimal | None, now: datetime) -> SamplingBrake:
    """The brake that the day's budget wants at `now`."""
    return SamplingBrake(factor=factor_at(used_percent), expires_at=now + EXPIRES_AFTER, writer=WRITER)


def next_brake(
    published: SamplingBrake | None, wanted: SamplingBrake, *, now: datetime
) -> SamplingBrake | None:
    """What to publish of what a budget wants, or None to leave what is there.

    A factor under 1 is published each time, since it expires; 1 once, to let go at once.
    """
    held = published is not None and now < published.expires_at and published.factor < 1
    return wanted if held or wanted.factor < 1 else None


def share_percent(observing_usd: Decimal | None, inference_usd: Decimal | None) -> Decimal | None:
    """What observing cost over what inference cost; None where that is nothing, or one of them unknown."""
    if observing_usd is None or not inference_usd:
        return None
    return observing_usd * 100 / inference_usd
