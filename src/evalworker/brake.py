"""How far sampling is held down while the worker lags, and who may say so. Pure.

The gateways apply the smallest live factor to every tenant's rate. A factor expires, so a worker that dies
holds nothing down for long.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from llmplatform.sampling import SamplingBrake

LAG: Final = "lag"
"""The reason, which names the parameter."""


@dataclass(frozen=True, slots=True)
class BrakeRule:
    """When to hold sampling down and when to let go."""

    brake_over_s: float = 120.0
    """The factor is halved at each look while lag is over this."""
    ease_under_s: float = 60.0
    """It is doubled at each look while lag is under this; between the two it stays."""
    smallest: float = 0.05
    expires_after_s: float = 300.0


def next_factor(factor: float, lag_s: float | None, rule: BrakeRule) -> float:
    """The factor after one look at the lag; who knows of none has no reason to hold anybody down."""
    if lag_s is not None and lag_s > rule.brake_over_s:
        return max(factor / 2, rule.smallest)
    if lag_s is None or lag_s < rule.ease_under_s:
        return min(factor * 2, 1.0)
    return factor


def next_brake(
    published: SamplingBrake | None, factor: float, *, writer: str, now: datetime, rule: BrakeRule
) -> SamplingBrake | None:
    """What to publish for our `factor`, or None to leave what is there.

    Workers share one parameter: each may lower the factor, but only who set it may raise it, or anyone once
    it has expired. A factor of 1 is published once, to let go at once instead of at the expiry.
    """
    live = published if published is not None and now < published.expires_at else None
    if factor >= 1 and (live is None or live.factor >= 1):
        return None
    if live is not None and live.writer != writer and factor >= live.factor:
        return None
    return SamplingBrake(
        factor=factor, expires_at=now + timedelta(seconds=rule.expires_after_s), writer=writer
    )
