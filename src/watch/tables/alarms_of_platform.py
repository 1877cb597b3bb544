"""Alarms about the platform itself: its processes, what they drop, evaluation, tables, logs, and money. Pure.

They are the same in every account, so the deployment creates them.
"""

from typing import Final

from llmplatform import metrics as ours
from llmplatform.account_budget import ACCOUNT_BUDGET, STEPS
from llmplatform.aws.schedules import DEAD_LETTERS
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_STREAM, GATEWAY_LOGS, TABLES
from llmplatform.metrics import Metric
from watch.tables import native, thresholds
from watch.tables.readings import Reading, read
from watch.tables.rules import Comparison, MetricRule, Missing, Rule, Severity, Threshold

_MINUTE: Final = 60
_FIVE_MINUTES: Final = 300
_HOUR: Final = 3_600
_DAY: Final = 86_400
_OVER: Final[Comparison] = "GreaterThanThreshold"


def _rule(
    key: str,
    title: str,
    meaning: str,
    reading: Reading,
    threshold: Threshold,
    *,
    period_s: int = _MINUTE,
    datapoints: int,
    of: int,
    missing: Missing,
    comparison: Comparison = _OVER,
    severity: Severity = "warning",
    runbook: str = "",
    suppressed_by: str | None = None,
) -> MetricRule:
    return MetricRule(
        key=key,
        scope="platform",
        title=title,
        meaning=meaning,
        reading=reading,
        comparison=comparison,
        threshold=threshold,
        period_s=period_s,
        datapoints=datapoints,
        of=of,
        missing=missing,
        severity=severity,
        runbook=runbook,
        suppressed_by=suppressed_by,
    )


def _any(
    key: str,
    title: str,
    meaning: str,
    reading: Reading,
    *,
    severity: Severity = "warning",
    runbook: str = "",
    unit: str = "",
) -> MetricRule:
    """One is too many; quiet after a quarter of an hour without."""
    return _rule(
        key,
        title,
        meaning,
        reading,
        thresholds.fixed(0, unit),
        datapoints=1,
        of=15,
        missing="notBreaching",
        severity=severity,
        runbook=runbook,
    )


def _not_available(
    key: str, title: str, meaning: str, component: str, *, minutes: int, severity: Severity
) -> MetricRule:
    """None of a component's processes was ready, or none said anything."""
    return _rule(
        key,
        title,
        meaning,
        read(ours.AVAILABILITY, "Maximum", component=component),
        thresholds.fixed(1, "state"),
        datapoints=minutes,
        of=minutes,
        missing="breaching",
        comparison="LessThanThreshold",
        severity=severity,
    )


def _of_costs(metric: Metric) -> Reading:
    return read(metric, "Maximum", component=ours.COSTAGG)


def _published(
    key: str,
    title: str,
    meaning: str,
    reading: Reading,
    threshold: Threshold,
    *,
    comparison: Comparison = _OVER,
    severity: Severity = "warning",
    runbook: str = "",
) -> MetricRule:
    """Of a figure that a job publishes now and then: it stands until the next one."""
    return _rule(
        key,
        title,
        meaning,
        reading,
        threshold,
        period_s=_FIVE_MINUTES,
        datapoints=1,
        of=1,
        missing="ignore",
        comparison=comparison,
        severity=severity,
        runbook=runbook,
    )


_LOST: Final = {
    "emf": "Metrics and log lines are lost.",
    "ledger": "Ledger rows are lost: the requests in them will be on nobody's bill.",
    "spans": "Spans are lost: some traces cannot be found in X-Ray.",
    "samples": "Samples are lost: scores rest on fewer answers than the policy asks for.",
    "sealing": "Samples of tenants with a key of their own are lost before they are encrypted.",
    "content_log": "Content that tenants opted in to is not in its log.",
}

