"""The single way in: what it lets through, how long it waits, and what it falls back to."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are not among our tools
from aws_cdk import App, Stack
from aws_cdk.assertions import Match, Template

from gateway.http import server
from gateway.settings import GatewaySettings
from infra import collector
from infra.app import Platform
from infra.firewall import INFERENCE_PATH, REDACTED_HEADERS
from infra.models import catalogue_of
from infra.settings import FOLDER, Deployment, read_deployment
from infra.stacks.gateway import MOST_DEREGISTRATION_S, longest_request_s
from llmplatform import metrics
from llmplatform.catalogue import Catalogue, Timeouts, load_catalogue
from llmplatform.errors import ConfigFault
from llmplatform.metrics import METRICS
from llmplatform.process.serving import KEEP_ALIVE_S

Reader = Callable[[Stack], Template]


def only(made: Template, kind: str) -> dict[str, Any]:
    """The properties of the one resource of a kind."""
    (resource,) = made.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def attributes(resource: Mapping[str, Any], member: str) -> dict[str, Any]:
    return {one["Key"]: one["Value"] for one in resource[member]}


@pytest.fixture(name="made")
def of_production(prod: Platform, template: Reader) -> Template:
    return template(prod.gateway)


@pytest.fixture(name="door")
def load_balancer_attributes(made: Template) -> dict[str, Any]:
    return attributes(only(made, "AWS::ElasticLoadBalancingV2::LoadBalancer"), "LoadBalancerAttributes")


@pytest.fixture(name="container")
def gateway_container(made: Template) -> dict[str, Any]:
    task = only(made, "AWS::ECS::TaskDefinition")
    (container,) = (one for one in task["ContainerDefinitions"] if one["Name"] == "gateway")
    return dict(container)


@pytest.fixture(name="settings")
def gateway_settings(container: Mapping[str, Any]) -> GatewaySettings:
    """As the task's variables make them."""
    environment = {one["Name"]: one["Value"] for one in container["Environment"]}
    prefix = "GATEWAY_"
    return GatewaySettings(
        **{
            name.removeprefix(prefix).lower(): value
            for name, value in environment.items()
            if name.startswith(prefix)
        }
    )


def test_a_ping_comes_before_the_load_balancer_hangs_up_and_that_before_the_server_does(
    door: Mapping[str, Any], settings: GatewaySettings
) -> None:
    idle_s = float(door["idle_timeout.timeout_seconds"])
    assert settings.ping_s * 2 < idle_s < KEEP_ALIVE_S
    # AWS's networks forget a connection that says nothing for 350 s.
    assert KEEP_ALIVE_S < 350


def test_a_task_is_let_to_its_last_stream_before_it_is_told_to_stop(
    made: Template, deployment: Deployment
) -> None:
    targets = only(made, "AWS::ElasticLoadBalancingV2::TargetGroup")
    waits_s = int(attributes(targets, "TargetGroupAttributes")["deregistration_delay.timeout_seconds"])
    longest_s = max(model.timeouts.total_s for model in catalogue_of(deployment).models.values())
    assert longest_s <= waits_s <= MOST_DEREGISTRATION_S
    assert waits_s == longest_request_s(catalogue_of(deployment))


def test_what_is_told_to_stop_has_time_for_its_grace_and_its_flush(
    container: Mapping[str, Any], settings: GatewaySettings
) -> None:
    serving_s = int(settings.shutdown_grace_s + server._LAST_WORDS_S) + 1 + server._CANCELLED_WITHIN_S
    assert serving_s + settings.flush_s + 5 <= container["StopTimeout"]
    assert settings.shutdown_grace_s > GatewaySettings().shutdown_grace_s


def test_a_request_that_may_take_longer_than_a_load_balancer_waits_is_refused_by_name() -> None:
    catalogue = load_catalogue(None)
    slow = catalogue.models["claude-opus-4-6"].model_copy(update={"timeouts": Timeouts(total_s=3_600)})
    with pytest.raises(ConfigFault, match=r"models\.claude-opus-4-6\.timeouts"):
        longest_request_s(Catalogue(models={**catalogue.models, "claude-opus-4-6": slow}))


