"""The metric table: every CloudWatch metric in one place, with unit, resolution, dimensions and meaning.

Publishers take names, units and dimension sets from here; panels and alarms name metrics from here. A value
that is unknown is not published: a missing datapoint is not a zero. How a line is written is in `emf`.
"""

from dataclasses import dataclass
from typing import Final, Literal

Unit = Literal["Count", "Microseconds", "Milliseconds", "Seconds", "Count/Second", "Percent", "Bytes", "None"]
Resolution = Literal[1, 60]

INFERENCE: Final = "LLMPlatform/Inference"
EVAL_SCORES: Final = "LLMPlatform/EvalScores"
COST: Final = "LLMPlatform/Cost"
PIPELINE: Final = "LLMPlatform/Pipeline"

GATEWAY: Final = "gateway"
EVALWORKER: Final = "evalworker"
DRIFT: Final = "drift"
COMPACTION: Final = "compaction"
COSTAGG: Final = "costagg"
"""Values of `component`."""

HIGH: Final = 1
STANDARD: Final = 60


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Each of its dimension sets is a series of its own, and is billed as one."""

    name: str
    unit: Unit
    resolution_s: Resolution
    namespace: str
    dimension_sets: tuple[tuple[str, ...], ...]
    publisher: str
    meaning: str


# Percentiles cannot be added up across series, so each view that shows one has its own set; `component` is
# the gateway, that is all requests.
_BY_MODEL: Final = ("model_id", "endpoint_type")
REQUEST_SETS: Final = (
    ("tenant_id", *_BY_MODEL),
    ("tenant_id",),
    _BY_MODEL,
    ("endpoint_name",),
    ("component",),
)
# Outcomes are four; a set with tenant, model and outcome together would multiply the largest one by them.
OUTCOME_SETS: Final = (("tenant_id", "outcome"), (*_BY_MODEL, "outcome"))


def _inference(
    name: str,
    unit: Unit,
    meaning: str,
    *,
    resolution_s: Resolution = STANDARD,
    dimension_sets: tuple[tuple[str, ...], ...] = REQUEST_SETS,
) -> Metric:
    return Metric(name, unit, resolution_s, INFERENCE, dimension_sets, "gateway", meaning)


def _pipeline(
    name: str, unit: Unit, dimensions: str | tuple[str, ...], meaning: str, *, publisher: str = "gateway"
) -> Metric:
    alone = (dimensions,) if isinstance(dimensions, str) else dimensions
    return Metric(name, unit, STANDARD, PIPELINE, tuple((name,) for name in alone), publisher, meaning)


def _evaluation(name: str, unit: Unit, meaning: str) -> Metric:
    return Metric(
        name,
        unit,
        STANDARD,
        EVAL_SCORES,
        (("tenant_id", "model_id", "eval_dimension"),),
        "evalworker",
        meaning,
    )


def _cost(name: str, unit: Unit, dimensions: tuple[str, ...], meaning: str) -> Metric:
    return Metric(
        name, unit, STANDARD, COST, tuple((dimension,) for dimension in dimensions), "costagg", meaning
    )


INPUT_TOKEN_COUNT: Final = _inference(
    "input_token_count", "Count", "Tokens of the prompt, those read from and written to a cache included."
)
OUTPUT_TOKEN_COUNT: Final = _inference("output_token_count", "Count", "Tokens generated, reasoning included.")
CACHE_READ_TOKEN_COUNT: Final = _inference(
    "cache_read_token_count", "Count", "The part of input_token_count that was read from a cache."
)
CACHE_WRITE_TOKEN_COUNT: Final = _inference(
    "cache_write_token_count", "Count", "The part of input_token_count that was written to a cache."
)
TIME_TO_FIRST_TOKEN: Final = _inference(
    "time_to_first_token",
    "Milliseconds",
    "From the request's arrival to the first content delta of a stream.",
    resolution_s=HIGH,
)
TOTAL_LATENCY: Final = _inference(
    "total_latency",
    "Milliseconds",
    "From arrival to the end of the reply, of completed requests: a refusal in 1 ms is not a fast answer.",
    resolution_s=HIGH,
)
OUTPUT_TOKENS_PER_SECOND: Final = _inference(
    "output_tokens_per_second", "Count/Second", "Speed of one stream after its first token."
)
GATEWAY_OVERHEAD: Final = _inference(
    "gateway_overhead", "Milliseconds", "Time that the gateway added before and at the first token."
)
REQUEST_COUNT: Final = _inference(
    "request_count",
    "Count",
    "Requests, whatever became of them; with dimension outcome, by what became of them.",
    dimension_sets=REQUEST_SETS + OUTCOME_SETS,
)
REQUEST_FAILED: Final = _inference(
    "request_failed",
    "Count",
    "0 or 1: the platform failed the tenant (backend fault or a 5xx of ours). Its average is the error rate.",
)
TTFT_SLOW: Final = _inference(
    "ttft_slow", "Count", "0 or 1: the first token came later than the tenant's p99 objective."
)
TRACE_PROPAGATED: Final = _inference(
    "trace_propagated",
    "Count",
    "0 or 1: the trace id went along with every call to a backend; absent where none was called.",
)
TOKEN_COUNT_DIFFERENCE: Final = _inference(
    "token_count_difference",
    "Percent",
    "Our own count of the prompt over the backend's, minus one; only where the backend reported one and ours "
    "came from the model's tokenizer.",
    dimension_sets=(_BY_MODEL,),
)
EVENTS_SKIPPED: Final = _inference(
    "events_skipped",
    "Count",
    "Stream events of a type that we do not know, in replies that had some; no datapoint means none.",
    dimension_sets=(_BY_MODEL,),
)

SINKS: Final = ("emf", "ledger", "spans", "samples", "sealing", "content_log")
"""Values of `sink`."""
SINK_DROPPED: Final = _pipeline(
    "sink_dropped", "Count", "sink", "Items lost for good since the last report, by sink."
)
SINK_PENDING: Final = _pipeline(
    "sink_pending", "Count", "sink", "Items taken and not yet delivered, by sink."
)
AVAILABILITY: Final = _pipeline(
    "availability",
    "Count",
    "component",
    "0 or 1, once a minute: the component is ready to work; of a job once a run, whether it did it.",
)
POLICY_AGE_SECONDS: Final = _pipeline(
    "policy_age_seconds", "Seconds", "component", "Age of the oldest tenant policy that is being applied."
)
REQUESTS_IN_FLIGHT: Final = _pipeline(
    "requests_in_flight",
    "Count",
    "component",
    "Requests that a task is answering, drains included, once a minute; the average is per task.",
)
TOKENIZER_MISSING: Final = _pipeline(
    "tokenizer_missing", "Count", "component", "Catalogue models whose tokenizer is not on this machine."
)
CIRCUIT_OPEN: Final = _pipeline(
    "circuit_open",
    "Count",
    "model_id",
    "0 or 1, once a minute: calls are held back for the model's health.",
)
TELEMETRY_FAULTS: Final = _pipeline(
    "telemetry_faults",
    "Count",
    "component",
    "Signals that could not be made from a record since the last report.",
)

EVAL_SCORE: Final = _evaluation(
    "eval_score",
    "None",
    "Score of one answer: 1 to 5 by a judge, higher is better; BERTScore F1, at most 1. Not weighted.",
)
SCORE_FALLEN: Final = _evaluation(
    "score_fallen",
    "Count",
    "0 or 1, once a minute: the sequential detector holds that scores fell; absent while it has too few.",
)
SCORE_DROP_PERCENT: Final = _evaluation(
    "score_drop_percent",
    "Percent",
    "How far the weighted mean of the latest scores is below that of the seven days before.",
)
SCORE_DROPPED: Final = _evaluation(
    "score_dropped", "Count", "0 or 1, once a minute: the drop is over 15 % and no play of chance."
)
EPOCH_CHANGED: Final = _evaluation(
    "epoch_changed", "Count", "1 in the minute in which another judge or scorer began; its scores start anew."
)

EVAL_RECORDS: Final = _pipeline(
    "eval_records",
    "Count",
    "result",
    "Sampled requests since the last report, by what became of them: read, scored, known (scored before), "
    "skipped or parked. What is read is the sum of the others.",
    publisher="evalworker",
)
EVAL_SKIPPED: Final = _pipeline(
    "eval_skipped",
    "Count",
    "reason",
    "Sampled requests that were not judged, by reason.",
    publisher="evalworker",
)
EVAL_PARKED: Final = _pipeline(
    "eval_parked",
    "Count",
    "reason",
    "Records that cannot be evaluated, put aside in S3, by reason.",
    publisher="evalworker",
)
EVAL_LAG_SECONDS: Final = _pipeline(
    "eval_lag_seconds",
    "Seconds",
    "component",
    "Age of the oldest sampled request that waits to be evaluated, as far as the worker knows.",
    publisher="evalworker",
)
EVAL_UNFINISHED: Final = _pipeline(
    "eval_unfinished",
    "Count",
    "component",
    "Times that a record had to be brought again, because a judge or a store did not answer.",
    publisher="evalworker",
)
JUDGE_FAILED: Final = _pipeline(
    "judge_failed",
    "Count",
    ("reason", "component"),
    "Calls of the judge that gave no verdict, by reason, as in evalworker/judging/judge.py; all of them by "
    "component.",
    publisher="evalworker",
)
SAMPLING_FACTOR: Final = _pipeline(
    "sampling_factor",
    "None",
    "reason",
    "The factor that this writer holds every tenant's sample rate down to; 1 is none.",
    publisher="evalworker, costagg",
)
SCORES_MISSING: Final = Metric(
    "scores_missing",
    "Count",
    STANDARD,
    PIPELINE,
    (("tenant_id",), ("stage",)),
    "evalworker",
    "0 or 1, once a minute: a tenant has traffic to evaluate and no scores; `stage` is where they get lost.",
)
CALIBRATION_AGE_DAYS: Final = _pipeline(
    "calibration_age_days",
    "Count",
    "judge_identity",
    "Days since people agreed with this judge; absent unless they did when last asked.",
    publisher="evalworker",
)
JUDGE_UNCALIBRATED: Final = _pipeline(
    "judge_uncalibrated",
    "Count",
    "judge_identity",
    "0 or 1, once a minute: people never agreed with this judge, or did not when last asked.",
    publisher="evalworker",
)

COST_TODAY_USD: Final = Metric(
    "cost_today_usd",
    "None",
    STANDARD,
    COST,
    (("tenant_id",), _BY_MODEL),
    "costagg",
    "US dollars spent since 00:00 UTC, as far as it is known; also of `_unused` and `_platform`.",
)
COST_MONTH_TO_DATE_USD: Final = _cost(
    "cost_month_to_date_usd", "None", ("tenant_id",), "US dollars spent since the month's first day, UTC."
)
BUDGET_USED_PERCENT: Final = _cost(
    "budget_used_percent", "Percent", ("tenant_id",), "Today's dollars over the tenant's daily budget."
)
BUDGET_PROJECTED_PERCENT: Final = _cost(
    "budget_projected_percent",
    "Percent",
    ("tenant_id",),
    "What it will be at midnight UTC at the pace of the last hours.",
)
TOKEN_BUDGET_USED_PERCENT: Final = _cost(
    "token_budget_used_percent", "Percent", ("tenant_id",), "Today's tokens over the tenant's daily budget."
)
TOKEN_BUDGET_PROJECTED_PERCENT: Final = _cost(
    "token_budget_projected_percent",
    "Percent",
    ("tenant_id",),
    "What it will be at midnight UTC at the pace of the last hours.",
)
UNPRICED_USAGE: Final = _cost(
    "unpriced_usage",
    "Count",
    ("component", "price_key"),
    "Cost lines of the day so far whose price is not known; a price key is named only where it has some.",
)
UNCOUNTED_REQUESTS: Final = _cost(
    "uncounted_requests",
    "Count",
    ("component",),
    "Calls of the day so far that may be billed and of which nobody knows how much was used.",
)
LEDGER_DIFFERENCE_PERCENT: Final = _cost(
    "ledger_difference_percent",
    "Percent",
    ("tenant_id",),
    "How far CloudWatch's token metrics are from the ledger, in the hours just computed; 0 is equal.",
)
UNUSED_CAPACITY_PERCENT: Final = _cost(
    "unused_capacity_percent",
    "Percent",
    ("endpoint_name",),
    "The part of today's instance cost of an endpoint that nobody used.",
)
OBSERVABILITY_SHARE_PERCENT: Final = _cost(
    "observability_share_percent",
    "Percent",
    ("component",),
    "What observing cost in the last 24 hours over what inference cost.",
)
OBSERVABILITY_BUDGET_USED_PERCENT: Final = _cost(
    "observability_budget_used_percent",
    "Percent",
    ("component",),
    "What observing cost today over its own daily budget; sampling is held down from 80 on.",
)
ACCOUNT_BUDGET_USED_PERCENT: Final = _cost(
    "account_budget_used_percent",
    "Percent",
    ("component",),
    "What AWS billed for observing this month over the AWS Budget of it; sampling is held down from 80 on.",
)
RECONCILIATION_ERROR_PERCENT: Final = _cost(
    "reconciliation_error_percent",
    "Percent",
    ("service",),
    "How far what was attributed is from AWS's bill, by service, when last compared.",
)
COST_AGE_SECONDS: Final = _pipeline(
    "cost_age_seconds",
    "Seconds",
    "component",
    "Time since the end of the newest hour that was computed after it was over.",
    publisher="costagg",
)
RECONCILIATION_OVERDUE_DAYS: Final = _pipeline(
    "reconciliation_overdue_days",
    "Count",
    "component",
    "Days for which the month before should have been held against AWS's bill; 0 where it was or is not due.",
    publisher="costagg",
)
MODEL_DAYS_TO_END_OF_LIFE: Final = _pipeline(
    "model_days_to_end_of_life",
    "Count",
    "model_id",
    "Days until the provider stops serving a model; absent where no date is announced.",
    publisher="costagg",
)

INFERENCE_METRICS: Final = (
    REQUEST_COUNT,
    REQUEST_FAILED,
    TRACE_PROPAGATED,
    TOTAL_LATENCY,
    TIME_TO_FIRST_TOKEN,
    TTFT_SLOW,
    INPUT_TOKEN_COUNT,
    OUTPUT_TOKEN_COUNT,
    CACHE_READ_TOKEN_COUNT,
    CACHE_WRITE_TOKEN_COUNT,
    OUTPUT_TOKENS_PER_SECOND,
    GATEWAY_OVERHEAD,
    TOKEN_COUNT_DIFFERENCE,
    EVENTS_SKIPPED,
)
PIPELINE_METRICS: Final = (
    SINK_DROPPED,
    SINK_PENDING,
    AVAILABILITY,
    POLICY_AGE_SECONDS,
    REQUESTS_IN_FLIGHT,
    TOKENIZER_MISSING,
    CIRCUIT_OPEN,
    TELEMETRY_FAULTS,
    EVAL_RECORDS,
    EVAL_SKIPPED,
    EVAL_PARKED,
    EVAL_LAG_SECONDS,
    EVAL_UNFINISHED,
    JUDGE_FAILED,
    SAMPLING_FACTOR,
    SCORES_MISSING,
    CALIBRATION_AGE_DAYS,
    JUDGE_UNCALIBRATED,
    COST_AGE_SECONDS,
    RECONCILIATION_OVERDUE_DAYS,
    MODEL_DAYS_TO_END_OF_LIFE,
)
EVAL_METRICS: Final = (EVAL_SCORE, SCORE_FALLEN, SCORE_DROP_PERCENT, SCORE_DROPPED, EPOCH_CHANGED)
COST_METRICS: Final = (
    COST_TODAY_USD,
    COST_MONTH_TO_DATE_USD,
    BUDGET_USED_PERCENT,
    BUDGET_PROJECTED_PERCENT,
    TOKEN_BUDGET_USED_PERCENT,
    TOKEN_BUDGET_PROJECTED_PERCENT,
    UNPRICED_USAGE,
    UNCOUNTED_REQUESTS,
    LEDGER_DIFFERENCE_PERCENT,
    UNUSED_CAPACITY_PERCENT,
    OBSERVABILITY_SHARE_PERCENT,
    OBSERVABILITY_BUDGET_USED_PERCENT,
    ACCOUNT_BUDGET_USED_PERCENT,
    RECONCILIATION_ERROR_PERCENT,
)
METRICS: Final = {
    (metric.namespace, metric.name): metric
    for metric in INFERENCE_METRICS + PIPELINE_METRICS + EVAL_METRICS + COST_METRICS
}
