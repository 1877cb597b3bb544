"""The story of an estimate: at each size what parts take and cost, what inference costs, what is full first.

Pure: prices, catalogue, settings and the day are given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from operator_cli.estimate.alarms import AlarmUnits
from operator_cli.estimate.figures import Range
from operator_cli.estimate.inference import ModelMonth, inference_months
from operator_cli.estimate.levers import Lever, levers
from operator_cli.estimate.limits import Filling, fillings
from operator_cli.estimate.needs import Facts, Needs
from operator_cli.estimate.observing import observing_parts
from operator_cli.estimate.parts import Layer, Part, metered_month_of, month_of
from operator_cli.estimate.pricing import Pricing
from operator_cli.estimate.serving import serving_parts
from operator_cli.estimate.workload import Growth, Workload


@dataclass(frozen=True, slots=True)
class Asked:
    """What an estimate is about."""

    workload: Workload
    factors: tuple[Decimal, ...]
    """Sizes, as multiples of the workload."""
    growth: Growth
    facts: Facts
    judges: Mapping[str, str]
    """Price keys of all judges by name."""
    bandless: AlarmUnits
    """Alarms without anomaly bands."""


@dataclass(frozen=True, slots=True)
class Size:
    """The platform at one size."""

    factor: Decimal
    workload: Workload
    parts: tuple[Part, ...]
    models: tuple[ModelMonth, ...]

    def of(self, layer: Layer) -> tuple[Part, ...]:
        """Its parts in a layer."""
        return tuple(part for part in self.parts if part.layer == layer)

    @property
    def inference_usd(self) -> Range:
        """The known part of a month's inference."""
        return sum((model.usd for model in self.models if model.usd is not None), Range.exactly(0))

    @property
    def inference_unknown(self) -> tuple[str, ...]:
        """Models whose month is not known."""
        return tuple(model.model_id for model in self.models if model.usd is None)

    @property
    def observing_usd(self) -> Range:
        """The known part of a month's observing."""
        return month_of(self.of("observing"))

    @property
    def metered_usd(self) -> Range:
        """The part of it that the cost job's own estimate has, too."""
        return metered_month_of(self.parts)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Parts whose month is not known."""
        return tuple(part.name for part in self.parts if part.usd is None)

    @property
    def share(self) -> Range | None:
        """Observing over inference, as far as both are known; None where no model has a price."""
        return share(self.observing_usd, self.inference_usd)

    @property
    def metered_share(self) -> Range | None:
        """What `observability_share_percent` would say."""
        return share(self.metered_usd, self.inference_usd)


@dataclass(frozen=True, slots=True)
class Estimate:
    """All of it."""

    asked: Asked
    pricing: Pricing
    sizes: tuple[Size, ...]
    fillings: tuple[Filling, ...]
    """Limits at the same sizes, that which is full first at the top."""
    levers: tuple[Lever, ...]
    """At the first size."""


def estimate(asked: Asked, pricing: Pricing) -> Estimate:
    """What a platform takes and costs."""
    workloads = [asked.workload.times(factor, asked.growth) for factor in asked.factors]
    sizes = tuple(
        _size(factor, workload, asked.facts, pricing)
        for factor, workload in zip(asked.factors, workloads, strict=True)
    )
    return Estimate(
        asked,
        pricing,
        sizes,
        fillings(workloads, asked.workload, asked.growth, asked.facts, pricing),
        _levers(workloads, asked, pricing),
    )


def share(observing: Range, inference: Range) -> Range | None:
    """One over the other: at least, most likely, at most."""
    return None if not inference.low else observing * inference.inverse()


def _size(factor: Decimal, workload: Workload, facts: Facts, pricing: Pricing) -> Size:
    needs = Needs(workload, facts)
    return Size(
        factor,
        workload,
        (*serving_parts(needs, pricing), *observing_parts(needs, pricing)),
        tuple(inference_months(needs, pricing)),
    )


def _levers(workloads: Sequence[Workload], asked: Asked, pricing: Pricing) -> tuple[Lever, ...]:
    def share_of(workload: Workload, facts: Facts) -> Range | None:
        return _size(Decimal(1), workload, facts, pricing).share

    return levers(workloads[0], asked.facts, share_of, judges=asked.judges, bandless=asked.bandless)