PLATFORM_RULES: Final[tuple[Rule, ...]] = (
    _not_available(
        "gateway-unavailable",
        "No gateway is ready",
        "Tenants are not being served, or nothing is heard of any gateway.",
        ours.GATEWAY,
        minutes=3,
        severity="critical",
    ),
    _rule(
        "gateway-overhead",
        "The gateway itself is slow (p99)",
        "The gateway adds more to the time to first token than it is meant to.",
        read(ours.GATEWAY_OVERHEAD, "p99", component=ours.GATEWAY),
        thresholds.OVERHEAD,
        period_s=_FIVE_MINUTES,
        datapoints=3,
        of=4,
        missing="ignore",
    ),
    _rule(
        "trace-not-propagated",
        "Requests without their trace id at the backend",
        "A complaint about such a request cannot be followed to the backend that answered it.",
        read(ours.TRACE_PROPAGATED, "Minimum", component=ours.GATEWAY),
        thresholds.fixed(1, "state"),
        datapoints=1,
        of=15,
        missing="notBreaching",
        comparison="LessThanThreshold",
    ),
    _rule(
        "policy-age",
        "Tenant policies are old",
        "The gateway works by policies that it could not read again: a revoked key still opens the door.",
        read(ours.POLICY_AGE_SECONDS, "Maximum", component=ours.GATEWAY),
        thresholds.POLICY_AGE,
        datapoints=3,
        of=6,
        missing="ignore",
    ),
    _any(
        "telemetry-faults",
        "Signals could not be made",
        "A fault in the gateway's telemetry: requests are served, and something about them is not told.",
        read(ours.TELEMETRY_FAULTS, "Sum", component=ours.GATEWAY),
        unit="signals",
    ),
    *(
        _any(
            f"sink-dropped-{sink.replace('_', '-')}",
            f"Dropped by the sink {sink}",
            _LOST[sink],
            read(ours.SINK_DROPPED, "Sum", sink=sink),
            severity="critical" if sink == "ledger" else "warning",
            runbook="ledger-writes" if sink == "ledger" else "sink-dropped",
            unit="items",
        )
        for sink in ours.SINKS
    ),
    _any(
        "emf-parsing",
        "Metric lines are no JSON",
        "CloudWatch finds lines that are meant as metrics and cannot be parsed: their figures are missing.",
        read(native.EMF_PARSING_ERRORS, "Sum", LogGroupName=GATEWAY_LOGS.name),
        runbook="emf-errors",
        unit="lines",
    ),
    _any(
        "emf-validation",
        "Metric lines break the format",
        "CloudWatch refuses lines that are meant as metrics: their figures are missing.",
        read(native.EMF_VALIDATION_ERRORS, "Sum", LogGroupName=GATEWAY_LOGS.name),
        runbook="emf-errors",
        unit="lines",
    ),
    _not_available(
        "evaluation-unavailable",
        "Nothing is being evaluated",
        "No worker is able to judge: scores will be late, and falling quality unseen.",
        ours.EVALWORKER,
        minutes=5,
        severity="warning",
    ),
    _rule(
        "evaluation-availability",
        "Evaluation misses its objective",
        "Over a day, evaluation was available for less than its objective.",
        read(ours.AVAILABILITY, "Average", component=ours.EVALWORKER),
        thresholds.EVALUATION_OBJECTIVE,
        period_s=_DAY,
        datapoints=1,
        of=1,
        missing="missing",
        comparison="LessThanThreshold",
        suppressed_by="evaluation-unavailable",
    ),
    _rule(
        "iterator-age",
        "The stream is read late",
        "Samples wait in the stream: scores and alarms on quality tell of the past.",
        read(native.STREAM_ITERATOR_AGE, "Maximum", StreamName=EVAL_STREAM.name),
        thresholds.ITERATOR_AGE_MS,
        datapoints=3,
        of=6,
        missing="notBreaching",
    ),
    _rule(
        "pushed-age",
        "The stream is pushed late",
        "Samples wait in the stream: scores and alarms on quality tell of the past.",
        read(
            native.STREAM_PUSHED_AGE,
            "Maximum",
            StreamName=EVAL_STREAM.name,
            ConsumerName=EVAL_CONSUMER,
        ),
        thresholds.ITERATOR_AGE_MS,
        datapoints=3,
        of=6,
        missing="notBreaching",
        runbook="iterator-age",
    ),
    _rule(
        "evaluation-lag",
        "Samples wait to be evaluated",
        "The judge does not keep up: scores come late, and sampling is being held down.",
        read(ours.EVAL_LAG_SECONDS, "Maximum", component=ours.EVALWORKER),
        thresholds.EVAL_LAG,
        datapoints=3,
        of=6,
        missing="notBreaching",
        suppressed_by="evaluation-unavailable",
    ),
    _rule(
        "judge-failures",
        "The judge gives no verdicts",
        "Calls of the judge fail: what is sampled is not scored.",
        read(ours.JUDGE_FAILED, "Sum", component=ours.EVALWORKER),
        thresholds.JUDGE_FAILURES,
        period_s=_FIVE_MINUTES,
        datapoints=1,
        of=3,
        missing="notBreaching",
        comparison="GreaterThanOrEqualToThreshold",
    ),
    _any(
        "parked-records",
        "Records that cannot be evaluated",
        "Records were put aside because nobody can evaluate them; they are kept, and are in no score.",
        read(ours.EVAL_RECORDS, "Sum", result="parked"),
        unit="records",
    ),
    _not_available(
        "drift-not-run",
        "Nobody looks for falling scores",
        "The drift job did not run: scores are stored, and their fall would not be seen.",
        ours.DRIFT,
        minutes=5,
        severity="warning",
    ),
    _rule(
        "compaction-not-run",
        "The history is not compacted",
        "Compaction did not run, or failed: past scores are read from ever more small files.",
        read(ours.AVAILABILITY, "Maximum", component=ours.COMPACTION),
        thresholds.scheduled(1, "state"),
        period_s=_FIVE_MINUTES,
        datapoints=36,
        of=36,
        missing="breaching",
        comparison="LessThanThreshold",
    ),
    _rule(
        "dead-letters",
        "A job could not be started, or a message not handled",
        "Something that was tried again and again was given up: it lies in a queue until somebody looks.",
        read(native.DEAD_LETTERS, "Maximum", QueueName=DEAD_LETTERS),
        thresholds.scheduled(0, "messages"),
        datapoints=1,
        of=15,
        missing="notBreaching",
    ),
    *(
        _any(
            f"table-throttled-{table.name}",
            f"Table {table.name} turns writes away",
            "DynamoDB throttles writes: they are tried again, and lost if it goes on.",
            read(native.TABLE_WRITES_THROTTLED, "Sum", TableName=table.name),
            runbook="table-throttled",
            unit="writes",
        )
        for table in TABLES
    ),
    _any(
        "stream-throttled",
        "The stream turns records away",
        "Kinesis throttles the gateway's samples: they are tried again, and lost if it goes on.",
        read(native.STREAM_WRITE_THROTTLED, "Sum", StreamName=EVAL_STREAM.name),
        unit="records",
    ),
    _rule(
        "cost-not-run",
        "The cost job did not run",
        "No costs were computed for two hours: budgets and bills stand still.",
        read(ours.AVAILABILITY, "SampleCount", component=ours.COSTAGG),
        thresholds.fixed(1, "runs"),
        # By the hour it would be told two hours later: datapoints count before what is missing does.
        period_s=_FIVE_MINUTES,
        datapoints=24,
        of=24,
        missing="breaching",
        comparison="LessThanThreshold",
    ),
    _published(
        "cost-late",
        "An hour of costs is missing",
        "The cost job runs and an hour that is over has not been computed.",
        _of_costs(ours.COST_AGE_SECONDS),
        thresholds.COST_LATE,
    ),
    _published(
        "unpriced-usage",
        "Usage without a price",
        "Something was used today whose price is not known: bills are too small.",
        _of_costs(ours.UNPRICED_USAGE),
        thresholds.fixed(0, "lines"),
    ),
    _published(
        "uncounted-requests",
        "Calls that nobody counted",
        "Calls may be billed of which nobody knows how much they used: bills may be too small.",
        _of_costs(ours.UNCOUNTED_REQUESTS),
        thresholds.fixed(0, "calls"),
        severity="information",  # a few are normal: streams that were cut before any count came
    ),
    *(
        _published(
            f"reconciliation-{service}",
            f"Costs differ from AWS's bill for {name}",
            "What was attributed to tenants and what AWS billed are further apart than is allowed.",
            read(ours.RECONCILIATION_ERROR_PERCENT, "Maximum", service=name),
            thresholds.RECONCILIATION,
            runbook="reconciliation",
        )
        for service, name in (("bedrock", "AmazonBedrock"), ("sagemaker", "AmazonSageMaker"))
    ),
    _published(
        "reconciliation-overdue",
        "The last month was not held against AWS's bill",
        "Nobody knows whether what tenants were charged for the last month is what AWS asks for.",
        _of_costs(ours.RECONCILIATION_OVERDUE_DAYS),
        thresholds.fixed(0, "days"),
    ),
    _published(
        "observability-share",
        "Watching costs too much",
        "Observing cost more than its share of what inference cost in the last 24 hours.",
        _of_costs(ours.OBSERVABILITY_SHARE_PERCENT),
        thresholds.OBSERVABILITY_SHARE,
    ),
    _published(
        "observability-budget",
        "Watching has used most of its budget",
        "Observing has used most of today's budget: sampling is being held down.",
        _of_costs(ours.OBSERVABILITY_BUDGET_USED_PERCENT),
        thresholds.OBSERVABILITY_BUDGET,
    ),
    _published(
        "account-budget",
        "Watching has used most of the month's budget",
        "AWS has billed most of what observing may cost this month: sampling is being held down.",
        _of_costs(ours.ACCOUNT_BUDGET_USED_PERCENT),
        thresholds.fixed(float(STEPS[0].from_percent), "%"),
        comparison="GreaterThanOrEqualToThreshold",
    ),
    _rule(
        "account-budget-not-read",
        "Nobody looks at the month's budget",
        "The handler of the AWS Budget did not run: if the month grows too dear, sampling is not held down.",
        read(ours.SAMPLING_FACTOR, "SampleCount", reason=ACCOUNT_BUDGET),
        thresholds.scheduled(1, "runs"),
        period_s=_HOUR,
        datapoints=13,
        of=13,
        missing="breaching",
        comparison="LessThanThreshold",
    ),
)
