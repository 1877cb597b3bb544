"""What each role must not be able to do, asked of the policies in the templates as AWS would ask.

Beside a *no* stands the *yes* that it is told from: a policy that allows nothing would pass otherwise.
"""

from typing import Final

import pytest

from harness.iam_may import May
from infra.app import Platform
from infra.resolved import key_arn
from infra.roles import PROCESSES, Process
from infra.settings import Deployment
from llmplatform.aws.eval_reader import SCORE_ATTRIBUTES
from llmplatform.aws.tables import (
    BUCKETS,
    CONTENT_LOGS,
    CRITICAL_ALARMS,
    DATA_KEYS,
    EVAL_CONSUMER,
    EVAL_HISTORY,
    EVAL_RESULTS,
    EVAL_STREAM,
    GATEWAY_LOGS,
    LOG_GROUPS,
    REQUEST_LEDGER,
    TABLES,
    TENANT_COST,
)
from llmplatform.catalogue import load_catalogue
from llmplatform.judges import load_judge_models

READS: Final = ("BatchGetItem", "GetItem", "PartiQLSelect", "Query", "Scan")
WRITES: Final = ("BatchWriteItem", "DeleteItem", "PartiQLDelete", "PartiQLInsert", "PutItem", "UpdateItem")
KEY_HOLDERS: Final = frozenset({"gateway", "billing-api", "console"})
OTHERS: Final = tuple(process for process in PROCESSES if process not in KEY_HOLDERS)


@pytest.fixture(scope="module", name="may")
def all_roles(prod: Platform, deployment: Deployment) -> May:
    return May.of(prod, deployment)


# -- keys of APIs


@pytest.mark.parametrize("process", OTHERS)
def test_nobody_else_can_decrypt_the_hashes_of_api_keys(may: May, process: Process) -> None:
    for name in ("acme/api_keys", "_platform/access"):
        arn = may.account.parameter(name)
        assert not may.key(process, "kms:Decrypt", "access", "ssm", PARAMETER_ARN=arn)
        assert not may(process, "kms:Decrypt", key_arn("access"))


def test_the_worker_can_read_every_policy_and_no_key(may: May) -> None:
    path = may.account.parameter()
    assert may("evalworker", "ssm:GetParametersByPath", path)
    named = may.account.parameter("acme/api_keys")
    assert not may.any(
        "evalworker", ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameterHistory"], named
    )
    assert not may.key("evalworker", "kms:Decrypt", "access", "ssm", PARAMETER_ARN=named)
    assert may.key("gateway", "kms:Decrypt", "access", "ssm", PARAMETER_ARN=named)


def test_a_key_of_access_is_used_through_parameter_store_for_our_parameters_alone(may: May) -> None:
    elsewhere = may.account.arn("ssm", "parameter/somebody-elses/secret")
    for process in KEY_HOLDERS:
        assert not may.key(process, "kms:Decrypt", "access", "ssm", PARAMETER_ARN=elsewhere)
        assert not may(process, "kms:Decrypt", key_arn("access"))


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_can_make_a_tenant_or_a_key_or_take_one_away(may: May, process: Process) -> None:
    changes = ("ssm:DeleteParameter", "ssm:DeleteParameters", "ssm:LabelParameterVersion", "ssm:PutParameter")
    for name in ("acme/policy", "acme/api_keys", "acme/eval_sample_rate", "_platform/access"):
        assert not may.any(process, changes, may.account.parameter(name))
    assert may("tenants", "ssm:PutParameter", may.account.parameter("acme/policy"))


def test_each_brake_has_one_writer(may: May) -> None:
    for reason, writer in (
        ("lag", "evalworker"),
        ("observability_budget", "cost-job"),
        ("account_budget", "budget-handler"),
    ):
        parameter = may.account.parameter(f"_platform/sampling_factor/{reason}")
        assert [one for one in PROCESSES if may(one, "ssm:PutParameter", parameter)] == [writer]


# -- the gateway


