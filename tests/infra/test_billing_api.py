"""The door of the billing API, and the service behind it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Match, Template

from costagg.api.reading import ANSWER_WITHIN_S
from costagg.settings import read_settings
from infra.app import Platform
from infra.billing_api import BURST, PORT, REQUESTS_PER_S
from infra.settings import Deployment

Of = Callable[[Stack], Template]


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = template.find_resources(kind).values()
    return dict(found["Properties"])


def test_the_door_can_be_shut_and_then_says_no_address(
    prod: Platform, deployment: Deployment, template: Of
) -> None:
    assert only(template(prod.cost), "AWS::ApiGatewayV2::Api")["DisableExecuteApiEndpoint"] is False
    shut = deployment.model_copy(
        update={"billing_api": deployment.billing_api.model_copy(update={"public": False})}
    )
    made = Template.from_stack(Platform(App(), shut).cost)
    assert only(made, "AWS::ApiGatewayV2::Api")["DisableExecuteApiEndpoint"] is True
    assert made.find_outputs("BillingApiUrl") == {}


def test_who_asks_too_often_is_held_back_at_the_door(prod: Platform, template: Of) -> None:
    template(prod.cost).has_resource_properties(
        "AWS::ApiGatewayV2::Stage",
        {"DefaultRouteSettings": {"ThrottlingRateLimit": REQUESTS_PER_S, "ThrottlingBurstLimit": BURST}},
    )


def test_the_access_log_has_no_query_and_no_key(prod: Platform, template: Of) -> None:
    settings = only(template(prod.cost), "AWS::ApiGatewayV2::Stage")["AccessLogSettings"]
    assert settings["DestinationArn"]
    logged = json.loads(settings["Format"])
    assert {"$context.path", "$context.status"} < set(logged.values())
    assert set(logged.values()) <= {
        "$context.requestId",
        "$context.requestTime",
        "$context.identity.sourceIp",
        "$context.httpMethod",
        "$context.path",
        "$context.status",
        "$context.responseLength",
        "$context.responseLatency",
        "$context.error.messageString",
    }


def test_the_service_gives_up_before_the_door_does(prod: Platform, template: Of) -> None:
    waited_for_ms = only(template(prod.cost), "AWS::ApiGatewayV2::Integration")["TimeoutInMillis"]
    assert ANSWER_WITHIN_S * 1_000 < waited_for_ms <= 30_000


def test_the_way_from_the_door_to_the_tasks_is_private(prod: Platform, template: Of) -> None:
    template(prod.cost).has_resource_properties(
        "AWS::ApiGatewayV2::Integration",
        {"ConnectionType": "VPC_LINK", "IntegrationType": "HTTP_PROXY", "IntegrationUri": Match.any_value()},
    )
    template(prod.cost).resource_count_is("AWS::ElasticLoadBalancingV2::LoadBalancer", 0)
    service = only(template(prod.cost), "AWS::ECS::Service")
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    assert service["ServiceRegistries"]


def test_the_door_can_reach_the_tasks_port_and_nothing_else(prod: Platform, template: Of) -> None:
    groups = template(prod.cost).find_resources(
        "AWS::EC2::SecurityGroup", {"Properties": {"GroupDescription": Match.string_like_regexp("door")}}
    )
    (group,) = groups.values()
    (rule,) = group["Properties"]["SecurityGroupEgress"]
    assert (rule["FromPort"], rule["ToPort"]) == (PORT, PORT)
    assert "DestinationSecurityGroupId" in rule


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_billing_api_starts_with_its_environment(
    name: str, request: pytest.FixtureRequest, template: Of, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed: Platform = request.getfixturevalue(name)
    tasks = template(deployed.cost).find_resources(
        "AWS::ECS::TaskDefinition", {"Properties": {"Family": "llm-platform-billing-api"}}
    )
    (task,) = tasks.values()
    for variable in task["Properties"]["ContainerDefinitions"][0]["Environment"]:
        monkeypatch.setenv(variable["Name"], variable["Value"])
    settings, _ = read_settings()
    assert (settings.api_host, settings.api_port) == ("0.0.0.0", PORT)
