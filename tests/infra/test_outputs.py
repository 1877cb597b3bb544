"""What `scripts/cdk deploy` prints: the addresses that the next step needs."""

from collections.abc import Callable
from typing import Any

from aws_cdk import Stack
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.settings import Deployment

Of = Callable[[Stack], Template]


def output(template: Template, name: str) -> Any:
    """Its value; without words of what it is, it is none."""
    (found,) = template.find_outputs(name).values()
    assert found["Description"]
    return found["Value"]


def only(template: Template, kind: str) -> str:
    (found,) = template.find_resources(kind)
    return str(found)


def test_the_load_balancer_says_where_names_are_to_point(prod: Platform, template: Of) -> None:
    made = template(prod.gateway)
    assert output(made, "LoadBalancerDnsName") == {
        "Fn::GetAtt": [only(made, "AWS::ElasticLoadBalancingV2::LoadBalancer"), "DNSName"]
    }


def test_the_billing_api_says_where_bills_are_asked_for(prod: Platform, template: Of) -> None:
    made = template(prod.cost)
    assert output(made, "BillingApiUrl") == {
        "Fn::GetAtt": [only(made, "AWS::ApiGatewayV2::Api"), "ApiEndpoint"]
    }


def test_watching_says_where_dashboards_and_console_are(
    prod: Platform, template: Of, deployment: Deployment
) -> None:
    made = template(prod.watch)
    workspace = only(made, "AWS::Grafana::Workspace")
    assert output(made, "GrafanaUrl") == {
        "Fn::Join": ["", ["https://", {"Fn::GetAtt": [workspace, "Endpoint"]}]]
    }
    assert output(made, "ConsoleUrl") == f"https://{deployment.hosts.console}"