def test_the_gateway_can_invoke_no_model_outside_the_catalogue(may: May) -> None:
    calls = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
    region = f"arn:aws:bedrock:{may.account.region}"
    for strange in (
        f"{region}::foundation-model/anthropic.claude-opus-9-v1:0",
        may.account.arn("bedrock", "inference-profile/us.meta.llama4-maverick-17b-instruct-v1:0"),
        may.account.arn("bedrock", "application-inference-profile/somebodys"),
        may.account.arn("bedrock", "imported-model/a"),
    ):
        assert not may.any("gateway", calls, strange)
    for model in load_catalogue().models.values():
        if model.endpoint_type == "bedrock":
            profile = may.account.arn("bedrock", f"inference-profile/{model.backend_model_id}")
            assert may.any("gateway", calls, profile) == list(calls)


def test_a_model_of_the_catalogue_is_reached_through_its_profiles_alone(may: May) -> None:
    model = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-sonnet-4-6"
    other = may.account.arn("bedrock", "inference-profile/eu.anthropic.claude-sonnet-4-6")
    ours = may.account.arn("bedrock", "inference-profile/us.anthropic.claude-sonnet-4-6")
    assert not may("gateway", "bedrock:InvokeModel", model)
    assert not may("gateway", "bedrock:InvokeModel", model, **{"bedrock:InferenceProfileArn": other})
    assert may("gateway", "bedrock:InvokeModel", model, **{"bedrock:InferenceProfileArn": ours})


def test_the_gateway_can_invoke_no_endpoint_outside_the_catalogue(may: May) -> None:
    strange = may.account.arn("sagemaker", "endpoint/somebody-elses")
    assert not may("gateway", "sagemaker:InvokeEndpoint", strange)
    assert not may("gateway", "sagemaker:InvokeEndpointAsync", may.account.arn("sagemaker", "endpoint/llama"))
    assert may(
        "gateway", "sagemaker:InvokeEndpoint", may.account.arn("sagemaker", "endpoint/llama-3-70b-support")
    )


def test_the_gateway_can_read_no_row_of_any_table(may: May) -> None:
    for table in TABLES:
        assert not may.on("gateway", table, READS)
    assert may.on("gateway", REQUEST_LEDGER, WRITES) == ["BatchWriteItem"]
    for table in TABLES:
        if table != REQUEST_LEDGER:
            assert not may.on("gateway", table, WRITES)
            assert not may.opens_table("gateway", table)


def test_the_gateway_can_write_its_stream_and_read_none(may: May) -> None:
    reads = ("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:SubscribeToShard")
    stream = may.account.stream(EVAL_STREAM)
    for resource in (stream, f"{stream}/consumer/{EVAL_CONSUMER}:1"):
        assert not may.any("gateway", reads, resource)
    other = may.account.arn("kinesis", "stream/somebody-elses")
    assert not may.any("gateway", ("kinesis:PutRecord", "kinesis:PutRecords"), other)
    assert may("gateway", "kinesis:PutRecords", stream)
    assert not may.key("gateway", "kms:Decrypt", "samples", "kinesis", **{"aws:kinesis:arn": stream})


def test_the_gateway_can_seal_for_a_tenant_and_open_nothing(may: May) -> None:
    assert may.tenants_key("gateway", "kms:GenerateDataKey")
    assert not may.tenants_key("gateway", "kms:Decrypt")


def test_the_gateway_can_write_the_content_log_and_no_other_and_read_none(may: May) -> None:
    for group in LOG_GROUPS:
        stream = f"{may.account.log_group(group)}:log-stream:gateway/a/1"
        assert may("gateway", "logs:PutLogEvents", stream) == (group == CONTENT_LOGS)
        assert not may.any(
            "gateway", ("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery"), stream
        )


def test_the_gateway_can_touch_no_bucket(may: May) -> None:
    for bucket in BUCKETS:
        everything = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket")
        assert not may.any("gateway", everything, f"{may.account.bucket(bucket)}/history/a")


# -- evaluation


def test_the_worker_can_ask_the_judges_and_no_other_model(may: May) -> None:
    judges = {judge.model_id for judge in load_judge_models().judges.values()}
    for model in load_catalogue().models.values():
        if model.endpoint_type == "bedrock":
            profile = may.account.arn("bedrock", f"inference-profile/{model.backend_model_id}")
            assert may("evalworker", "bedrock:InvokeModel", profile) == (model.backend_model_id in judges)
    assert not may(
        "evalworker", "sagemaker:InvokeEndpoint", may.account.arn("sagemaker", "endpoint/llama-3-8b-support")
    )


