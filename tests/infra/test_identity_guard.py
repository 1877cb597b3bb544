"""What no process may do whatever is attached to its role, and how far the policies for people go."""

from typing import Final

import pytest

from harness.iam_may import May
from infra.app import Platform
from infra.policy import Asked, Grant, allows
from infra.resolved import key_arn
from infra.roles import PROCESSES, Process
from infra.settings import Deployment
from llmplatform.aws.tables import DATA_KEYS, EVAL_RESULTS

NEVER: Final = {
    "iam:AttachRolePolicy": "arn:aws:iam::111111111111:role/llm-platform-gateway",
    "iam:CreateAccessKey": "arn:aws:iam::111111111111:user/a",
    "iam:PassRole": "arn:aws:iam::111111111111:role/llm-platform-gateway",
    "iam:PutRolePolicy": "arn:aws:iam::111111111111:role/llm-platform-gateway",
    "kms:CreateGrant": key_arn("samples"),
    "kms:CreateKey": "*",
    "kms:DisableKey": key_arn("samples"),
    "kms:PutKeyPolicy": key_arn("samples"),
    "kms:ScheduleKeyDeletion": key_arn("samples"),
    "kinesis:DecreaseStreamRetentionPeriod": "arn:aws:kinesis:us-east-1:111111111111:stream/llm-eval-stream",
    "kinesis:DeleteStream": "arn:aws:kinesis:us-east-1:111111111111:stream/llm-eval-stream",
    "logs:DeleteLogGroup": "arn:aws:logs:us-east-1:111111111111:log-group:/llm-platform/gateway:",
    "logs:PutRetentionPolicy": "arn:aws:logs:us-east-1:111111111111:log-group:/llm-platform/content:",
    "logs:PutSubscriptionFilter": "arn:aws:logs:us-east-1:111111111111:log-group:/llm-platform/content:",
    "s3:PutBucketPolicy": "arn:aws:s3:::llm-platform-eval-history-111111111111-us-east-1",
    "s3:PutLifecycleConfiguration": "arn:aws:s3:::llm-platform-eval-history-111111111111-us-east-1",
    "s3:DeleteObjectVersion": "arn:aws:s3:::llm-platform-eval-history-111111111111-us-east-1/history/a",
    "sts:AssumeRole": "arn:aws:iam::111111111111:role/llm-platform-console",
    "dynamodb:DeleteTable": "arn:aws:dynamodb:us-east-1:111111111111:table/request-ledger",
    "dynamodb:UpdateTimeToLive": "arn:aws:dynamodb:us-east-1:111111111111:table/eval-results",
    "dynamodb:ExportTableToPointInTime": "arn:aws:dynamodb:us-east-1:111111111111:table/eval-results",
}
EVERYTHING: Final = Grant("Allow", ("*",), ("*",), {})


@pytest.fixture(scope="module", name="may")
def all_roles(prod: Platform, deployment: Deployment) -> May:
    return May.of(prod, deployment)


@pytest.mark.parametrize("action", NEVER)
@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_can_change_who_may_do_what_or_take_data_away(
    may: May, process: Process, action: str
) -> None:
    assert not may(process, action, NEVER[action])


@pytest.mark.parametrize("action", NEVER)
@pytest.mark.parametrize("process", PROCESSES)
def test_not_even_with_a_policy_that_somebody_attached_in_haste(
    may: May, process: Process, action: str
) -> None:
    careless = (*may.roles[process], EVERYTHING)
    assert allows(careless, Asked("dynamodb:DescribeTable", NEVER["dynamodb:DeleteTable"]))
    assert not allows(careless, Asked(action, NEVER[action]))


# -- people


def test_a_key_is_made_for_a_tenant_or_not_at_all(may: May) -> None:
    tagged = {"aws:RequestTag/llm-platform:tenant": "acme", "aws:TagKeys": ("llm-platform:tenant",)}
    assert may("tenants", "kms:CreateKey", "*", **tagged)
    assert not may("tenants", "kms:CreateKey")


def test_who_adds_tenants_cannot_erase_one_or_read_what_was_said(may: May) -> None:
    assert not may.tenants_key("tenants", "kms:ScheduleKeyDeletion")
    assert not may.tenants_key("tenants", "kms:Decrypt")
    assert not may.on("tenants", EVAL_RESULTS, ("Query", "GetItem", "Scan", "UpdateItem"))
    assert may.tenants_key("erasure", "kms:ScheduleKeyDeletion")


def test_who_erases_tenants_cannot_delete_the_platforms_keys(may: May) -> None:
    for key in DATA_KEYS:
        assert not may("erasure", "kms:ScheduleKeyDeletion", key_arn(key.data_class))
