"""An hour's usage and what ran in it to the lines of its bill: every dollar to somebody.

The story of allocation: tokens of Bedrock at their price, instance hours of SageMaker shared among those who
used them, the platform's own means. The sum of the lines is the total, to the smallest unit, always. What
is rounded, and how, is in `rounding`. Pure.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from costagg.bedrock import token_lines
from costagg.pipeline import pipeline_lines
from costagg.sagemaker import instance_lines
from costagg.usage import Endpoints, HourUsage
from llmplatform.costs import CostLine
from llmplatform.footprint import PipelineQuantities
from llmplatform.prices import PriceTable


@dataclass(frozen=True, slots=True)
class AllocationRules:
    """What allocation goes by that is neither usage nor a price."""

    pipeline: PipelineQuantities = field(default_factory=PipelineQuantities)


@dataclass(frozen=True, slots=True)
class HourCost:
    """The bill of an hour."""

    lines: tuple[CostLine, ...]
    """Sorted by owner and key; no two have both in common."""

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
        """Calls that may be billed and of which nobody knows how much was used: so many at least.

        A call that two lines leave open, of two token classes or of two instance types, counts once.
        """
        calls: dict[tuple[str | None, ...], int] = {}
        for line in self.lines:
            if line.quantity is None:
                priced_by = line.endpoint_name or line.price_key
                about = (line.tenant_id, line.layer, line.model_id, priced_by, line.service_tier)
                calls[about] = max(calls.get(about, 0), line.requests)
        return sum(calls.values())


def allocate(
    usage: HourUsage,
    endpoints: Endpoints,
    prices: PriceTable,
    *,
    region: str,
    rules: AllocationRules,
    metrics_requested: int = 0,
    at_work: bool = True,
) -> HourCost:
    """The bill of an hour, the same for the same facts in whatever order they come.

    `region` is the deployment's, where all calls are made. `metrics_requested` is how many metrics this run
    asked GetMetricData for on the hour's account, `at_work` whether the platform ran in it.
    """
    lines = (
        *token_lines(usage, prices, region=region),
        *instance_lines(usage, endpoints, prices, region=region),
        *pipeline_lines(
            usage,
            prices,
            region=region,
            quantities=rules.pipeline,
            metrics_requested=metrics_requested,
            at_work=at_work,
        ),
    )
    return HourCost(tuple(sorted(lines, key=lambda line: (line.tenant_id, line.key))))
