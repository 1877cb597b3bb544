"""Roles and policies as the templates have them: one a process, named actions, named resources, reasons."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template
from cfnlint.data import AdditionalSpecs  # type: ignore[import-untyped]  # it ships no types
from cfnlint.helpers import load_resource  # type: ignore[import-untyped]  # likewise

from costagg.brake import OBSERVABILITY_BUDGET
from costagg.reconciliation.store import OWNER
from evalworker.brake import LAG
from evalworker.settings import EvalSettings
from infra.app import Platform
from infra.permissions import cost, parameters
from infra.permissions.statement import Statement
from infra.roles import PROCESSES, Host, Process, host_of
from infra.settings import Deployment
from llmplatform.account_budget import ACCOUNT_BUDGET

Of = Callable[[Stack], Template]

AWS: Final[Mapping[str, Any]] = load_resource(AdditionalSpecs, "Policies.json")
"""Every service's actions, and which kinds of resources each takes, as cfn-lint has them from AWS."""

ON_ALL_RESOURCES: Final = {
    "cloudwatch:DescribeAlarmHistory": "its API reference: of composite alarms to who may ask for all",
    "cloudwatch:DescribeAlarms": "likewise",
    "cloudwatch:GetMetricData": "datasets are no metrics: an account has one of them",
    "cloudwatch:ListMetrics": "likewise",
    "cloudwatch:PutCompositeAlarm": "its API reference: for who may put all",
    "logs:GetQueryResults": "a running query is asked for by its id",
    **dict.fromkeys(
        (
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:UnassignPrivateIpAddresses",
        ),
        "Lambda makes interfaces as the function, and AWS has it so; the function itself may not",
    ),
}
"""Actions that have a resource and are allowed on all the same."""


