"""What watching takes of AWS's services: for a request, a sample, a judgement and an hour; how many series.

The cost job prices what was with it, `llm-platform estimate` what will be. Sizes are those of rows, lines and
events as the platform writes them. What the services cost is in `prices`; what a deployment costs before
anybody asks it something is in `fixed_costs`. Pure.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from llmplatform.metrics import COST_METRICS, EPOCH_CHANGED, EVAL_METRICS, INFERENCE_METRICS, PIPELINE_METRICS

WRITES: Final = "AmazonDynamoDB/WriteRequestUnits"
READS: Final = "AmazonDynamoDB/ReadRequestUnits"
STREAM_IN: Final = "AmazonKinesis/OnDemand-BilledIncomingBytes"
STREAM_OUT: Final = "AmazonKinesis/OnDemand-BilledOutgoingBytes"
STREAM_HOURS: Final = "AmazonKinesis/OnDemand-StreamHour"
LOGS_IN: Final = "AmazonCloudWatch/DataProcessing-Bytes"
METRIC_MONTHS: Final = "AmazonCloudWatch/CW:MetricMonitorUsage"
METRICS_READ: Final = "AmazonCloudWatch/CW:GMD-Metrics"
STANDARD_ALARM: Final = "AmazonCloudWatch/CW:AlarmMonitorUsage"
HIGH_RESOLUTION_ALARM: Final = "AmazonCloudWatch/CW:HighResAlarmMonitorUsage"
COMPOSITE_ALARM: Final = "AmazonCloudWatch/CW:CompositeAlarmMonitorUsage"
TRACES: Final = "AWSXRay/XRay-TracesStored"
VCPU_HOURS: Final = "AmazonECS/Fargate-vCPU-Hours:perCPU"
MEMORY_HOURS: Final = "AmazonECS/Fargate-GB-Hours"
"""Services by the names of their prices."""

GB: Final = 2**30
HOURS_IN_A_MONTH: Final = 730
"""AWS's own average month."""

LEDGER_ROW_BYTES: Final = 1_200
LEDGER_ROW_UNITS: Final = 2
"""Write units of a row in the table; its index by trace takes as many."""
EMF_LINE_BYTES: Final = 2_400
SAMPLE_BYTES: Final = 10_240
"""9.4 KB with 2,000 characters of each text; whole KB are billed."""
RESULT_BYTES: Final = 7_000
RESULT_UNITS: Final = 7
"""Write units of a result with its content. The index by trace takes as many again, that by time one."""
HEAD_SAMPLED: Final = Fraction(1, 10)
"""The share of traces that is kept by chance."""

Quantities = Mapping[str, Fraction]
"""Units of a service, by the name of its price."""


def _per_request() -> Quantities:
    return {
        WRITES: Fraction(2 * LEDGER_ROW_UNITS),
        READS: Fraction(1),  # at half a unit for 4 KB, in each of the seven runs of an hour that is open
        LOGS_IN: Fraction(EMF_LINE_BYTES, GB),
        TRACES: HEAD_SAMPLED,
    }


def _per_sample() -> Quantities:
    return {
        STREAM_IN: Fraction(SAMPLE_BYTES, GB),
        STREAM_OUT: Fraction(SAMPLE_BYTES, GB),
        TRACES: 1 - HEAD_SAMPLED,  # whatever is sampled is kept
    }


def _per_judgement() -> Quantities:
    return {WRITES: Fraction(2 * RESULT_UNITS + 2)}  # one for the index by time, one for the judge's budget


def _per_hour() -> Quantities:
    return {
        STREAM_HOURS: Fraction(1),
        VCPU_HOURS: Fraction(1),  # one worker of 1 vCPU and 2 GB; the cost job's minute is not worth a line
        MEMORY_HOURS: Fraction(2),
    }


@dataclass(frozen=True, slots=True)
class PipelineQuantities:
    """How much of each service watching takes."""

    per_request: Quantities = field(default_factory=_per_request)
    """For a row of the ledger, a judge's among them."""
    per_sample: Quantities = field(default_factory=_per_sample)
    """For a request that goes to evaluation."""
    per_judgement: Quantities = field(default_factory=_per_judgement)
    per_hour: Quantities = field(default_factory=_per_hour)
    eval_series_per_tenant: int = 100
    """No more series of scores are published for a tenant."""


def series_of(combinations: Callable[[tuple[str, ...]], int]) -> int:
    """How many custom metrics there are; `combinations` tells how many values of a dimension set occur.

    Series of scores are apart, in `score_series`.
    """
    return sum(metrics * combinations(dimensions) for dimensions, metrics in _METRICS_WITH.items())


def score_series(scored: int) -> int:
    """How many custom metrics so many triples of tenant, model and dimension with scores have."""
    return len(_SCORE_METRICS) * scored


_METRICS_WITH: Final = Counter(
    dimensions
    for metric in (*INFERENCE_METRICS, *PIPELINE_METRICS, *COST_METRICS)
    for dimensions in metric.dimension_sets
)
"""How many metrics have a dimension set."""
_SCORE_METRICS: Final = tuple(metric for metric in EVAL_METRICS if metric is not EPOCH_CHANGED)
"""Those with data in every hour in which answers were scored."""
