"""X-Ray takes spans by OTLP, lets all that came be searched, and forgets them after thirty days."""

import json
from collections.abc import Callable

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Match, Template

from infra.app import Platform
from infra.settings import Deployment, Tracing
from infra.stacks.data import DataStack


@pytest.fixture
def data(prod: Platform, template: Callable[[Stack], Template]) -> Template:
    return template(prod.data)


def test_spans_go_to_logs_once_xray_may_write_them(data: Template, deployment: Deployment) -> None:
    ((name, policy),) = data.find_resources("AWS::Logs::ResourcePolicy").items()
    (statement,) = json.loads(policy["Properties"]["PolicyDocument"])["Statement"]
    assert statement["Principal"] == {"Service": "xray.amazonaws.com"}
    assert statement["Action"] == "logs:PutLogEvents"
    assert [arn.partition("log-group:")[2] for arn in statement["Resource"]] == [
        "aws/spans:*",
        "/aws/application-signals/data:*",
    ]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": deployment.account}
    data.has_resource(
        "AWS::XRay::TransactionSearchConfig",
        {"Properties": {"IndexingPercentage": 100}, "DependsOn": [name]},
    )


def test_a_tenth_is_sampled_where_xray_is_asked(data: Template) -> None:
    data.has_resource_properties(
        "AWS::XRay::SamplingRule", {"SamplingRule": Match.object_like({"FixedRate": 0.1})}
    )


def test_spans_are_forgotten_after_thirty_days(data: Template) -> None:
    ((_, schedule),) = data.find_resources("AWS::Scheduler::Schedule").items()
    target = schedule["Properties"]["Target"]
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:cloudwatchlogs:putRetentionPolicy"
    assert json.loads(target["Input"]) == {"LogGroupName": "aws/spans", "RetentionInDays": 30}
    assert schedule["Properties"]["ScheduleExpression"] == "rate(1 day)"


def test_who_keeps_the_retention_may_nothing_else(data: Template) -> None:
    ((_, role),) = data.find_resources(
        "AWS::IAM::Role", {"Properties": {"RoleName": "llm-platform-spans-retention"}}
    ).items()
    (policy,) = role["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "logs:PutRetentionPolicy"
    assert {arn.partition("log-group:")[2] for arn in statement["Resource"]} == {"aws/spans", "aws/spans:*"}


def test_an_account_that_searches_transactions_already_is_left_alone(deployment: Deployment) -> None:
    changed = deployment.model_copy(update={"tracing": Tracing(transaction_search=False)})
    template = Template.from_stack(DataStack(App(), changed))
    for kind in ("XRay::TransactionSearchConfig", "Logs::ResourcePolicy", "Scheduler::Schedule"):
        template.resource_count_is(f"AWS::{kind}", 0)