def statements_in(template: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every statement of every policy of a template, with what it is attached to."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
        if "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield name, statement


def several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module", name="identity")
def identity_template(prod: Platform, template: Of) -> Mapping[str, Any]:
    found: Mapping[str, Any] = template(prod.identity).to_json()
    return found


@pytest.mark.parametrize("process", PROCESSES)
def test_a_role_is_taken_on_by_what_runs_its_process_and_for_this_account_alone(
    process: Process, prod: Platform, template: Of, deployment: Deployment
) -> None:
    roles = template(prod.identity).find_resources("AWS::IAM::Role")
    (role,) = (
        one["Properties"]
        for one in roles.values()
        if one["Properties"]["RoleName"] == f"llm-platform-{process}"
    )
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert host_of(process) in get_args(Host)
    assert trust["Principal"] == {"Service": f"{host_of(process)}.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": deployment.account}
    if host_of(process) == "ecs-tasks":
        source = f"arn:aws:ecs:{deployment.region}:{deployment.account}:*"
        assert trust["Condition"]["ArnLike"] == {"aws:SourceArn": source}


def test_every_process_has_a_role_and_every_role_a_process(prod: Platform, template: Of) -> None:
    roles = template(prod.identity).find_resources("AWS::IAM::Role")
    names = {role["Properties"]["RoleName"] for role in roles.values()}
    assert names == {f"llm-platform-{process}" for process in PROCESSES}


def test_every_role_has_the_guard(prod: Platform, template: Of) -> None:
    (guard,) = (
        name
        for name, policy in template(prod.identity).find_resources("AWS::IAM::ManagedPolicy").items()
        if policy["Properties"]["ManagedPolicyName"] == "llm-platform-guard"
    )
    for role in template(prod.identity).find_resources("AWS::IAM::Role").values():
        assert role["Properties"]["ManagedPolicyArns"] == [{"Ref": guard}]


def test_nothing_in_another_stack_adds_to_a_role(prod: Platform, template: Of) -> None:
    exported = json.dumps(template(prod.identity).to_json().get("Outputs", {}))
    assert "gateway" in exported, "tasks take their roles from here"
    others = (prod.data, prod.network, prod.gateway, prod.evaluation, prod.cost, prod.watch)
    for stack in others:
        found = template(stack).to_json()["Resources"]
        for name, resource in found.items():
            if resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
                assert "llm-platform-identity" not in json.dumps(resource["Properties"].get("Roles")), name


def test_no_action_is_a_pattern(identity: Mapping[str, Any]) -> None:
    actions = [
        action
        for _, statement in statements_in(identity)
        for action in several(statement["Action"])
        if statement["Effect"] == "Allow"
    ]
    assert len(actions) > 100
    assert [action for action in actions if "*" in action] == []


def test_every_action_is_one_that_aws_has(identity: Mapping[str, Any]) -> None:
    for name, statement in statements_in(identity):
        for action in several(statement["Action"]):
            service, _, operation = action.partition(":")
            assert operation == "*" or operation.lower() in AWS[service]["Actions"], (name, action)


def has_a_resource(action: str) -> bool:
    service, _, operation = action.partition(":")
    return "Resources" in AWS[service]["Actions"][operation.lower()]


def conditions_of(statement: Mapping[str, Any]) -> set[str]:
    return {key for keys in statement.get("Condition", {}).values() for key in keys}


def asks_what_the_resource_is(statement: Mapping[str, Any]) -> bool:
    """What a request brings along (its tags, its service) says nothing of what it is about."""
    return any(key.startswith("aws:ResourceTag/") for key in conditions_of(statement))


def test_what_has_a_resource_is_allowed_on_named_ones_or_by_what_they_bear(
    identity: Mapping[str, Any],
) -> None:
    seen = set()
    for name, statement in statements_in(identity):
        if statement["Effect"] == "Deny" or "*" not in several(statement["Resource"]):
            continue
        for action in filter(has_a_resource, several(statement["Action"])):
            if not asks_what_the_resource_is(statement):
                assert action in ON_ALL_RESOURCES, (name, action)
                seen.add(action)
    assert seen == set(ON_ALL_RESOURCES), "a reason for what is no more"


def test_a_key_is_used_through_its_service_or_by_what_it_bears(identity: Mapping[str, Any]) -> None:
    """Keys of classes are named, and each is used through one service; the tenants' bear their tag."""
    named = by_tag = 0
    for name, statement in statements_in(identity):
        actions = [one for one in several(statement["Action"]) if one.startswith("kms:")]
        resources = json.dumps(statement["Resource"])
        if statement["Effect"] == "Deny" or not any(map(has_a_resource, actions)) or "alias/" in resources:
            continue
        if "*" in resources:
            assert asks_what_the_resource_is(statement), (name, statement["Sid"])
            by_tag += 1
        else:
            assert "kms:ViaService" in conditions_of(statement), (name, statement["Sid"])
            named += 1
    assert named > 10
    assert by_tag > 10


def test_policies_are_as_short_as_iam_wants_them(identity: Mapping[str, Any]) -> None:
    """Without spaces; 10,240 characters for all that is in a role, 6,144 for a policy (IAM's quotas)."""
    for name, resource in identity["Resources"].items():
        properties = resource["Properties"]
        own = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
        length = sum(len(json.dumps(document, separators=(",", ":"))) for document in own)
        assert length < 9_500, name  # references are a little longer than the ARNs that they become
        if "PolicyDocument" in properties:
            assert len(json.dumps(properties["PolicyDocument"], separators=(",", ":"))) < 6_000, name


def test_the_table_that_the_worker_may_not_make_is_made_for_it(prod: Platform, template: Of) -> None:
    (leases,) = template(prod.evaluation).find_resources("AWS::DynamoDB::Table").values()
    properties = leases["Properties"]
    assert properties["TableName"] == EvalSettings.model_fields["application_name"].default
    assert properties["KeySchema"] == [{"AttributeName": "leaseKey", "KeyType": "HASH"}]
    assert properties["AttributeDefinitions"] == [{"AttributeName": "leaseKey", "AttributeType": "S"}]


def test_names_that_two_places_know_are_the_same() -> None:
    assert parameters.BRAKE_OF_LAG == LAG
    assert parameters.BRAKE_OF_DAY == OBSERVABILITY_BUDGET
    assert parameters.BRAKE_OF_MONTH == ACCOUNT_BUDGET
    assert cost.RECONCILIATIONS == OWNER


def test_a_statement_with_a_pattern_says_why() -> None:
    with pytest.raises(ValueError, match="say why"):
        Statement("All", ("s3:GetObject",), ("arn:aws:s3:::bucket/*",))
    with pytest.raises(ValueError, match="no single action"):
        Statement("All", ("s3:Get*",), ("arn:aws:s3:::bucket/key",))
    assert Statement("All", ("s3:GetObject",), ("arn:aws:s3:::bucket/*",), because="named as they come")
