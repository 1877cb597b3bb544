"""No prompt can leave the account: every way out is known, and leads nowhere else."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template

from harness.ways_out import Templates, service_of, ways_out
from infra.app import Platform
from infra.endpoints import STARTING, endpoints
from infra.roles import PROCESSES, Process, host_of
from infra.settings import Deployment, named_deployment
from llmplatform.catalogue import load_catalogue

Reader = Callable[[Stack], Template]

S3, DYNAMODB = "pl-63a5400a", "pl-02cd2c6b"
OUTSIDE = {"budget-handler"}
"""A function that runs in no network of ours."""
BY_LAMBDA = ("ec2:", "logs:", "sqs:")
"""What Lambda does with a function's role, from its own network."""


def stacks(platform: Platform) -> list[Stack]:
    return [stack for stack in vars(platform).values() if isinstance(stack, Stack)]


def written(platform: Platform, template: Reader) -> Templates:
    """Every stack's template."""
    return {stack.stack_name: template(stack).to_json() for stack in stacks(platform)}


def of_tasks(ways: set[str]) -> Iterator[str]:
    return (way for way in ways if way.startswith("tasks of "))


def known(deployment: Deployment, *more: str) -> set[str]:
    """The ways out that there may be beside those of tasks."""
    return {
        "endpoints of AWS services -> nowhere",
        "the load balancer -> tasks of gateway:8080",
        "the load balancer -> tasks of console:8100",
        "the door of the billing API -> tasks of billing-api:8090",
        *(f"endpoint {endpoint.service}" for endpoint in endpoints(deployment)),
        *more,
    }


def test_every_way_out_of_production_is_known(
    prod: Platform, deployment: Deployment, template: Reader
) -> None:
    ways = ways_out(written(prod, template))
    assert ways - set(of_tasks(ways)) == known(
        deployment,
        # The load balancer asks the identity provider for tokens, on private addresses; its subnets have the
        # way back to clients.
        "the load balancer -> 10.20.0.0/24:443",
        "AWS::EC2::TransitGatewayAttachment",
        "load-balancer subnets -> 10.0.0.0/8 by transit gateway",
        "load-balancer subnets -> 10.20.0.0/24 by transit gateway",
        # A public key is asked for by its id, and by nothing else.
        "endpoint execute-api",
        "API -> https://public-keys.auth.elb.us-east-1.amazonaws.com/{kid}",
    )


def test_where_the_load_balancer_is_open_its_subnets_alone_have_a_way_to_the_internet(
    dev: Platform, template: Reader
) -> None:
    ways = ways_out(written(dev, template))
    assert ways - set(of_tasks(ways)) == known(
        named_deployment("dev"),
        "the load balancer -> nowhere",
        "AWS::EC2::InternetGateway",
        "load-balancer subnets -> 0.0.0.0/0 by internet gateway",
    )


@pytest.mark.parametrize("which", ["prod", "dev"])
def test_tasks_reach_the_endpoints_and_nothing_else(
    which: str, request: pytest.FixtureRequest, template: Reader
) -> None:
    templates = written(request.getfixturevalue(which), template)
    by_group: dict[str, set[str]] = {}
    for way in of_tasks(ways_out(templates)):
        group, _, to = way.partition(" -> ")
        by_group.setdefault(group, set()).add(to)
    assert "tasks of gateway" in by_group
    for group, reached in by_group.items():
        assert reached == {"endpoints of AWS services:443", f"{S3}:443", f"{DYNAMODB}:443"}, group
    services = [
        resource["Properties"]
        for one in templates.values()
        for resource in one.get("Resources", {}).values()
        if resource["Type"] == "AWS::ECS::Service"
    ]
    assert services
    for service in services:
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert all("tasksSubnet" in str(subnet) for subnet in network["Subnets"])


def test_a_way_out_that_is_new_is_seen() -> None:
    """Also one that nobody wrote down: EC2 opens a group that was made without rules."""
    resources = {
        "new": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "new"}},
        "way": {
            "Type": "AWS::EC2::SecurityGroupEgress",
            "Properties": {"GroupId": {"Fn::GetAtt": ["new", "GroupId"]}, "CidrIp": "0.0.0.0/0"},
        },
        "nat": {"Type": "AWS::EC2::NatGateway"},
    }
    assert ways_out({"some": {"Resources": resources}}) == {
        "new -> anywhere:None",
        "new -> 0.0.0.0/0:None",
        "AWS::EC2::NatGateway",
    }


