"""What watching costs the platform itself, estimated from what it watched: lines of `_platform`.

No count of AWS's says which of an account's writes are the ledger's, so the quantities follow from requests,
samples and judgements, at so much of each service for one. They are labelled `estimated`; reconciliation with
the bill tells how good they are. The judges' tokens are no part of this: they are calls of a model like any
other and belong to the tenant whose answer was judged.

Left out: the gateway's own computing (it serves, with or without watching), storage in DynamoDB, S3 and logs,
S3 requests (rows leave in batches), alarms, dashboards, data transfer and what free tiers and volume
discounts take off again. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from costagg.rounding import from_units, in_units
from costagg.usage import HourUsage
from llmplatform.costs import INFERENCE_LAYER, OBSERVABILITY_LAYER, PLATFORM, CostLine
from llmplatform.evaluations import JUDGE_DIMENSIONS
from llmplatform.metrics import COST_METRICS, EPOCH_CHANGED, EVAL_METRICS, INFERENCE_METRICS, PIPELINE_METRICS
from llmplatform.prices import DEFAULT_TIER, PriceTable
from llmplatform.usage import UsageSource

METHOD: Final = "estimate/1"

WRITES: Final = "AmazonDynamoDB/WriteRequestUnits"
READS: Final = "AmazonDynamoDB/ReadRequestUnits"
STREAM_IN: Final = "AmazonKinesis/OnDemand-BilledIncomingBytes"
STREAM_OUT: Final = "AmazonKinesis/OnDemand-BilledOutgoingBytes"
STREAM_HOURS: Final = "AmazonKinesis/OnDemand-StreamHour"
LOGS_IN: Final = "AmazonCloudWatch/DataProcessing-Bytes"
METRIC_MONTHS: Final = "AmazonCloudWatch/CW:MetricMonitorUsage"
METRICS_READ: Final = "AmazonCloudWatch/CW:GMD-Metrics"
TRACES: Final = "AWSXRay/XRay-TracesStored"
VCPU_HOURS: Final = "AmazonECS/Fargate-vCPU-Hours:perCPU"
MEMORY_HOURS: Final = "AmazonECS/Fargate-GB-Hours"

Quantities = Mapping[str, Fraction]
"""Units of a service, by the name of its price."""

_GB: Final = 2**30
_HOURS_IN_A_MONTH: Final = 730
"""CloudWatch bills a metric by the hours in which it has data; AWS's own average month."""


def _per_request() -> Quantities:
    return {
        WRITES: Fraction(4),  # a row of 1.2 KB takes two units, and two in the index by trace
        READS: Fraction(1),  # at half a unit for 4 KB, in each of the seven runs of an hour that is open
        LOGS_IN: Fraction(2_400, _GB),  # a line of EMF
        TRACES: Fraction(1, 10),  # the share that is kept by chance
    }


def _per_sample() -> Quantities:
    return {
        STREAM_IN: Fraction(10_240, _GB),  # 9.4 KB with 2,000 characters of each text; whole KB are billed
        STREAM_OUT: Fraction(10_240, _GB),
        TRACES: Fraction(9, 10),  # whatever is sampled is kept
    }


def _per_judgement() -> Quantities:
    return {
        WRITES: Fraction(16)
    }  # 7 KB with content, again in the index by trace, 1 by time, 1 for its budget


def _per_hour() -> Quantities:
    return {
        STREAM_HOURS: Fraction(1),
        VCPU_HOURS: Fraction(1),  # one worker of 1 vCPU and 2 GB; the cost job's minute is not worth a line
        MEMORY_HOURS: Fraction(2),
    }


@dataclass(frozen=True, slots=True)
class PipelineQuantities:
    """How much of each service watching takes. The defaults come from the sizes of rows as written."""

    per_request: Quantities = field(default_factory=_per_request)
    """For a row of the ledger, a judge's among them."""
    per_sample: Quantities = field(default_factory=_per_sample)
    """For a request that goes to evaluation."""
    per_judgement: Quantities = field(default_factory=_per_judgement)
    per_hour: Quantities = field(default_factory=_per_hour)
    eval_series_per_tenant: int = 100
    """No more series of scores are published for a tenant."""


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
        metric_series(usage, quantities.eval_series_per_tenant), _HOURS_IN_A_MONTH
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
    series = 0
    for dimensions, metrics in _METRICS_WITH.items():
        values = {tuple(one.get(dimension, "") for dimension in dimensions) for one in told}
        series += metrics * sum(None not in value for value in values)
    models: defaultdict[str, set[str]] = defaultdict(set)
    for key in seen:
        models[key.tenant_id].add(key.model_id)
    for tenant_id in {key.tenant_id for key in usage.calls if key.layer == OBSERVABILITY_LAYER}:
        scored = len(models[tenant_id]) * len(JUDGE_DIMENSIONS)
        series += len(_SCORE_METRICS) * min(scored, eval_series_per_tenant)
    return series


_METRICS_WITH: Final = Counter(
    dimensions
    for metric in (*INFERENCE_METRICS, *PIPELINE_METRICS, *COST_METRICS)
    for dimensions in metric.dimension_sets
)
"""How many metrics have a dimension set."""
_SCORE_METRICS: Final = tuple(metric for metric in EVAL_METRICS if metric is not EPOCH_CHANGED)
"""Those with data in every hour in which answers were scored."""


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
