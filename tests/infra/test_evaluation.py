"""The worker, the look for falling scores and compaction, as they are deployed."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template

from evalworker.__main__ import _parser
from evalworker.brake import BrakeRule
from evalworker.settings import read_settings
from infra.app import Platform
from infra.layers import TAG
from infra.stacks.evaluation import LAG_S, STOP_TIMEOUT_S
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_STREAM
from llmplatform.metrics import EVAL_LAG_SECONDS, EVALWORKER
from watch.tables import native

Of = Callable[[Stack], Template]


@pytest.fixture(name="made")
def evaluation(prod: Platform, template: Of) -> Template:
    return template(prod.evaluation)


def of_kind(template: Template, kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in template.find_resources(kind).values()]


def container(template: Template, family: str) -> dict[str, Any]:
    (task,) = [one for one in of_kind(template, "AWS::ECS::TaskDefinition") if one["Family"] == family]
    found: dict[str, Any] = task["ContainerDefinitions"][0]
    return found


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in container["Environment"]}


def test_the_worker_starts_with_what_it_is_told(made: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    told = container(made, "llm-platform-evalworker")
    for name, value in variables(told).items():
        monkeypatch.setenv(name, value)
    settings, environment = read_settings()
    assert settings.fan_out
    assert settings.application_name == EVAL_CONSUMER
    assert environment.aws_region == "us-east-1"
    assert _parser().parse_args(told["Command"][3:]).command == "run"


def test_records_are_pushed_to_the_worker_by_a_consumer_that_goes_with_the_stack(made: Template) -> None:
    made.has_resource_properties("AWS::Kinesis::StreamConsumer", {"ConsumerName": EVAL_CONSUMER})
    (service,) = made.find_resources("AWS::ECS::Service").values()
    (consumer,) = made.find_resources("AWS::Kinesis::StreamConsumer")
    assert consumer in service["DependsOn"]


def test_the_worker_has_time_to_finish_its_batches(made: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    told = container(made, "llm-platform-evalworker")
    monkeypatch.setenv("EVAL_FAN_OUT", "true")
    assert told["StopTimeout"] == STOP_TIMEOUT_S
    assert told["StopTimeout"] > read_settings()[0].stop_grace_s + 8 + 4


def policies(template: Template) -> dict[str, dict[str, Any]]:
    """What scales the worker, by the metric that it follows."""
    found = of_kind(template, "AWS::ApplicationAutoScaling::ScalingPolicy")
    tracking = [one["TargetTrackingScalingPolicyConfiguration"] for one in found]
    return {one["CustomizedMetricSpecification"]["MetricName"]: one for one in tracking}


def test_the_worker_scales_with_the_age_of_what_it_reads_and_with_its_lag(made: Template) -> None:
    followed = policies(made)
    assert followed.keys() == {native.STREAM_PUSHED_AGE.name, EVAL_LAG_SECONDS.name}
    pushed = followed[native.STREAM_PUSHED_AGE.name]
    assert pushed["TargetValue"] == LAG_S * 1_000
    assert pushed["CustomizedMetricSpecification"] == {
        "Namespace": "AWS/Kinesis",
        "MetricName": native.STREAM_PUSHED_AGE.name,
        "Dimensions": [
            {"Name": "ConsumerName", "Value": EVAL_CONSUMER},
            {"Name": "StreamName", "Value": EVAL_STREAM.name},
        ],
        "Statistic": "Maximum",
    }
    lag = followed[EVAL_LAG_SECONDS.name]
    assert lag["TargetValue"] == LAG_S
    assert lag["CustomizedMetricSpecification"]["Namespace"] == EVAL_LAG_SECONDS.namespace
    assert lag["CustomizedMetricSpecification"]["Dimensions"] == [{"Name": "component", "Value": EVALWORKER}]


def test_another_worker_is_asked_for_before_sampling_is_held_down() -> None:
    assert BrakeRule().brake_over_s > LAG_S


def test_no_arithmetic_is_asked_of_cloudwatch(made: Template) -> None:
    assert all("Metrics" not in one["CustomizedMetricSpecification"] for one in policies(made).values())


def test_fewer_workers_come_slower_than_more(made: Template) -> None:
    assert all(one["ScaleInCooldown"] > one["ScaleOutCooldown"] for one in policies(made).values())


def test_no_more_workers_than_a_new_stream_has_shards(made: Template) -> None:
    """A shard has one reader; an on-demand stream begins with four."""
    (target,) = of_kind(made, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["MinCapacity"] >= 2
    assert target["MaxCapacity"] == 4


def test_drift_is_looked_for_every_minute_by_a_function(made: Template) -> None:
    made.has_resource_properties(
        "AWS::Scheduler::Schedule", {"Name": "llm-platform-drift", "ScheduleExpression": "rate(1 minute)"}
    )
    (function,) = of_kind(made, "AWS::Lambda::Function")
    assert function["PackageType"] == "Image"
    assert function["ImageConfig"]["EntryPoint"] == ["python", "-m", "awslambdaric"]
    module, _, name = function["ImageConfig"]["Command"][0].rpartition(".")
    assert len(inspect.signature(getattr(importlib.import_module(module), name)).parameters) == 2


def test_the_function_is_in_the_private_subnets(made: Template) -> None:
    (function,) = of_kind(made, "AWS::Lambda::Function")
    assert len(function["VpcConfig"]["SubnetIds"]) == 3
    assert function["VpcConfig"]["SecurityGroupIds"]


def test_a_look_that_failed_is_not_repeated_since_the_next_minute_does(made: Template) -> None:
    made.has_resource_properties("AWS::Lambda::EventInvokeConfig", {"MaximumRetryAttempts": 0})


def test_compaction_runs_every_hour_and_ends(made: Template) -> None:
    made.has_resource_properties(
        "AWS::Scheduler::Schedule",
        {
            "Name": "llm-platform-compact",
            "ScheduleExpression": Match.string_like_regexp(r"cron\(\d+ \* \* \* \? \*\)"),
        },
    )
    told = container(made, "llm-platform-compact")
    assert _parser().parse_args(told["Command"][3:]).command == "compact"


def test_all_of_it_is_paid_for_as_evaluation(made: Template) -> None:
    for kind in ("AWS::ECS::Service", "AWS::ECS::TaskDefinition", "AWS::Lambda::Function"):
        for one in of_kind(made, kind):
            assert {"Key": TAG, "Value": "evaluate"} in one["Tags"], kind
