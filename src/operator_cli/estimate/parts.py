"""A part of the platform: how much of it there is, what it costs a month, and who says so. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from operator_cli.estimate.figures import SCALED_TASKS, Range, total
from operator_cli.estimate.pricing import HOURS, Month, Pricing, TaskSize

Layer = Literal["serving", "observing"]
"""What serves inference whether anybody watches or not, and what observing adds."""


@dataclass(frozen=True, slots=True)
class Part:
    """One line of an estimate."""

    name: str
    layer: Layer
    quantity: Range
    unit: str
    usd: Month
    source: str
    metered_usd: Month = None
    """What the cost job's own estimate has of it, and so `observability_share_percent`; None is nothing."""


def month_of(parts: Iterable[Part]) -> Range:
    """The part of their months that is known: at least so much."""
    return total(part.usd for part in parts if part.usd is not None)


def metered_month_of(parts: Iterable[Part]) -> Range:
    """What the cost job's own estimate comes to."""
    return total(part.metered_usd for part in parts if part.metered_usd is not None)


def bought(
    name: str,
    price_name: str,
    units: Range,
    unit: str,
    pricing: Pricing,
    *,
    layer: Layer = "observing",
    metered: bool = False,
) -> Part:
    """So many units of one service; `metered` where the cost job counts as many."""
    return Part(
        name,
        layer,
        units,
        unit,
        pricing.month(price_name, units),
        pricing.source_of(price_name),
        pricing.listed(price_name, units) if metered else None,
    )


def tasks_of(
    name: str,
    size: TaskSize,
    peak: Range,
    pricing: Pricing,
    *,
    source: str,
    layer: Layer = "observing",
    mean: Range | None = None,
    metered_usd: Month = None,
) -> Part:
    """Tasks of a service, as many as the busiest minute needs, around the clock.

    With `mean`, the number that a mean minute needs, they are scaled with the day: at least as if all minutes
    were alike, at most as if they never were taken away.
    """
    tasks = peak
    if mean is not None:
        scaled = mean * SCALED_TASKS.value
        tasks = Range(min(mean.low, peak.low), min(scaled.likely, peak.likely), peak.high)
    return Part(name, layer, peak, "tasks", pricing.tasks(size, tasks * HOURS), source, metered_usd)