def test_production_is_in_three_zones_and_its_tasks_in_private_subnets(
    prod: Platform, template: Reader
) -> None:
    subnets = template(prod.network).find_resources("AWS::EC2::Subnet")
    zones = {
        (tag["Value"], subnet["Properties"]["AvailabilityZone"])
        for subnet in subnets.values()
        for tag in subnet["Properties"]["Tags"]
        if tag["Key"] == "aws-cdk:subnet-name"
    }
    assert zones == {(kind, f"us-east-1{zone}") for kind in ("tasks", "load-balancer") for zone in "abc"}
    assert not any(subnet["Properties"].get("MapPublicIpOnLaunch") for subnet in subnets.values())


def policies(platform: Platform, template: Reader) -> dict[str, list[dict[str, Any]]]:
    """Statements by service."""
    found = template(platform.network).find_resources("AWS::EC2::VPCEndpoint").values()
    return {service_of(one["Properties"]): one["Properties"]["PolicyDocument"]["Statement"] for one in found}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_endpoint_lets_through_this_account_alone(
    prod: Platform, deployment: Deployment, template: Reader
) -> None:
    found = policies(prod, template)
    assert len(found) == len(endpoints(deployment)) + 1
    layers = f"arn:aws:s3:::prod-{deployment.region}-starport-layer-bucket/*"
    for service, statements in found.items():
        for statement in statements:
            assert statement["Effect"] == "Allow"
            assert "*" not in listed(statement["Action"]), service
            if service == "execute-api":
                assert listed(statement["Action"]) == ["execute-api:Invoke"]
            elif statement["Resource"] == layers:  # AWS's own request, for an image's layers
                assert statement["Action"] == "s3:GetObject"
            else:
                assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] == deployment.account, (
                    service
                )


def test_data_goes_to_buckets_tables_and_streams_of_this_account_alone(
    prod: Platform, deployment: Deployment, template: Reader
) -> None:
    found = policies(prod, template)
    ours, _ = found["s3"]
    assert ours["Condition"]["StringEquals"]["aws:ResourceAccount"] == [deployment.account]
    assert ours["Resource"] == "arn:aws:s3:::llm-platform-*"
    for service in ("dynamodb", "kinesis-streams", "kms", "logs", "ssm", "sns", "secretsmanager"):
        for statement in found[service]:
            if listed(statement["Action"]) == ["logs:GetQueryResults", "logs:StopQuery"]:
                continue
            for resource in listed(statement["Resource"]):
                assert f":{deployment.region}:{deployment.account}:" in resource, service
    without_resources = {
        service
        for service, statements in found.items()
        if any(statement["Resource"] == "*" for statement in statements)
    }
    # Each of these either only reads what is ours, or has no resource that could be named.
    assert without_resources == {
        "bedrock",
        "ecr.api",
        "ecr.dkr",
        "logs",
        "monitoring",
        "sts",
        "tagging",
        "xray",
    }


def test_models_that_are_in_no_catalogue_cannot_be_reached(prod: Platform, template: Reader) -> None:
    found = policies(prod, template)
    catalogue = load_catalogue(None)
    (models,) = found["bedrock-runtime"]
    for model in (one for one in catalogue.models.values() if one.endpoint_type == "bedrock"):
        assert any(model.backend_model_id in arn for arn in models["Resource"])
    assert "arn:aws:bedrock:*::foundation-model/*" not in models["Resource"]
    (hosted,) = found["sagemaker.runtime"]
    named = {one.endpoint_name for one in catalogue.models.values() if one.endpoint_name}
    assert {arn.rpartition("/")[2] for arn in hosted["Resource"]} == named


def permissions(platform: Platform, template: Reader) -> Iterator[tuple[Process, str, object]]:
    """Each action on each resource that a process in the network may take itself."""
    for process in PROCESSES:
        for role, statement in role_statements(platform, template):
            if role != f"llm-platform-{process}" or process in OUTSIDE or statement["Effect"] != "Allow":
                continue
            for action, resource in product(listed(statement["Action"]), listed(statement["Resource"])):
                if not (action.startswith(BY_LAMBDA) and host_of(process) == "lambda"):
                    yield process, action, resource


def test_what_a_role_may_do_an_endpoint_lets_through(prod: Platform, template: Reader) -> None:
    """A permission that no endpoint knows would time out, in production alone."""
    lets = [statement for statements in policies(prod, template).values() for statement in statements]
    asked = list(permissions(prod, template))
    assert len(asked) > 100
    assert [one for one in asked if not any(let_through(let, *one[1:]) for let in lets)] == []


