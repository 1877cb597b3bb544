"""Watching: the console reads all and writes nothing, the alarms' job keeps the alarms and reads no data.

The platform's own alarms, those that roll a deployment back and the archive's are CloudFormation's.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from infra.permissions import keys, parameters, stores
from infra.permissions.account import Account
from infra.permissions.statement import ANY, Statement
from llmplatform.aws.tables import (
    CALIBRATIONS_PREFIX,
    EVAL_DETECTOR,
    EVAL_HISTORY,
    EVAL_MINUTES,
    EVAL_RESULTS,
    GATEWAY_LOGS,
    REQUEST_LEDGER,
    TENANT_COST,
    TOPICS,
)
from llmplatform.eval_parked import PREFIX as PARKED_PREFIX
from watch.alarming.definitions import PREFIX as ALARMS_PREFIX
from watch.alarming.definitions import prefixes_of_tenant
from watch.tables.targets import SCOPES

_ALL_OR_NONE: Final = "CloudWatch shows composite alarms to those alone who may see all alarms"


def console(account: Account) -> Iterator[Statement]:
    """The console. Which viewer sees which tenant is its own to say, not IAM's."""
    yield parameters.all_tenants(account)
    yield parameters.one_tenant(account)
    yield parameters.roles(account)
    yield keys.parameters(account)
    yield stores.rows(account, "Ledger", REQUEST_LEDGER, "BatchGetItem", "Query")
    yield stores.rows_by(account, "LedgerByTrace", REQUEST_LEDGER, "by-trace")
    yield stores.rows(account, "Results", EVAL_RESULTS, "Query")
    yield stores.rows_by(account, "ResultsIndexes", EVAL_RESULTS, "by-trace", "by-judged")
    yield stores.rows(account, "Minutes", EVAL_MINUTES, "Query")
    yield stores.rows(account, "Standing", EVAL_DETECTOR, "BatchGetItem", "Query")
    yield stores.rows(account, "Costs", TENANT_COST, "GetItem", "Query")
    yield keys.tables(account, REQUEST_LEDGER, EVAL_RESULTS, EVAL_MINUTES, EVAL_DETECTOR, TENANT_COST)
    yield keys.of_tenants(account, keys.OPEN)
    yield stores.listing(account, "HistoryNames", EVAL_HISTORY, CALIBRATIONS_PREFIX, PARKED_PREFIX)
    yield stores.objects(account, "Calibrations", EVAL_HISTORY, (CALIBRATIONS_PREFIX,), "GetObject")
    yield keys.objects(account, EVAL_HISTORY, keys.OPEN)
    yield Statement(
        "AllAlarms",
        ("cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory"),
        (ANY,),
        because=_ALL_OR_NONE,
    )
    yield Statement(
        "MetricsTracesAnswers",
        (
            "cloudwatch:GetMetricData",
            "logs:GetQueryResults",
            "logs:StopQuery",
            "xray:CancelTraceRetrieval",
            "xray:ListRetrievedTraces",
            "xray:StartTraceRetrieval",
        ),
        (ANY,),
        because="metrics, traces and running queries have no ARN",
    )
    yield Statement(
        "LogLines",
        ("logs:StartQuery",),
        (f"{account.log_group(GATEWAY_LOGS)}:{ANY}",),
        because="all streams of one group: Logs names a group so",
    )
    yield Statement(
        "Receivers", ("sns:ListSubscriptionsByTopic",), tuple(account.topic(topic) for topic in TOPICS)
    )


def alarms(account: Account) -> Iterator[Statement]:
    """What keeps the alarms: of tenants it knows the policies, of scores and costs their metrics' names."""
    yield parameters.all_tenants(account)
    kept = [f"{ALARMS_PREFIX}{scope}/" for scope in SCOPES if scope != "platform"]
    yield from _keeping_alarms(account, kept)


def alarms_of_tenants(account: Account) -> Iterator[Statement]:
    """Keeping the alarms that come and go with a tenant."""
    yield from _keeping_alarms(account, prefixes_of_tenant(ANY))


def _keeping_alarms(account: Account, prefixes: Sequence[str]) -> Iterator[Statement]:
    """Reading all alarms, and putting those whose names begin so."""
    yield Statement(
        "AlarmsRead",
        ("cloudwatch:DescribeAlarms", "cloudwatch:PutCompositeAlarm"),
        (ANY,),
        because="CloudWatch lets those alone put composite alarms or see them who may do so with all alarms",
    )
    yield Statement(
        "AlarmsTags",
        ("cloudwatch:ListTagsForResource",),
        (account.arn("cloudwatch", f"alarm:{ALARMS_PREFIX}{ANY}"),),
        because="only its tags tell of an alarm with the platform's prefix whether it is one of those kept",
    )
    yield Statement(
        "AlarmsKept",
        (
            "cloudwatch:DeleteAlarms",
            "cloudwatch:PutMetricAlarm",
            "cloudwatch:SetAlarmState",
            "cloudwatch:TagResource",
        ),
        tuple(account.arn("cloudwatch", f"alarm:{prefix}{ANY}") for prefix in prefixes),
        because="alarms come and go with what they are about, and their names begin with its kind",
    )
    yield Statement(
        "MetricsAndTags",
        ("cloudwatch:ListMetrics", "tag:GetResources"),
        (ANY,),
        because="a metric has no ARN, and the tagging API names no resource",
    )