def test_retries_and_fallbacks_count_as_waiting() -> None:
    catalogue = load_catalogue(None)
    quick = Timeouts(first_token_s=10, total_s=100)
    first = catalogue.models["nova-lite"].model_copy(
        update={"timeouts": quick, "max_attempts": 2, "fallbacks": ("other",)}
    )
    other = first.model_copy(update={"fallbacks": (), "max_attempts": 1, "model_id": "other"})
    assert longest_request_s(Catalogue(models={"first": first, "other": other})) == 100 + 2 * 10 + 10


def test_clients_speak_tls_1_2_or_better_and_are_sent_there(made: Template) -> None:
    made.has_resource_properties(
        "AWS::ElasticLoadBalancingV2::Listener",
        {
            "Port": 443,
            "Protocol": "HTTPS",
            "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
            "DefaultActions": [Match.object_like({"FixedResponseConfig": {"StatusCode": "404"}})],
        },
    )
    made.has_resource_properties(
        "AWS::ElasticLoadBalancingV2::Listener",
        {
            "Port": 80,
            "DefaultActions": [
                Match.object_like(
                    {
                        "Type": "redirect",
                        "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
                    }
                )
            ],
        },
    )


def test_the_load_balancer_takes_nothing_that_is_doubtful_and_logs_who_came(
    door: Mapping[str, Any],
) -> None:
    assert door["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert door["routing.http.desync_mitigation_mode"] == "strictest"
    assert door["access_logs.s3.enabled"] == "true"
    assert door["deletion_protection.enabled"] == "true"


def test_the_small_deployment_can_be_deleted(dev: Platform, template: Reader) -> None:
    door = only(template(dev.gateway), "AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert door["Scheme"] == "internet-facing"
    assert attributes(door, "LoadBalancerAttributes")["deletion_protection.enabled"] == "false"


def test_clients_alone_reach_the_load_balancer(made: Template, deployment: Deployment) -> None:
    rules = [
        one["Properties"]
        for one in made.find_resources("AWS::EC2::SecurityGroupIngress").values()
        if "CidrIp" in one["Properties"]
    ]
    assert {(rule["CidrIp"], rule["FromPort"]) for rule in rules} == {
        (str(clients), port) for clients in deployment.network.clients for port in (80, 443)
    }


def test_nothing_on_the_way_holds_a_stream_back(made: Template) -> None:
    targets = only(made, "AWS::ElasticLoadBalancingV2::TargetGroup")
    assert targets["TargetType"] == "ip"  # a Lambda target's reply is buffered whole
    assert (targets["Protocol"], targets["ProtocolVersion"]) == ("HTTP", "HTTP1")
    algorithm = attributes(targets, "TargetGroupAttributes")["load_balancing.algorithm.type"]
    assert algorithm == "least_outstanding_requests"


def test_a_task_gets_traffic_when_it_is_ready_and_not_when_it_is_only_alive(made: Template) -> None:
    targets = only(made, "AWS::ElasticLoadBalancingV2::TargetGroup")
    assert targets["HealthCheckPath"] == "/readyz"
    assert targets["Matcher"] == {"HttpCode": "200"}


def statements(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every part of a rule, however deep."""
    for value in rule.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                yield part
                yield from statements(part)


def test_no_rule_of_the_firewall_looks_into_a_prompt(made: Template) -> None:
    for rule in only(made, "AWS::WAFv2::WebACL")["Rules"]:
        assert not any("Body" in part or "JsonBody" in part for part in statements(rule)), rule["Name"]
        group = rule["Statement"].get("ManagedRuleGroupStatement")
        if group is None or group["Name"] == "AWSManagedRulesAmazonIpReputationList":
            continue  # who asks, and how often
        elsewhere = group["ScopeDownStatement"]["NotStatement"]["Statement"]["ByteMatchStatement"]
        assert elsewhere["FieldToMatch"] == {"UriPath": {}}
        assert elsewhere["SearchString"] == INFERENCE_PATH == "/v1/"
        assert elsewhere["PositionalConstraint"] == "STARTS_WITH"


def test_the_firewall_logs_no_key_and_nothing_of_what_it_lets_through(made: Template) -> None:
    logging = only(made, "AWS::WAFv2::LoggingConfiguration")
    redacted = {one["SingleHeader"]["Name"] for one in logging["RedactedFields"]}
    assert redacted == {*REDACTED_HEADERS}
    assert {"authorization", "cookie"} <= redacted
    assert logging["LoggingFilter"]["DefaultBehavior"] == "DROP"
    kept = [one["Conditions"] for one in logging["LoggingFilter"]["Filters"]]
    assert kept == [[{"ActionCondition": {"Action": "BLOCK"}}]]
    acl = only(made, "AWS::WAFv2::WebACL")
    seen = [acl["VisibilityConfig"], *(rule["VisibilityConfig"] for rule in acl["Rules"])]
    assert not any(one["SampledRequestsEnabled"] for one in seen)


def test_one_address_cannot_ask_without_end(made: Template, deployment: Deployment) -> None:
    (rule,) = (
        rule
        for rule in only(made, "AWS::WAFv2::WebACL")["Rules"]
        if "RateBasedStatement" in rule["Statement"]
    )
    limit = rule["Statement"]["RateBasedStatement"]
    assert limit["AggregateKeyType"] == "IP"  # by a header, its value would stand in the log
    assert limit["Limit"] == deployment.firewall.per_address_per_minute
    assert limit["EvaluationWindowSec"] == 60
    assert rule["Action"]["Block"]["CustomResponse"]["ResponseCode"] == 429


def test_there_are_three_tasks_in_three_zones_while_a_version_is_replaced_too(
    made: Template,
) -> None:
    service = only(made, "AWS::ECS::Service")
    assert len(service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]) == 3
    assert service["AvailabilityZoneRebalancing"] == "ENABLED"
    rollout = service["DeploymentConfiguration"]
    assert (rollout["MinimumHealthyPercent"], rollout["MaximumPercent"]) == (100, 200)
    assert only(made, "AWS::ApplicationAutoScaling::ScalableTarget")["MinCapacity"] >= 3
    assert "DesiredCount" not in service  # a deployment would undo what scaling did


def test_a_version_that_fails_is_rolled_back(made: Template) -> None:
    rollout = only(made, "AWS::ECS::Service")["DeploymentConfiguration"]
    assert rollout["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert rollout["Alarms"]["Enable"] is True
    assert rollout["Alarms"]["Rollback"] is True
    alarms = made.find_resources("AWS::CloudWatch::Alarm")
    assert {name["Ref"] for name in rollout["Alarms"]["AlarmNames"]} == set(alarms)
    assert len(alarms) == 3


def test_what_it_is_rolled_back_and_scaled_by_is_published(made: Template) -> None:
    alarms = [one["Properties"] for one in made.find_resources("AWS::CloudWatch::Alarm").values()]
    policies = made.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    tracked = [
        policy["Properties"]["TargetTrackingScalingPolicyConfiguration"].get("CustomizedMetricSpecification")
        for policy in policies
    ]
    ours = [one for one in (*alarms, *tracked) if one and one["Namespace"].startswith("LLMPlatform/")]
    assert len(ours) == 3
    for one in ours:
        metric = METRICS[one["Namespace"], one["MetricName"]]
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in one["Dimensions"]}
        assert tuple(dimensions) in metric.dimension_sets
        assert dimensions in ({"component": metrics.GATEWAY}, {"sink": "ledger"})


def test_it_scales_on_streams_a_task_and_on_the_cpu_that_one_loop_can_use(made: Template) -> None:
    found = {}
    for policy in made.find_resources("AWS::ApplicationAutoScaling::ScalingPolicy").values():
        tracking = policy["Properties"]["TargetTrackingScalingPolicyConfiguration"]
        by = tracking.get("CustomizedMetricSpecification") or tracking["PredefinedMetricSpecification"]
        name = by.get("MetricName") or by["PredefinedMetricType"]
        found[name] = (tracking["TargetValue"], by.get("Statistic"))
    task = only(made, "AWS::ECS::TaskDefinition")
    cores = int(task["Cpu"]) / 1024
    streams, statistic = found.pop(metrics.REQUESTS_IN_FLIGHT.name)
    assert statistic == "Average"  # of what each task says: that is per task
    assert 0 < streams < GatewaySettings().max_in_flight
    ((percent, _),) = found.values()
    # The event loop has one core: a target above its share of the task would never be reached.
    assert percent * cores < 100


@pytest.fixture(name="plain", scope="module")
def scheduled_and_without_collector(tmp_path_factory: pytest.TempPathFactory) -> Template:
    schedule = (
        'schedules = [{ cron = "0 7 ? * MON-FRI *", time_zone = "Europe/Berlin", least = 2, most = 2 }]'
    )
    lines = (FOLDER / "dev.toml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("collector_tag")]
    kept.insert(kept.index("[gateway]") + 1, schedule)
    path = tmp_path_factory.mktemp("own") / "own.toml"
    path.write_text("\n".join(kept))
    return Template.from_stack(Platform(App(), read_deployment(path)).gateway)


def test_a_schedule_changes_how_many_tasks_there_are(plain: Template) -> None:
    (action,) = only(plain, "AWS::ApplicationAutoScaling::ScalableTarget")["ScheduledActions"]
    assert action["Schedule"] == "cron(0 7 ? * MON-FRI *)"
    assert action["Timezone"] == "Europe/Berlin"
    assert action["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 2}


def test_the_gateway_serves_with_the_collector_or_without(
    made: Template, container: Mapping[str, Any]
) -> None:
    task = only(made, "AWS::ECS::TaskDefinition")
    (beside,) = (one for one in task["ContainerDefinitions"] if one["Name"] == "collector")
    assert beside["Essential"] is False
    assert container["Essential"] is True
    assert "DependsOn" not in container
    assert "HealthCheck" not in beside
    assert beside["RestartPolicy"]["Enabled"] is True
    assert beside["Memory"] < int(task["Memory"]) / 2


def test_without_a_collectors_image_there_is_none(plain: Template) -> None:
    (container,) = only(plain, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    assert not any(one["Name"].startswith("OTEL_") for one in container["Environment"])


@pytest.fixture(name="config", scope="session")
def collector_configuration(deployment: Deployment) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(collector.configuration(deployment))
    return config


def test_the_collector_is_asked_for_nothing_that_it_was_not_told_of(config: Mapping[str, Any]) -> None:
    service = config["service"]
    pipeline = service["pipelines"]["traces"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(config[kind])
    assert set(service["extensions"]) == set(config["extensions"])
    assert config["exporters"]["otlphttp"]["auth"]["authenticator"] in config["extensions"]
    assert pipeline["processors"][0] == "memory_limiter"  # what is refused there costs nothing further on


def test_the_collector_sends_to_xray_what_it_gets_on_loopback(
    config: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    endpoint = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert endpoint.startswith("127.0.0.1:")
    environment = {one["Name"]: one["Value"] for one in container["Environment"]}
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://{endpoint}"
    exporter = config["exporters"]["otlphttp"]
    assert exporter["traces_endpoint"] == "https://xray.us-east-1.amazonaws.com/v1/traces"
    assert config["extensions"]["sigv4auth"] == {"service": "xray", "region": "us-east-1"}


def test_the_collector_keeps_within_its_memory_and_gives_up_in_time(config: Mapping[str, Any]) -> None:
    limiter = config["processors"]["memory_limiter"]
    assert limiter["limit_mib"] + limiter["spike_limit_mib"] < collector.MEMORY_MIB
    assert limiter["spike_limit_mib"] < limiter["limit_mib"]
    exporter = config["exporters"]["otlphttp"]
    assert exporter["sending_queue"]["queue_size"] <= 100
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "60s"
    assert config["processors"]["batch"]["send_batch_max_size"] <= 512


def test_all_tasks_draw_the_same_traces(container: Mapping[str, Any], made: Template) -> None:
    (secret,) = made.find_resources("AWS::SecretsManager::Secret")
    assert container["Secrets"] == [{"Name": "GATEWAY_TRACE_SAMPLE_KEY", "ValueFrom": {"Ref": secret}}]
