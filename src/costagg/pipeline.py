"""What watching costs the platform itself, estimated from what it watched: lines of `_platform`.

No count of AWS's says which of an account's writes are the ledger's, so the quantities follow from requests,
samples and judgements, at so much of each service for one (`llmplatform.footprint`). They are labelled
`estimated`; reconciliation with the bill tells how good they are. The judges' tokens are no part of this:
they are calls of a model like any other and belong to the tenant whose answer was judged.

Left out: the gateway's own computing (it serves, with or without watching), storage in DynamoDB, S3 and logs,
S3 requests (rows leave in batches), alarms, dashboards, data transfer and what free tiers and volume
discounts take off again. Pure.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from costagg.rounding import from_units, in_units
from costagg.usage import HourUsage
from llmplatform.costs import INFERENCE_LAYER, OBSERVABILITY_LAYER, PLATFORM, CostLine
from llmplatform.evaluations import JUDGE_DIMENSIONS
from llmplatform.footprint import (
    HOURS_IN_A_MONTH,
    METRIC_MONTHS,
    METRICS_READ,
    PipelineQuantities,
    score_series,
    series_of,
)
from llmplatform.prices import DEFAULT_TIER, PriceTable
from llmplatform.usage import UsageSource

METHOD: Final = "estimate/1"


def pipeline_lines(
    usage: HourUsage,
    prices: PriceTable,
    *,
    region: str,
    quantities: PipelineQuantities,
    metrics_requested: int,
    at_work: bool,
) -> Iterator[CostLine]:
    """The lines of an hour; `metrics_requested` is what this run asked of GetMetricData for it.

    `at_work` says that the platform ran, whether anybody asked for something or not.
    """
    total: defaultdict[str, Fraction] = defaultdict(Fraction)
    for times, each in (
        (usage.requests, quantities.per_request),
        (usage.sampled, quantities.per_sample),
        (usage.judged, quantities.per_judgement),
        (int(at_work), quantities.per_hour),
    ):
        for name, quantity in each.items():
            total[name] += times * quantity
    total[METRIC_MONTHS] += Fraction(
        metric_series(usage, quantities.eval_series_per_tenant), HOURS_IN_A_MONTH
    )
    total[METRICS_READ] += metrics_requested
    for name in sorted(total):
        if total[name]:
            yield _line(name, total[name], usage, prices, region=region)


def metric_series(usage: HourUsage, eval_series_per_tenant: int) -> int:
    """How many custom metrics had data in an hour: a metric's dimension sets, by those that were seen.

    A dimension that usage does not tell, such as the outcome, counts as one value.
    """
    seen = [key for key in usage.calls if key.layer == INFERENCE_LAYER]
    told = [
        {
            "tenant_id": key.tenant_id,
            "model_id": key.model_id,
            "endpoint_type": key.endpoint_type,
            "endpoint_name": key.endpoint_name,
        }
        for key in seen
    ]

    def combinations(dimensions: tuple[str, ...]) -> int:
        values = {tuple(one.get(dimension, "") for dimension in dimensions) for one in told}
        return sum(None not in value for value in values)

    models: defaultdict[str, set[str]] = defaultdict(set)
    for key in seen:
        models[key.tenant_id].add(key.model_id)
    scored = (
        min(len(models[tenant_id]) * len(JUDGE_DIMENSIONS), eval_series_per_tenant)
        for tenant_id in {key.tenant_id for key in usage.calls if key.layer == OBSERVABILITY_LAYER}
    )
    return series_of(combinations) + score_series(sum(scored))


def _line(name: str, exact: Fraction, usage: HourUsage, prices: PriceTable, *, region: str) -> CostLine:
    price = prices.service_price(name, at=usage.hour.date(), region=region)
    quantity = from_units(in_units(exact))
    return CostLine(
        tenant_id=PLATFORM,
        hour=usage.hour,
        layer=OBSERVABILITY_LAYER,
        service=name.partition("/")[0],
        endpoint_type=None,
        model_id=None,
        endpoint_name=None,
        price_key=name,
        region=region,
        service_tier=DEFAULT_TIER,
        charge_class="service",
        unit="units" if price is None else price.unit,
        quantity=quantity,
        unit_price_usd=None if price is None else price.usd_per_unit,
        amount_usd=None
        if price is None
        else from_units(in_units(Fraction(quantity) * Fraction(price.usd_per_unit))),
        requests=0,
        usage_source=UsageSource.ESTIMATED.value,
        computed_from=usage.computed_from,
        allocation_method=METHOD,
        price_version=prices.version,
    )
