"""The AWS Budget of observing: what it counts, when it tells, and that nobody else can."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template

from costagg.settings import read_settings
from infra.app import Platform
from infra.layers import TAG
from llmplatform.account_budget import BUDGET_NAME, STEPS
from llmplatform.bill_export import COLUMNS, bucket_name

Of = Callable[[Stack], Template]


def only(template: Template, kind: str, properties: dict[str, Any] | None = None) -> dict[str, Any]:
    props = {} if properties is None else {"Properties": properties}
    (found,) = template.find_resources(kind, props).values()
    return dict(found["Properties"])


def tags_in(stack: Stack, template: Of) -> set[str]:
    """Values of the cost tag on everything in a stack."""
    resources = template(stack).to_json()["Resources"].values()
    tags = [tag for one in resources for tag in _listed(one.get("Properties", {}).get("Tags", []))]
    return {tag["Value"] for tag in tags if tag.get("Key") == TAG}


def _listed(tags: Any) -> list[dict[str, str]]:
    return tags if isinstance(tags, list) else [{"Key": key, "Value": value} for key, value in tags.items()]


@pytest.fixture
def budget(prod: Platform, template: Of) -> dict[str, Any]:
    return only(template(prod.cost), "AWS::Budgets::Budget")


def test_the_budget_is_monthly_and_what_the_deployment_says(budget: dict[str, Any]) -> None:
    told = budget["Budget"]
    assert (told["BudgetName"], told["TimeUnit"], told["BudgetType"]) == (BUDGET_NAME, "MONTHLY", "COST")
    assert told["BudgetLimit"] == {"Amount": 18_000, "Unit": "USD"}


def test_every_value_that_the_tag_has_anywhere_is_counted(
    budget: dict[str, Any], prod: Platform, template: Of
) -> None:
    stacks = (prod.data, prod.network, prod.identity, prod.gateway, prod.evaluation, prod.cost, prod.watch)
    used = {value for stack in stacks for value in tags_in(stack, template)}
    counted = {text.removeprefix(f"user:{TAG}$") for text in budget["Budget"]["CostFilters"]["TagKeyValue"]}
    assert used == counted


def test_what_serves_inference_is_not_counted(prod: Platform, template: Of) -> None:
    assert tags_in(prod.gateway, template) | tags_in(prod.network, template) == set()


def test_it_tells_when_money_was_spent_at_each_step_of_the_brake(budget: dict[str, Any]) -> None:
    told = [one["Notification"] for one in budget["NotificationsWithSubscribers"]]
    assert [one["Threshold"] for one in told] == [float(step.from_percent) for step in STEPS]
    assert {(one["NotificationType"], one["ThresholdType"]) for one in told} == {("ACTUAL", "PERCENTAGE")}
    assert min(one["Threshold"] for one in told) == 80


def test_the_topic_takes_messages_of_this_accounts_budgets_alone(prod: Platform, template: Of) -> None:
    template(prod.cost).has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Action": "sns:Publish",
                                "Principal": {"Service": "budgets.amazonaws.com"},
                                "Condition": Match.object_like(
                                    {"StringEquals": {"aws:SourceAccount": "111111111111"}}
                                ),
                            }
                        )
                    ]
                )
            }
        },
    )


def test_the_topic_invokes_the_handler_and_so_does_a_schedule(prod: Platform, template: Of) -> None:
    function = only(template(prod.cost), "AWS::Lambda::Function")
    assert function["ImageConfig"]["Command"] == ["costagg.account_budget.lambda_handler.handler"]
    assert only(template(prod.cost), "AWS::SNS::Subscription")["Protocol"] == "lambda"
    schedule = only(template(prod.cost), "AWS::Scheduler::Schedule", {"Name": "llm-platform-budget-handler"})
    assert schedule["ScheduleExpression"] == "rate(6 hours)"
    assert schedule["Target"]["DeadLetterConfig"]["Arn"]


@pytest.mark.parametrize(
    ("job", "command"),
    [
        ("cost-job", ["python", "-m", "costagg", "run"]),
        (
            "reconcile",
            [
                "python",
                "-m",
                "costagg",
                "reconcile",
                "--last-month",
                "s3://llm-platform-bill-111111111111-us-east-1/cur/llm-platform",
            ],
        ),
    ],
)
def test_each_job_is_started_by_its_schedule_with_dead_letters(
    job: str, command: list[str], prod: Platform, template: Of, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = only(template(prod.cost), "AWS::ECS::TaskDefinition", {"Family": f"llm-platform-{job}"})
    (container,) = task["ContainerDefinitions"]
    assert container["Command"] == command
    for variable in container["Environment"]:
        monkeypatch.setenv(variable["Name"], variable["Value"])
    read_settings()
    schedule = only(template(prod.cost), "AWS::Scheduler::Schedule", {"Name": f"llm-platform-{job}"})
    assert schedule["Target"]["EcsParameters"]["LaunchType"] == "FARGATE"
    assert schedule["Target"]["DeadLetterConfig"]["Arn"]
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}


def test_the_export_has_every_column_that_reconciliation_reads(prod: Platform, template: Of) -> None:
    export = only(template(prod.cost), "AWS::BCMDataExports::Export")["Export"]
    query = export["DataQuery"]["QueryStatement"]
    assert all(column in query for column in COLUMNS)
    assert (
        export["DestinationConfigurations"]["S3Destination"]["S3OutputConfigurations"]["Format"] == "PARQUET"
    )


def test_only_billing_may_write_the_bill(prod: Platform, template: Of) -> None:
    name = bucket_name("111111111111", "us-east-1")
    bucket = only(template(prod.cost), "AWS::S3::Bucket", {"BucketName": name})
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    policies = template(prod.cost).find_resources("AWS::S3::BucketPolicy").values()
    allowed = [
        statement
        for policy in policies
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert [statement["Principal"] for statement in allowed] == [
        {"Service": ["bcm-data-exports.amazonaws.com", "billingreports.amazonaws.com"]}
    ]
    assert all(one["Condition"]["StringEquals"]["aws:SourceAccount"] == "111111111111" for one in allowed)