def test_the_worker_can_write_judges_rows_and_read_nobodys(may: May) -> None:
    """That its rows are its own is not IAM's to see: a row's key is its tenant's, whoever wrote it."""
    assert may.on("evalworker", REQUEST_LEDGER, WRITES) == ["BatchWriteItem"]
    assert not may.on("evalworker", REQUEST_LEDGER, READS)
    for operations in (READS, WRITES):
        assert not may.on("evalworker", TENANT_COST, operations)


def test_the_worker_can_add_to_the_history_and_take_nothing_from_it(may: May) -> None:
    name = f"{may.account.bucket(EVAL_HISTORY)}/history/date=2026-11-23/tenant=acme/a.parquet"
    calls = ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject")
    assert may.any("evalworker", calls, name) == ["s3:PutObject"]


def test_a_tenants_key_is_used_with_its_tenant_in_the_context_and_nothing_else(may: May) -> None:
    for process in ("gateway", "evalworker"):
        for wrong in (
            {"aws:ResourceTag/llm-platform:tenant": None},
            {"kms:EncryptionContext:tenant_id": None},
            {"kms:EncryptionContextKeys": ("tenant_id", "anything")},
        ):
            assert not may.tenants_key(process, "kms:GenerateDataKey", **wrong)
        assert may.tenants_key(process, "kms:GenerateDataKey")
        assert not may.tenants_key(process, "kms:ReEncryptFrom")


