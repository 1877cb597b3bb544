"""The cost job and the reconciliation, as they are deployed."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from costagg.__main__ import _parser
from costagg.reconciliation.s3_export import ExportAddress
from costagg.settings import read_settings
from infra.app import Platform
from infra.settings import Deployment

Of = Callable[[Stack], Template]


def container(template: Template, family: str) -> dict[str, Any]:
    (task,) = template.find_resources("AWS::ECS::TaskDefinition", {"Properties": {"Family": family}}).values()
    found: dict[str, Any] = task["Properties"]["ContainerDefinitions"][0]
    return found


def test_a_days_budget_is_a_thirtieth_of_the_months(
    prod: Platform, template: Of, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in container(template(prod.cost), "llm-platform-cost-job")["Environment"]:
        monkeypatch.setenv(one["Name"], one["Value"])
    daily = read_settings()[0].observability_daily_budget_usd
    assert daily == Decimal(600)
    assert daily * 30 == deployment.budget.monthly_usd


def test_a_small_deployment_has_a_small_budget(dev: Platform, template: Of) -> None:
    told = container(template(dev.cost), "llm-platform-cost-job")["Environment"]
    assert {"Name": "COST_OBSERVABILITY_DAILY_BUDGET_USD", "Value": "10.00"} in told


def test_reconciliation_is_told_where_aws_delivers_the_bill(prod: Platform, template: Of) -> None:
    command = container(template(prod.cost), "llm-platform-reconcile")["Command"]
    asked = _parser().parse_args(command[3:])
    assert asked.last_month
    (url,) = asked.files
    address = ExportAddress.parse(url)
    (export,) = template(prod.cost).find_resources("AWS::BCMDataExports::Export").values()
    destination = export["Properties"]["Export"]["DestinationConfigurations"]["S3Destination"]
    assert address.folder == f"{destination['S3Prefix']}/{export['Properties']['Export']['Name']}"
    (bucket,) = template(prod.cost).find_resources(
        "AWS::S3::Bucket", {"Properties": {"BucketName": address.bucket}}
    )
    assert destination["S3Bucket"] == {"Ref": bucket}


def test_reconciliation_reads_the_bill_and_no_other_bucket(prod: Platform, template: Of) -> None:
    (role,) = (
        template(prod.identity)
        .find_resources("AWS::IAM::Role", {"Properties": {"RoleName": "llm-platform-reconcile"}})
        .values()
    )
    (policy,) = role["Properties"]["Policies"]
    of_s3 = [one for one in policy["PolicyDocument"]["Statement"] if "s3:" in str(one["Action"])]
    assert [(one["Action"], one["Resource"]) for one in of_s3] == [
        ("s3:GetObject", "arn:aws:s3:::llm-platform-bill-111111111111-us-east-1/cur/llm-platform/*")
    ]
