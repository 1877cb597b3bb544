"""Whose alarms are whose: the job's, those of people who add tenants, and CloudFormation's."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from harness.alarm_world import alarms
from harness.iam_may import May
from infra.app import Platform
from infra.settings import Deployment
from watch.alarming.planning import Selection

CHANGES: Final = (
    "cloudwatch:DeleteAlarms",
    "cloudwatch:DisableAlarmActions",
    "cloudwatch:PutMetricAlarm",
    "cloudwatch:SetAlarmState",
    "cloudwatch:TagResource",
    "cloudwatch:UntagResource",
)
KEEPS: Final = [
    "cloudwatch:DeleteAlarms",
    "cloudwatch:PutMetricAlarm",
    "cloudwatch:SetAlarmState",
    "cloudwatch:TagResource",
]
ANYBODYS: Final = ("somebody-elses", "llm-platform", "llm-platform-tenant/acme/ttft")


@pytest.fixture(scope="module", name="may")
def all_roles(prod: Platform, deployment: Deployment) -> May:
    return May.of(prod, deployment)


@pytest.fixture(scope="module", name="deployed")
def names_in_templates(prod: Platform, template: Callable[[Stack], Template]) -> frozenset[str]:
    """Every alarm that CloudFormation makes."""
    return frozenset(
        alarm["Properties"]["AlarmName"]
        for stack in (prod.data, prod.gateway, prod.evaluation, prod.cost, prod.watch)
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for alarm in template(stack).find_resources(kind).values()
    )


def chosen(selection: Selection) -> Sequence[str]:
    """The alarms of a small world that a selection takes in."""
    return [name for name, definition in alarms().items() if selection.wants(definition)]


def changed_by(may: May, who: str, names: Collection[str]) -> dict[str, list[str]]:
    found = {name: may.any(who, CHANGES, may.account.arn("cloudwatch", f"alarm:{name}")) for name in names}
    return {name: actions for name, actions in found.items() if actions}


def test_the_job_keeps_all_that_comes_and_goes(may: May) -> None:
    kept = chosen(Selection())
    assert changed_by(may, "alarms", kept) == dict.fromkeys(kept, KEEPS)


def test_who_adds_tenants_keeps_their_alarms_and_no_others(may: May) -> None:
    of_tenants = [*chosen(Selection(tenant="acme")), *chosen(Selection(tenant="globex"))]
    assert changed_by(may, "tenants", chosen(Selection(platform_wide=True))) == dict.fromkeys(
        of_tenants, KEEPS
    )


@pytest.mark.parametrize("who", ["alarms", "tenants"])
def test_neither_can_silence_or_ring_what_the_deployment_made(
    may: May, who: str, deployed: frozenset[str]
) -> None:
    kinds = {name.split("/")[1] for name in deployed}
    assert {"rollback", "archive-stale", "archive-refused", "platform"} <= kinds
    assert changed_by(may, who, deployed) == {}
    assert changed_by(may, who, ANYBODYS) == {}


def test_who_erases_tenants_changes_no_alarm_by_that(may: May, deployed: frozenset[str]) -> None:
    assert changed_by(may, "erasure", [*deployed, *chosen(Selection())]) == {}
