"""The panels of the platform itself: its processes, its sinks, evaluation, tables, logs and money. Pure."""

from typing import Final

from llmplatform import metrics as ours
from llmplatform.account_budget import ACCOUNT_BUDGET
from llmplatform.aws.schedules import DEAD_LETTERS
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_CONSUMER, EVAL_STREAM, GATEWAY_LOGS, TABLES
from watch.tables import native, thresholds
from watch.tables.panel import Panel
from watch.tables.readings import read

_ALL: Final = {"component": ours.GATEWAY}
_COST: Final = {"component": ours.COSTAGG}

PLATFORM_PANELS: Final = (
    Panel(
        "platform-availability",
        "platform",
        "Availability of the platform's processes",
        "Is every part of the platform able to work?",
        "share",
        tuple(
            read(ours.AVAILABILITY, "Average", component, component=component)
            for component in (ours.GATEWAY, ours.EVALWORKER, ours.DRIFT, ours.COMPACTION, ours.COSTAGG)
        ),
    ),
    Panel(
        "platform-trace-propagated",
        "platform",
        "Requests with their trace id propagated",
        "Can every request be followed to its backend?",
        "share",
        (read(ours.TRACE_PROPAGATED, "Average", "propagated", **_ALL),),
    ),
    Panel(
        "platform-dropped",
        "platform",
        "Dropped by a sink",
        "Is telemetry being lost?",
        "units",
        tuple(read(ours.SINK_DROPPED, "Sum", sink, sink=sink) for sink in ours.SINKS),
        drawn="stacked",
    ),
    Panel(
        "platform-pending",
        "platform",
        "Waiting in a sink",
        "Is telemetry piling up?",
        "units",
        tuple(read(ours.SINK_PENDING, "Maximum", sink, sink=sink) for sink in ours.SINKS),
    ),
    Panel(
        "platform-evaluated",
        "platform",
        "Sampled requests by what became of them",
        "Does every sample come to an end?",
        "requests",
        tuple(
            read(ours.EVAL_RECORDS, "Sum", result, result=result)
            for result in ("read", "scored", "known", "skipped", "parked")
        ),
    ),
    Panel(
        "platform-eval-lag",
        "platform",
        "Age of what waits to be evaluated",
        "How old is the news that scores bring?",
        "s",
        (read(ours.EVAL_LAG_SECONDS, "Maximum", "worker", component=ours.EVALWORKER),),
        thresholds=(thresholds.EVAL_LAG,),
    ),
    Panel(
        "platform-iterator-age",
        "platform",
        "Age of what is read from the stream",
        "Does the consumer keep up?",
        "ms",
        (
            read(native.STREAM_ITERATOR_AGE, "Maximum", "asked for", StreamName=EVAL_STREAM.name),
            read(
                native.STREAM_PUSHED_AGE,
                "Maximum",
                "pushed",
                StreamName=EVAL_STREAM.name,
                ConsumerName=EVAL_CONSUMER,
            ),
        ),
        thresholds=(thresholds.ITERATOR_AGE_MS,),
    ),
    Panel(
        "platform-stream",
        "platform",
        "Records into the stream",
        "Do samples get there?",
        "units",
        (
            read(native.STREAM_INCOMING_RECORDS, "Sum", "taken", StreamName=EVAL_STREAM.name),
            read(native.STREAM_WRITE_THROTTLED, "Sum", "turned away", StreamName=EVAL_STREAM.name),
        ),
    ),
    Panel(
        "platform-judge-failed",
        "platform",
        "Judge calls without a verdict",
        "Does the judge answer?",
        "requests",
        (read(ours.JUDGE_FAILED, "Sum", "failed", component=ours.EVALWORKER),),
        thresholds=(thresholds.JUDGE_FAILURES,),
        sparse=True,
    ),
    Panel(
        "platform-sampling",
        "platform",
        "Sampling held down to",
        "Is sampling being held down, and by whom?",
        "share",
        tuple(
            read(ours.SAMPLING_FACTOR, "Minimum", label, reason=reason)
            for reason, label in (
                ("lag", "lag"),
                ("observability_budget", "observability's budget of the day"),
                (ACCOUNT_BUDGET, "the account's budget of the month"),
            )
        ),
    ),
    Panel(
        "platform-tables",
        "platform",
        "Table units written",
        "Which table takes the load?",
        "units",
        tuple(
            read(native.TABLE_CONSUMED_WRITES, "Sum", table.name, TableName=table.name) for table in TABLES
        ),
    ),
    Panel(
        "platform-tables-throttled",
        "platform",
        "Table calls turned away",
        "Is a table too slow for us?",
        "units",
        tuple(
            read(metric, "Sum", f"{table.name} {what}", TableName=table.name)
            for table in TABLES
            for metric, what in (
                (native.TABLE_WRITES_THROTTLED, "writes"),
                (native.TABLE_READS_THROTTLED, "reads"),
            )
        ),
        drawn="stacked",
        sparse=True,
    ),
    Panel(
        "platform-logs",
        "platform",
        "Log bytes taken in",
        "Do log lines arrive?",
        "bytes",
        tuple(
            read(native.LOGS_INCOMING_BYTES, "Sum", group.name, LogGroupName=group.name)
            for group in (GATEWAY_LOGS, CONTENT_LOGS)
        ),
    ),
    Panel(
        "platform-emf-errors",
        "platform",
        "Metric lines refused",
        "Are metrics lost on their way out of the log?",
        "units",
        (
            read(native.EMF_PARSING_ERRORS, "Sum", "no JSON", LogGroupName=GATEWAY_LOGS.name),
            read(native.EMF_VALIDATION_ERRORS, "Sum", "against the format", LogGroupName=GATEWAY_LOGS.name),
        ),
        sparse=True,
    ),
    Panel(
        "platform-policy-age",
        "platform",
        "Age of the tenant policies in force",
        "Would a revoked key still work?",
        "s",
        (
            read(ours.POLICY_AGE_SECONDS, "Maximum", "gateway", component=ours.GATEWAY),
            read(ours.POLICY_AGE_SECONDS, "Maximum", "evaluation", component=ours.EVALWORKER),
        ),
        thresholds=(thresholds.POLICY_AGE,),
    ),
    Panel(
        "platform-cost-age",
        "platform",
        "Age of the newest hour of costs",
        "Is the cost job keeping up?",
        "s",
        (read(ours.COST_AGE_SECONDS, "Maximum", "cost job", **_COST),),
        thresholds=(thresholds.COST_LATE,),
    ),
    Panel(
        "platform-spend",
        "platform",
        "Not a tenant's: spend today",
        "What do unused capacity and watching cost?",
        "usd",
        (
            read(ours.COST_TODAY_USD, "Maximum", "unused capacity", tenant_id="_unused"),
            read(ours.COST_TODAY_USD, "Maximum", "the platform itself", tenant_id="_platform"),
        ),
    ),
    Panel(
        "platform-observability-share",
        "platform",
        "Observing, of the cost of inference",
        "Does watching cost less than 3 % of what is watched?",
        "percent",
        (read(ours.OBSERVABILITY_SHARE_PERCENT, "Maximum", "share", **_COST),),
        thresholds=(thresholds.OBSERVABILITY_SHARE,),
    ),
    Panel(
        "platform-observability-budget",
        "platform",
        "Observing, of its budgets",
        "Is sampling about to be held down for money?",
        "percent",
        (
            read(ours.OBSERVABILITY_BUDGET_USED_PERCENT, "Maximum", "today, as computed", **_COST),
            read(ours.ACCOUNT_BUDGET_USED_PERCENT, "Maximum", "this month, as billed", **_COST),
        ),
        thresholds=(thresholds.OBSERVABILITY_BUDGET,),
    ),
    Panel(
        "platform-unpriced",
        "platform",
        "Usage without a price or a count",
        "What is missing from the bill?",
        "units",
        (
            read(ours.UNPRICED_USAGE, "Maximum", "lines without a price", **_COST),
            read(ours.UNCOUNTED_REQUESTS, "Maximum", "calls without a count", **_COST),
        ),
    ),
    Panel(
        "platform-reconciliation",
        "platform",
        "Error against AWS's bill",
        "Do attributed dollars add up to the invoice?",
        "percent",
        tuple(
            read(ours.RECONCILIATION_ERROR_PERCENT, "Maximum", service, service=service)
            for service in ("AmazonBedrock", "AmazonSageMaker")
        ),
        thresholds=(thresholds.RECONCILIATION,),
        sparse=True,
    ),
    Panel(
        "platform-reconciliation-overdue",
        "platform",
        "Wait of the last month for AWS's bill",
        "Was the last month held against the invoice?",
        "days",
        (read(ours.RECONCILIATION_OVERDUE_DAYS, "Maximum", "overdue for", **_COST),),
    ),
    Panel(
        "platform-dead-letters",
        "platform",
        "Dead letters",
        "Could something not be started, or not be handled?",
        "units",
        (read(native.DEAD_LETTERS, "Maximum", "waiting", QueueName=DEAD_LETTERS),),
        sparse=True,
    ),
)