def test_drift_can_read_scores_and_not_what_they_are_about(may: May) -> None:
    owned = {"dynamodb:LeadingKeys": ("acme",)}
    figures = {"dynamodb:Attributes": SCORE_ATTRIBUTES, "dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
    table = may.account.table(EVAL_RESULTS)
    assert may("drift", "dynamodb:Query", table, **owned, **figures)
    for said in ("content", "enc", "reasons"):
        more = figures | {"dynamodb:Attributes": (*SCORE_ATTRIBUTES, said)}
        assert not may("drift", "dynamodb:Query", table, **owned, **more)
    assert not may("drift", "dynamodb:Query", table, **owned)
    assert not may(
        "drift", "dynamodb:Query", table, **owned, **(figures | {"dynamodb:Select": "ALL_ATTRIBUTES"})
    )
    whole = next(index for index in EVAL_RESULTS.indexes if index.projected is None)
    assert not may("drift", "dynamodb:Query", may.account.index(EVAL_RESULTS, whole), **owned, **figures)
    assert not may.tenants_key("drift", "kms:Decrypt")


def test_the_index_that_drift_reads_holds_nothing_that_was_said() -> None:
    (projected,) = (index.projected for index in EVAL_RESULTS.indexes if index.projected is not None)
    assert not {"content", "enc", "reasons"} & set(projected)


def test_compaction_can_touch_the_history_alone(may: May) -> None:
    for table in TABLES:
        assert not may.on("compact", table, (*READS, *WRITES))
    bucket = may.account.bucket(EVAL_HISTORY)
    calls = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    assert may.any("compact", calls, f"{bucket}/history/a") == list(calls)
    assert not may.any("compact", calls, f"{bucket}/calibrations/a")
    assert not may("compact", "ssm:GetParametersByPath", may.account.parameter())


# -- cost


COST: Final[tuple[Process, ...]] = ("cost-job", "reconcile", "billing-api", "budget-handler")


@pytest.mark.parametrize("process", COST)
def test_whoever_reckons_cost_reads_no_content_and_no_score(may: May, process: Process) -> None:
    for table in TABLES:
        if table.key.data_class == "scores":
            assert not may.on(process, table, (*READS, *WRITES))
            assert not may.opens_table(process, table)
    assert not may(process, "s3:GetObject", f"{may.account.bucket(EVAL_HISTORY)}/history/a")
    stream = may.account.stream(EVAL_STREAM)
    assert not may.any(process, ("kinesis:GetRecords", "kinesis:SubscribeToShard"), stream)
    assert not may.tenants_key(process, "kms:Decrypt")
    for data_class, service in (("samples", "kinesis"), ("scores", "dynamodb"), ("scores", "s3")):
        assert not may.key(process, "kms:Decrypt", data_class, service)
    for group in (CONTENT_LOGS, GATEWAY_LOGS):
        reads = ("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery")
        assert not may.any(process, reads, f"{may.account.log_group(group)}:log-stream:a")


def test_the_cost_job_can_change_no_row_of_the_ledger(may: May) -> None:
    assert may.on("cost-job", REQUEST_LEDGER, (*READS, *WRITES)) == ["Query"]


def test_the_billing_api_changes_nothing(may: May) -> None:
    for table in TABLES:
        assert not may.on("billing-api", table, WRITES)
    assert may.on("billing-api", TENANT_COST, READS) == ["GetItem", "Query"]


def test_a_reconciliation_changes_no_cost(may: May) -> None:
    def writes(owner: str) -> list[str]:
        return may.on("reconcile", TENANT_COST, WRITES, **{"dynamodb:LeadingKeys": (owner,)})

    assert writes("acme#2026-11-23") == []
    assert writes("_status#2026-11-23") == []
    assert writes("_reconciliation#2026-11") == ["BatchWriteItem"]


# -- watching


def test_the_console_writes_nothing_anywhere(may: May) -> None:
    for table in TABLES:
        assert not may.on("console", table, WRITES)
    bucket = may.account.bucket(EVAL_HISTORY)
    assert not may.any("console", ("s3:PutObject", "s3:DeleteObject"), f"{bucket}/calibrations/a")
    alarm = may.account.arn("cloudwatch", "alarm:llm-platform/tenant/acme/ttft")
    changes = ("cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:SetAlarmState")
    assert not may.any("console", changes, alarm)
    assert not may("console", "kinesis:PutRecords", may.account.stream(EVAL_STREAM))
    assert not may.tenants_key("console", "kms:GenerateDataKey")
    assert not may("console", "sns:Publish", may.account.arn("sns", "llm-platform-critical"))


def test_the_console_reads_log_lines_and_no_content_log(may: May) -> None:
    for group in LOG_GROUPS:
        lines = may("console", "logs:StartQuery", f"{may.account.log_group(group)}:")
        assert lines == (group == GATEWAY_LOGS)


def test_grafana_opens_the_histories_files_through_athena_alone(may: May) -> None:
    file = f"{may.account.bucket(EVAL_HISTORY)}/history/date=2026-11-23/tenant=acme/a.parquet"
    by_athena = {"aws:CalledVia": ("athena.amazonaws.com",)}
    assert may("grafana", "s3:GetObject", file, **by_athena)
    for directly in ({}, {"aws:CalledVia": ("cloudformation.amazonaws.com",)}):
        reads = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTorrent")
        assert not may.any("grafana", reads, file, **directly)
    others = f"{may.account.bucket(EVAL_HISTORY)}/calibrations/a"
    assert not may("grafana", "s3:GetObject", others, **by_athena)


def test_grafana_can_make_athena_no_table_of_its_own(may: May) -> None:
    table = may.account.arn("glue", "table/llm_platform/eval_history")
    calls = ("glue:CreateTable", "glue:GetTable", "glue:UpdateTable")
    assert may.any("grafana", calls, table) == ["glue:GetTable"]
    assert not may.any("grafana", calls, may.account.arn("glue", "table/llm_platform/with_content"))


def test_the_alarms_job_reads_no_data(may: May) -> None:
    for table in TABLES:
        assert not may.on("alarms", table, (*READS, *WRITES))
    for key in DATA_KEYS:
        for service in ("dynamodb", "kinesis", "s3", "ssm"):
            assert not may.key("alarms", "kms:Decrypt", key.data_class, service)


def test_nobody_reads_where_receivers_are_named_but_who_lists_subscriptions(
    may: May, deployment: Deployment
) -> None:
    name = deployment.receivers.pagerduty_parameter
    assert name is not None
    above = [name[:end] for end, letter in enumerate(name) if letter == "/" and end]
    by_name = ("ssm:GetParameter", "ssm:GetParameterHistory", "ssm:GetParameters", "ssm:PutParameter")
    for who in may.roles:
        assert not may.any(who, by_name, may.account.arn("ssm", f"parameter{name}"))
        for path in ("", *above):
            assert not may(who, "ssm:GetParametersByPath", may.account.arn("ssm", f"parameter{path or '/'}"))
    assert may("alarms", "ssm:GetParametersByPath", may.account.parameter())
    topic = may.account.topic(CRITICAL_ALARMS)
    assert [who for who in may.roles if may(who, "sns:ListSubscriptionsByTopic", topic)] == ["console"]
