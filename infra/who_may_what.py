"""The questions of docs/security.md's matrix: what it takes to read, write or delete each kind of data.

Each is put to the policies as AWS would put it: the action, the resource, and the key that the data is under.
A verb holds where all of one of its ways is allowed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from infra.layers import PREFIX
from infra.models import bedrock_models, catalogue_of, endpoint_arns
from infra.permissions.account import Account
from infra.permissions.parameters import BRAKE_OF_DAY, BRAKE_OF_LAG, BRAKE_OF_MONTH
from infra.policy import Asked, Context
from infra.resolved import key_arn
from llmplatform.aws.envelope import TENANT
from llmplatform.aws.eval_reader import SCORE_ATTRIBUTES
from llmplatform.aws.tables import (
    ACCESS_KEY,
    CALIBRATIONS_PREFIX,
    CONTENT_LOGS,
    CRITICAL_ALARMS,
    EVAL_CONSUMER,
    EVAL_DETECTOR,
    EVAL_HISTORY,
    EVAL_MINUTES,
    EVAL_RESULTS,
    EVAL_SPEND,
    EVAL_STREAM,
    GATEWAY_LOGS,
    REQUEST_LEDGER,
    TENANT_COST,
    Table,
)
from llmplatform.aws.tenant_key import TENANT_TAG
from llmplatform.eval_heartbeat import WORKERS
from llmplatform.eval_parked import PREFIX as PARKED_PREFIX
from watch.alarming.definitions import PREFIX as ALARMS_PREFIX
from watch.grafana.athena import DATABASE, TABLE

Way = tuple[Asked, ...]
"""All that has to be allowed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of data, with the ways to do each of the verbs to it."""

    data: str
    key: str
    """What it is encrypted under."""
    verbs: Mapping[str, Sequence[Way]]


_TENANT: Final = "acme"
_HISTORY: Final = "history/date=2026-11-23/tenant=acme/a"
_READS: Final = ("GetItem", "BatchGetItem", "Query", "Scan")
_WRITES: Final = ("PutItem", "UpdateItem", "BatchWriteItem")


def rows(account: Account) -> Iterator[Row]:
    """Every kind of data, from what was said to what it cost."""
    yield from _said(account)
    yield from _scores(account)
    yield from _usage(account)
    yield from _access(account)
    yield from _watched(account)


def _said(account: Account) -> Iterator[Row]:
    """What tenants and models said, wherever it is."""
    stream = account.stream(EVAL_STREAM)
    sealed, opened = (
        _through(account, "kinesis", action, "samples", {"aws:kinesis:arn": stream})
        for action in ("kms:GenerateDataKey", "kms:Decrypt")
    )
    yield Row(
        "samples on the stream",
        "samples",
        {
            "r": [
                (Asked("kinesis:GetRecords", stream), opened),
                (Asked("kinesis:SubscribeToShard", f"{stream}/consumer/{EVAL_CONSUMER}:1"), opened),
            ],
            "w": [(Asked("kinesis:PutRecords", stream), sealed)],
        },
    )
    everything = (*SCORE_ATTRIBUTES, "content", "enc")
    yield _table(account, "results, with what was said", EVAL_RESULTS, attributes=everything)
    yield _objects(account, "history (Parquet), with what was said", _HISTORY)
    group = f"{account.log_group(CONTENT_LOGS)}:log-stream:gateway/a/1"
    yield Row(
        "content log",
        "content-logs",
        {
            "r": [
                (Asked(f"logs:{one}", group),) for one in ("FilterLogEvents", "GetLogEvents", "StartQuery")
            ],
            "w": [(Asked("logs:PutLogEvents", group),)],
        },
    )
    key = account.arn("kms", "key/of-acme")
    context: Context = {
        f"aws:ResourceTag/{TENANT_TAG}": _TENANT,
        f"kms:EncryptionContext:{TENANT}": _TENANT,
        "kms:EncryptionContextKeys": (TENANT,),
    }
    yield Row(
        "what a tenant's own key seals",
        "the tenant's",
        {
            "o": [(Asked("kms:Decrypt", key, context),)],
            "s": [(Asked("kms:GenerateDataKey", key, context),)],
        },
    )


def _scores(account: Account) -> Iterator[Row]:
    """What evaluation made of it."""
    yield _table(account, "results, scores alone", EVAL_RESULTS, attributes=SCORE_ATTRIBUTES, writes=False)
    yield _queried(account, "history, scores alone, by Athena")
    yield _table(account, "scores by minute", EVAL_MINUTES)
    yield _table(account, "drift: standing and baselines", EVAL_DETECTOR)
    yield _table(account, "workers' heartbeats", EVAL_DETECTOR, owner=WORKERS)
    yield _table(account, "judge's spending", EVAL_SPEND)
    yield _objects(account, "calibrations", f"{CALIBRATIONS_PREFIX}a/b.json")
    yield _objects(account, "notes of parked records", f"{PARKED_PREFIX}a/b.json")


def _usage(account: Account) -> Iterator[Row]:
    """Who called what, and what it cost."""
    yield _table(account, "request ledger", REQUEST_LEDGER)
    yield _table(account, "costs", TENANT_COST)
    yield _table(account, "reconciliations", TENANT_COST, owner="_reconciliation#2026-11", reads=False)


def _access(account: Account) -> Iterator[Row]:
    """Who may call, and how far sampling is held down."""
    path = Asked("ssm:GetParametersByPath", account.parameter())
    yield Row(
        "tenants' policies",
        "none",
        {
            "r": [(path,)],
            "w": [(Asked("ssm:PutParameter", account.parameter("acme/policy")),)],
            "d": [(Asked("ssm:DeleteParameters", account.parameter("acme/policy")),)],
        },
    )
    for data, name in (
        ("hashes of API keys", "acme/api_keys"),
        ("hashes of roles' keys", "_platform/access"),
    ):
        parameter = account.parameter(name)
        opened, sealed = (
            _through(account, "ssm", action, ACCESS_KEY.data_class, {"PARAMETER_ARN": parameter})
            for action in ("kms:Decrypt", "kms:Encrypt")
        )
        yield Row(
            data,
            ACCESS_KEY.data_class,
            {
                "r": [(path, opened), (Asked("ssm:GetParameters", parameter), opened)],
                "w": [(Asked("ssm:PutParameter", parameter), sealed)],
                "d": [(Asked("ssm:DeleteParameters", parameter),)],
            },
        )
    for reason in (BRAKE_OF_LAG, BRAKE_OF_DAY, BRAKE_OF_MONTH):
        brake = account.parameter(f"_platform/sampling_factor/{reason}")
        yield Row(
            f"brake on sampling: {reason}",
            "none",
            {
                "r": [(path,), (Asked("ssm:GetParameters", brake),)],
                "w": [(Asked("ssm:PutParameter", brake),)],
            },
        )


def _watched(account: Account) -> Iterator[Row]:
    """Models that are called, and what watches."""
    catalogue = catalogue_of(account.deployment)
    called = [
        Asked("bedrock:InvokeModel", account.arn("bedrock", f"inference-profile/{model}"))
        for model in bedrock_models(catalogue)
    ] + [Asked("sagemaker:InvokeEndpoint", arn) for arn in endpoint_arns(catalogue, account.deployment)]
    yield Row("models and endpoints", "–", {"i": [(one,) for one in called]})
    for data, alarm in (
        ("alarms of tenants and their scores", "tenant/acme/ttft"),
        ("alarms of endpoints, models and judges", "model/sonnet/errors"),
        ("alarms of the platform, of roll-backs, of the archive", "rollback/gateway-errors"),
    ):
        yield _alarm(account, data, alarm)
    yield from _receivers(account)
    yield Row("metrics", "–", {"r": [(Asked("cloudwatch:GetMetricData", "*"),)]})
    group = f"{account.log_group(GATEWAY_LOGS)}:"
    yield Row("the gateway's log lines", "logs", {"r": [(Asked("logs:StartQuery", group),)]})
    yield Row(
        "traces",
        "–",
        {
            "r": [(Asked("xray:StartTraceRetrieval", "*"),), (Asked("xray:BatchGetTraces", "*"),)],
            "w": [(Asked("xray:PutSpans", "*"),)],
        },
    )


def _receivers(account: Account) -> Iterator[Row]:
    """Where PagerDuty is told: in its parameter, and as SNS lists who is subscribed."""
    name = account.deployment.receivers.pagerduty_parameter
    if name is None:
        return
    named, path = (account.arn("ssm", f"parameter{one}") for one in (name, name.rpartition("/")[0]))
    topic = account.topic(CRITICAL_ALARMS)
    yield Row(
        "PagerDuty's URL, with its key",
        "none",
        {
            "r": [
                (Asked("ssm:GetParameter", named),),
                (Asked("ssm:GetParameters", named),),
                (Asked("ssm:GetParametersByPath", path),),
                (Asked("sns:ListSubscriptionsByTopic", topic),),
            ],
            "w": [(Asked("ssm:PutParameter", named),), (Asked("sns:Subscribe", topic),)],
        },
    )


def _alarm(account: Account, data: str, name: str) -> Row:
    """A metric alarm; see docs/security.md for composite ones."""
    arn = account.arn("cloudwatch", f"alarm:{ALARMS_PREFIX}{name}")
    every = account.arn("cloudwatch", "alarm:*")
    return Row(
        data,
        "–",
        {
            "r": [(Asked("cloudwatch:DescribeAlarms", every),)],
            "w": [(Asked(f"cloudwatch:{one}", arn),) for one in ("PutMetricAlarm", "SetAlarmState")],
            "d": [(Asked("cloudwatch:DeleteAlarms", arn),)],
        },
    )


def _table(
    account: Account,
    data: str,
    table: Table,
    *,
    owner: str = _TENANT,
    attributes: Sequence[str] = (),
    reads: bool = True,
    writes: bool = True,
) -> Row:
    """Rows of one owner, through the table or one of its indexes, and the table's key."""
    arn, key = account.table(table), table.key.data_class
    opened = _through(account, "dynamodb", "kms:Decrypt", key, {"aws:dynamodb:tableName": table.name})
    context: dict[str, str | tuple[str, ...]] = {"dynamodb:LeadingKeys": (owner,)}
    if attributes:
        context |= {"dynamodb:Attributes": tuple(attributes), "dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    whole = [index for index in table.indexes if index.projected is None]
    places = [arn, *(account.index(table, index) for index in whole)]
    verbs: dict[str, Sequence[Way]] = {}
    if reads:
        verbs["r"] = [
            (Asked(f"dynamodb:{one}", place, context), opened) for one in _READS for place in places
        ]
    if writes:
        verbs["w"] = [(Asked(f"dynamodb:{one}", arn, context), opened) for one in _WRITES]
        verbs["d"] = [(Asked("dynamodb:DeleteItem", arn, context), opened)]
    return Row(data, key, verbs)


def _objects(account: Account, data: str, name: str) -> Row:
    bucket = account.bucket(EVAL_HISTORY)
    opened, sealed = (
        _through(account, "s3", action, EVAL_HISTORY.key.data_class, {"aws:s3:arn": bucket})
        for action in ("kms:Decrypt", "kms:GenerateDataKey")
    )
    named = Asked("", f"{bucket}/{name}")
    return Row(
        data,
        EVAL_HISTORY.key.data_class,
        {
            "r": [(replace(named, action="s3:GetObject"), opened)],
            "w": [(replace(named, action="s3:PutObject"), sealed)],
            "d": [
                (replace(named, action=action),) for action in ("s3:DeleteObject", "s3:DeleteObjectVersion")
            ],
        },
    )


def _queried(account: Account, data: str) -> Row:
    """Columns of the history's table; Athena reads the files as whoever asks."""
    bucket, key = account.bucket(EVAL_HISTORY), EVAL_HISTORY.key.data_class
    way = (
        Asked("athena:StartQueryExecution", account.arn("athena", f"workgroup/{PREFIX}")),
        Asked("glue:GetTable", account.arn("glue", f"table/{DATABASE}/{TABLE}")),
        Asked("s3:GetObject", f"{bucket}/{_HISTORY}", {"aws:CalledVia": ("athena.amazonaws.com",)}),
        _through(account, "s3", "kms:Decrypt", key, {"aws:s3:arn": bucket}),
    )
    return Row(data, key, {"r": [way]})


def _through(
    account: Account, service: str, action: str, data_class: str, context: Mapping[str, str]
) -> Asked:
    named = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    return Asked(action, key_arn(data_class), {"kms:ViaService": account.via(service), **named})
