"""What no process may do whatever is attached to its role, and how far the policies for people go."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from harness.iam_may import May
from infra.app import Platform
from infra.policy import Asked, Context, Grant, allows
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
ON_A_KEY: Final = (
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DisableKey",
    "kms:EnableKeyRotation",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:UntagResource",
    "kms:UpdateAlias",
)
AS_ACMES: Final[Context] = {
    "aws:RequestTag/llm-platform:tenant": "acme",
    "aws:RequestTag/observability-layer": "evaluate",
    "aws:TagKeys": ("llm-platform:tenant", "observability-layer"),
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


@pytest.fixture(scope="module", name="keys")
def keys_of_classes(prod: Platform, template: Callable[[Stack], Template]) -> Mapping[str, Context]:
    """The key of each class of data, with what it bears in the templates: its tags and its name."""
    found = template(prod.data)
    names = {
        alias["Properties"]["TargetKeyId"]["Fn::GetAtt"][0]: alias["Properties"]["AliasName"]
        for alias in found.find_resources("AWS::KMS::Alias").values()
    }
    return {
        key_arn(names[name].removeprefix("alias/llm-platform/")): {
            "kms:ResourceAliases": (names[name],),
            **{f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in key["Properties"]["Tags"]},
        }
        for name, key in found.find_resources("AWS::KMS::Key").items()
    }


@pytest.fixture(scope="module", name="both")
def both_policies(may: May) -> Sequence[Grant]:
    """What somebody may do who adds tenants and erases them."""
    return (*may.roles["tenants"], *may.roles["erasure"])


def test_no_key_of_a_class_of_data_can_be_made_a_tenants(
    both: Sequence[Grant], keys: Mapping[str, Context]
) -> None:
    assert keys.keys() == {key_arn(key.data_class) for key in DATA_KEYS}
    for arn, bears in keys.items():
        for lock, value in bears.items():  # each holds by itself
            assert not allows(both, Asked("kms:TagResource", arn, {**AS_ACMES, lock: value})), (arn, lock)
    assert allows(both, Asked("kms:TagResource", "*", AS_ACMES))  # of the key that is being made


def test_no_key_of_a_class_of_data_can_be_renamed_or_deleted(
    both: Sequence[Grant], keys: Mapping[str, Context]
) -> None:
    for arn, bears in keys.items():
        assert [action for action in ON_A_KEY if allows(both, Asked(action, arn, bears))] == []


def test_no_name_but_a_tenants_can_be_given_or_moved(may: May, both: Sequence[Grant]) -> None:
    def named(alias: str) -> list[str]:
        arn = may.account.arn("kms", alias)
        return [action for action in ON_A_KEY if allows(both, Asked(action, arn))]

    for key in DATA_KEYS:
        assert named(key.alias) == []
    assert named("alias/llm-platform/tenant/acme") == ["kms:CreateAlias", "kms:UpdateAlias"]


def test_a_tenants_key_cannot_be_made_another_tenants(may: May, both: Sequence[Grant]) -> None:
    acmes = {"aws:ResourceTag/llm-platform:tenant": "acme", "aws:ResourceTag/observability-layer": "evaluate"}
    arn = may.account.arn("kms", "key/of-acme")
    as_anothers = {**AS_ACMES, "aws:RequestTag/llm-platform:tenant": "bank"}
    assert not allows(both, Asked("kms:TagResource", arn, {**as_anothers, **acmes}))
    assert [action for action in ON_A_KEY if allows(both, Asked(action, arn, acmes))] == [
        "kms:CreateAlias",
        "kms:EnableKeyRotation",
        "kms:ScheduleKeyDeletion",
        "kms:UpdateAlias",
    ]
