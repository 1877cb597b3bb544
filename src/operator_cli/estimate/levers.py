"""What brings observing under its share of inference, and by how much. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from operator_cli.estimate.alarms import AlarmUnits
from operator_cli.estimate.figures import Range
from operator_cli.estimate.needs import Facts
from operator_cli.estimate.workload import Workload

TARGET: Final = Decimal("0.03")
"""Of inference's cost, at most; the design's."""
_RATE_STEP: Final = Decimal("0.001")

ShareOf = Callable[[Workload, Facts], Range | None]
"""Observing over inference; None where inference has no price."""


@dataclass(frozen=True, slots=True)
class Lever:
    """Something that can be set, and the share that comes of it."""

    what: str
    share: Range

    @property
    def enough(self) -> bool:
        """Whether it is most likely within the target."""
        return self.share.likely <= TARGET


def levers(
    workload: Workload, facts: Facts, share_of: ShareOf, *, judges: Mapping[str, str], bandless: AlarmUnits
) -> tuple[Lever, ...]:
    """Each on its own. `judges` are price keys by name; `bandless` are alarms without anomaly bands."""
    return tuple(
        Lever(what, share)
        for what, changed, with_facts in _changes(workload, facts, share_of, judges, bandless)
        if (share := share_of(changed, with_facts)) is not None
    )


def _changes(
    workload: Workload, facts: Facts, share_of: ShareOf, judges: Mapping[str, str], bandless: AlarmUnits
) -> Iterator[tuple[str, Workload, Facts]]:
    rate = rate_within(workload, facts, share_of)
    if rate is not None:
        yield f"--sample-rate {rate}", replace(workload, sample_rate=rate), facts
    for name, price_key in judges.items():
        if name != facts.judge:
            yield f"--judge {name}", workload, replace(facts, judge=name, judge_price_key=price_key)
    if facts.alarm_units != bandless:
        yield "--no-bands", workload, replace(facts, alarm_units=bandless)
    if workload.models_per_tenant > 1:
        fewer = workload.models_per_tenant - 1
        yield f"--models-per-tenant {fewer}", replace(workload, models_per_tenant=fewer), facts


def rate_within(workload: Workload, facts: Facts, share_of: ShareOf) -> Decimal | None:
    """The highest rate, in thousandths, that keeps the share; None where it is kept, or no rate does.

    The share grows evenly with the rate, but for whole tasks.
    """
    now, never = (
        share_of(replace(workload, sample_rate=each), facts) for each in (workload.sample_rate, Decimal(0))
    )
    if now is None or never is None or now.likely <= TARGET or never.likely >= TARGET:
        return None
    exact = workload.sample_rate * (TARGET - never.likely) / (now.likely - never.likely)
    return exact.quantize(_RATE_STEP, ROUND_FLOOR)
