"""What stays when a stack goes, and that nothing stands in the way of a deployment that is tried again."""

from collections.abc import Callable, Mapping

import pytest
from aws_cdk.assertions import Template

from infra.app import Platform

All = Callable[[Platform], Mapping[str, Template]]
HOLD_DATA = (
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
)
FOR_A_WHILE = {"llm-platform-evaluation": {"AWS::DynamoDB::Table"}, "llm-platform-watch": {"AWS::S3::Bucket"}}
"""By stack: where a reader of the stream was, and a week of answers to dashboards."""


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_what_a_failed_deployment_made_is_not_in_the_way_of_the_next(
    name: str, request: pytest.FixtureRequest, templates: All
) -> None:
    policies = {
        resource.get("DeletionPolicy", "Delete")
        for template in templates(request.getfixturevalue(name)).values()
        for resource in template.to_json()["Resources"].values()
    }
    assert policies == ({"Delete", "RetainExceptOnCreate"} if name == "prod" else {"Delete"})


def test_production_keeps_whatever_holds_data(prod: Platform, templates: All) -> None:
    for stack, template in templates(prod).items():
        for resource in template.to_json()["Resources"].values():
            if resource["Type"] in HOLD_DATA and resource["Type"] not in FOR_A_WHILE.get(stack, ()):
                policies = (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
                assert policies == ("RetainExceptOnCreate", "Retain"), resource