def test_the_table_of_endpoints_names_who_calls_each(
    prod: Platform, deployment: Deployment, template: Reader
) -> None:
    callers = {endpoint.service: endpoint.callers for endpoint in endpoints(deployment)}
    found = policies(prod, template)
    for process, action, resource in permissions(prod, template):
        if action.startswith("kms:"):  # mostly used by the stores themselves, on behalf of a role
            continue
        by = [
            service
            for service, lets in found.items()
            if any(let_through(let, action, resource) for let in lets)
        ]
        assert any(process in callers[service] for service in by), f"{process}: {action}"


def let_through(let: Mapping[str, Any], action: str, resource: object) -> bool:
    """Whether a statement covers an action; and its resource, where that is told before it is deployed."""
    return any(fnmatchcase(action, pattern) for pattern in listed(let["Action"])) and (
        not isinstance(resource, str)
        or any(fnmatchcase(resource, pattern) for pattern in listed(let["Resource"]))
    )


def role_statements(platform: Platform, template: Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement of each role of `identity`, with the role's name."""
    resources = template(platform.identity).to_json()["Resources"]
    names = {
        name: resource["Properties"]["RoleName"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::IAM::Role"
    }
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Role":
            for policy in properties.get("Policies", ()):
                yield from ((names[name], one) for one in policy["PolicyDocument"]["Statement"])
        elif resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
            for role in properties.get("Roles", ()):
                yield from ((names[role["Ref"]], one) for one in properties["PolicyDocument"]["Statement"])


def test_each_endpoint_says_who_needs_it(deployment: Deployment) -> None:
    for endpoint in endpoints(deployment):
        assert endpoint.why
        assert endpoint.callers
        assert set(endpoint.callers) <= {*PROCESSES, STARTING}


def test_interface_endpoints_are_in_every_zone_of_production(prod: Platform, template: Reader) -> None:
    for endpoint in template(prod.network).find_resources("AWS::EC2::VPCEndpoint").values():
        properties = endpoint["Properties"]
        if properties["VpcEndpointType"] == "Interface":
            assert len(properties["SubnetIds"]) == 3
            assert properties["PrivateDnsEnabled"] is True
        else:
            assert len(properties["RouteTableIds"]) == 3


def test_names_outside_aws_are_not_resolved(prod: Platform, template: Reader) -> None:
    made = template(prod.network)
    lists = made.find_resources("AWS::Route53Resolver::FirewallDomainList")
    domains = {name: tuple(one["Properties"]["Domains"]) for name, one in lists.items()}
    (group,) = made.find_resources("AWS::Route53Resolver::FirewallRuleGroup").values()
    rules = sorted(group["Properties"]["FirewallRules"], key=lambda rule: int(rule["Priority"]))
    told = [(rule["Action"], domains[rule["FirewallDomainListId"]["Fn::GetAtt"][0]]) for rule in rules]
    assert told == [("ALLOW", ("*.amazonaws.com", "*.internal")), ("BLOCK", ("*",))]
    made.resource_count_is("AWS::Route53Resolver::FirewallRuleGroupAssociation", 1)


def test_who_spoke_with_whom_is_logged_for_as_long_as_any_log(prod: Platform, template: Reader) -> None:
    made = template(prod.network)
    made.has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": "ALL", "LogDestinationType": "s3"})
    made.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "LifecycleConfiguration": {
                "Rules": [
                    Match.object_like(
                        {
                            "ExpirationInDays": 820,
                            "Transitions": [{"StorageClass": "GLACIER_IR", "TransitionInDays": 90}],
                        }
                    )
                ]
            }
        },
    )


def test_only_a_keys_id_goes_along_with_the_question_for_it(prod: Platform, template: Reader) -> None:
    (method,) = template(prod.network).find_resources("AWS::ApiGateway::Method").values()
    integration = method["Properties"]["Integration"]
    assert method["Properties"]["HttpMethod"] == integration["IntegrationHttpMethod"] == "GET"
    assert integration["Type"] == "HTTP"  # a proxy would hand on query, headers and body
    assert integration["RequestParameters"] == {"integration.request.path.kid": "method.request.path.kid"}
    assert integration["RequestTemplates"] == {"application/json": ""}
    assert integration["PassthroughBehavior"] == "NEVER"
    template(prod.network).has_resource_properties(
        "AWS::ApiGateway::RestApi", {"EndpointConfiguration": {"Types": ["PRIVATE"]}}
    )


def test_where_nobody_signs_in_nobody_asks_for_keys(dev: Platform, template: Reader) -> None:
    assert dev.network.alb_keys_url is None
    template(dev.network).resource_count_is("AWS::ApiGateway::RestApi", 0)
