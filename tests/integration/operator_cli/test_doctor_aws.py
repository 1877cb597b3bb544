"""`doctor --aws` against an account that answers over a socket: what is asked, and what is told of it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.scripted_account import ACCOUNT, Refused, ScriptedAccount, serve_account
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import LOG_GROUPS
from llmplatform.catalogue import Catalogue, Endpoint, Variant
from llmplatform.testing import make_model
from operator_cli.check import Check
from operator_cli.doctor import checks
from operator_cli.doctor_aws.account import account_checks
from operator_cli.doctor_aws.looking import looked
from operator_cli.doctor_aws.stacks import MADE_BY, STACKS, StacksLook, awaited

FOUNDATION = "anthropic.claude-sonnet-4-6"
QUOTA = "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.6"
KEY_POLICY = {
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*"}
    ]
}
CATALOGUE = Catalogue(
    models={"sonnet": make_model(model_id="sonnet", backend_model_id=f"us.{FOUNDATION}")},
    endpoints={"llama": Endpoint(variants=(Variant(name="a", instance_type="ml.g5.12xlarge", gpu_count=4),))},
)


def group(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    known = {group.name: group for group in LOG_GROUPS}
    found = known[asked["logGroupNamePrefix"]]
    return {
        "logGroups": [
            {"logGroupName": found.name, "retentionInDays": found.retention_days, "kmsKeyId": "arn:aws:kms:k"}
        ]
    }


def healthy() -> ScriptedAccount:
    """An account with nothing to mend."""
    profile = {
        "inferenceProfileArn": "a",
        "inferenceProfileId": "p",
        "inferenceProfileName": "p",
        "status": "ACTIVE",
    }
    model = {"modelArn": f"arn:aws:bedrock:us-west-2::foundation-model/{FOUNDATION}"}
    return ScriptedAccount(
        {
            "GetInferenceProfile": {**profile, "type": "SYSTEM_DEFINED", "models": [model]},
            "GetFoundationModelAvailability": lambda asked: {
                "modelId": asked["id"],
                "agreementAvailability": {"status": "AVAILABLE"},
                "authorizationStatus": "AUTHORIZED",
                "entitlementAvailability": "AVAILABLE",
                "regionAvailability": "AVAILABLE",
            },
            "GetFoundationModel": {
                "modelDetails": {**model, "modelId": FOUNDATION, "modelName": "Claude Sonnet 4.6"}
            },
            "ListServiceQuotas": {"Quotas": [{"QuotaName": QUOTA, "Value": 5_000_000.0}]},
            "GetServiceQuota": {"Quota": {"QuotaName": "Fargate", "Value": 500.0}},
            "DescribeEndpoint": {
                "EndpointName": "llama",
                "EndpointArn": "arn",
                "EndpointStatus": "InService",
                "CreationTime": 0,
                "LastModifiedTime": 0,
                "ProductionVariants": [
                    {"VariantName": "a", "CurrentInstanceCount": 1, "DesiredInstanceCount": 1}
                ],
            },
            "GetTraceSegmentDestination": {"Destination": "CloudWatchLogs", "Status": "ACTIVE"},
            "GetIndexingRules": {
                "IndexingRules": [{"Rule": {"Probabilistic": {"DesiredSamplingPercentage": 10.0}}}]
            },
            "DescribeLogGroups": group,
            "GetParametersByPath": {"Parameters": []},
            "DescribeKey": {"KeyMetadata": {"KeyId": "k", "KeyState": "Enabled", "AWSAccountId": ACCOUNT}},
            "GetKeyRotationStatus": {"KeyRotationEnabled": True},
            "GetKeyPolicy": {"Policy": json.dumps(KEY_POLICY)},
            "ListCostAllocationTags": {
                "CostAllocationTags": [
                    {"TagKey": "observability-layer", "Type": "UserDefined", "Status": "Active"}
                ]
            },
            "DescribeBudgets": {
                "Budgets": [
                    {
                        "BudgetName": "llm-platform-observability",
                        "TimeUnit": "MONTHLY",
                        "BudgetType": "COST",
                        "CostFilters": {"TagKeyValue": ["user:observability-layer$evaluate"]},
                    }
                ]
            },
            "DescribeNotificationsForBudget": {
                "Notifications": [
                    {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80}
                ]
            },
            "ListExports": {
                "Exports": [
                    {
                        "ExportArn": "arn",
                        "ExportName": "llm-platform-bill",
                        "ExportStatus": {"StatusCode": "HEALTHY"},
                    }
                ]
            },
        }
    )


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")


async def told(account: ScriptedAccount, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    async with serve_account(account):
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        session = aws_session("us-east-1")
        return [check async for check in account_checks(session, CATALOGUE, {}, tokens_per_minute=1_000_000)]


def unwell(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.status) for check in checks if check.status != "ok"]


async def test_an_account_with_nothing_to_mend_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = await told(healthy(), monkeypatch)
    judge_quota = [check for check in checks if check.name == "quotas" and check.found.startswith("judge")]
    assert unwell([check for check in checks if check not in judge_quota]) == []
    assert {check.name for check in checks} == {
        "account",
        "clock",
        "model access",
        "quotas",
        "endpoints",
        "tracing",
        "retention",
        "keys",
        "cost tag",
        "budget",
        "bill export",
    }


async def test_each_thing_that_is_wrong_is_told_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such(_asked: Mapping[str, Any]) -> Mapping[str, Any]:
        raise Refused("ValidationException")

    account = healthy()
    account.answers |= {
        "GetInferenceProfile": no_such,
        "DescribeEndpoint": no_such,
        "GetTraceSegmentDestination": {"Destination": "XRay", "Status": "ACTIVE"},
        "DescribeLogGroups": lambda asked: {"logGroups": [{"logGroupName": asked["logGroupNamePrefix"]}]},
        "DescribeKey": {"KeyMetadata": {"KeyId": "k", "KeyState": "PendingDeletion"}},
        "ListCostAllocationTags": {"CostAllocationTags": []},
        "DescribeBudgets": {"Budgets": []},
        "ListExports": {"Exports": []},
    }
    checks = await told(account, monkeypatch)
    assert {name for name, _ in unwell(checks)} == {
        "model access",
        "quotas",
        "endpoints",
        "tracing",
        "retention",
        "keys",
        "cost tag",
        "budget",
        "bill export",
    }
    assert all(check.fix for check in checks if check.status != "ok")


async def test_what_may_not_be_looked_at_is_unknown_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = await told(ScriptedAccount(), monkeypatch)
    blind = [check for check in checks if check.name not in {"account", "clock"}]
    assert {check.status for check in blind} == {"warning"}
    assert all("unknown" in check.found for check in blind)
    assert all(check.fix.startswith("allow ") for check in blind)


async def stacks_of(
    account: ScriptedAccount, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Check], StacksLook]:
    async with serve_account(account):
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        stacks = StacksLook()
        return [check async for check in looked(stacks.look, aws_session("us-east-1"))], stacks


def stack(name: str, status: str = "CREATE_COMPLETE") -> Mapping[str, Any]:
    return {"StackName": name, "StackStatus": status, "CreationTime": "2026-11-29T12:00:00Z"}


async def test_what_a_stack_makes_that_is_not_deployed_yet_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = [stack(f"llm-platform-{name}") for name in STACKS[:4]]
    account = healthy()
    account.answers |= {"DescribeStacks": {"Stacks": [stack("CDKToolkit"), *there]}, "DescribeBudgets": {}}
    checks, stacks = await stacks_of(account, monkeypatch)
    assert [(check.status, check.found) for check in checks] == [
        ("warning", "not deployed: evaluation, cost, watch")
    ]
    (budget,) = [check for check in await told(account, monkeypatch) if check.name == "budget"]
    assert budget.status == "failed"
    awaiting = awaited(budget, stacks.absent)
    assert (awaiting.status, awaiting.fix) == ("warning", "deploy llm-platform-cost")

    account.answers |= {"DescribeStacks": {"Stacks": [*there, stack("llm-platform-cost")]}}
    _, stacks = await stacks_of(account, monkeypatch)
    assert awaited(budget, stacks.absent) == budget


async def test_who_may_not_see_the_stacks_is_excused_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,), stacks = await stacks_of(ScriptedAccount(), monkeypatch)
    assert (check.status, check.fix) == ("warning", "allow cloudformation:DescribeStacks")
    assert stacks.absent == frozenset()


async def test_every_check_that_a_stack_is_to_explain_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_account(ScriptedAccount()) as account:
        monkeypatch.setenv("AWS_ENDPOINT_URL", account.url)
        environ = {"AWS_ENDPOINT_URL": account.url}
        asked = checks("us-east-1", environ, account=True, tokens_per_minute=None)
        assert MADE_BY.keys() <= {check.name async for check in asked}
