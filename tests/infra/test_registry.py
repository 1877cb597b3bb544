"""Images stay while anything may still be started from them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.registry import COLLECTOR, PLATFORM

Of = Callable[[Stack], Template]


@pytest.fixture(name="repositories", params=["dev", "prod"])
def repositories_of_a_deployment(request: pytest.FixtureRequest, template: Of) -> dict[str, dict[str, Any]]:
    deployed: Platform = request.getfixturevalue(request.param)
    made = template(deployed.data).find_resources("AWS::ECR::Repository").values()
    return {one["Properties"]["RepositoryName"]: one["Properties"] for one in made}


def test_the_collector_has_a_repository_of_its_own(repositories: dict[str, dict[str, Any]]) -> None:
    assert set(repositories) == {PLATFORM, COLLECTOR}


def test_an_image_that_was_pushed_is_looked_at_and_never_replaced(
    repositories: dict[str, dict[str, Any]],
) -> None:
    for made in repositories.values():
        assert made["ImageTagMutability"] == "IMMUTABLE"
        assert made["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_no_rule_expires_an_image_that_has_a_tag(repositories: dict[str, dict[str, Any]]) -> None:
    for made in repositories.values():
        rules = json.loads(made["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert {rule["selection"]["tagStatus"] for rule in rules} == {"untagged"}


@pytest.mark.parametrize(("container", "repository"), [("gateway", PLATFORM), ("collector", COLLECTOR)])
def test_a_container_is_pulled_from_its_repository(
    container: str, repository: str, prod: Platform, template: Of
) -> None:
    made = template(prod.data).find_resources(
        "AWS::ECR::Repository", {"Properties": {"RepositoryName": repository}}
    )
    (task,) = template(prod.gateway).find_resources("AWS::ECS::TaskDefinition").values()
    (image,) = (
        one["Image"] for one in task["Properties"]["ContainerDefinitions"] if one["Name"] == container
    )
    assert f"Ref{next(iter(made))}" in json.dumps(image)
