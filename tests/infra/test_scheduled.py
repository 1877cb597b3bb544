"""Every schedule of the account: when it starts what, as whom, and who hears when it does not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.scheduled import ScheduledJob, Started
from infra.settings import Deployment
from llmplatform import metrics
from llmplatform.aws.schedules import DEAD_LETTERS, DRIFT, SCHEDULES
from watch.alarms import BY_KEY
from watch.limits import Limits
from watch.tables.rules import MetricRule
from watch.tables.targets import Platform as Watched

Of = Callable[[Stack], Template]

TOLD_BY = {
    "drift": "drift-not-run",
    "compact": "compaction-not-run",
    "cost-job": "cost-not-run",
    "reconcile": "reconciliation-overdue",
    "budget-handler": "account-budget-not-read",
}


def stacks(platform: Platform) -> Iterator[Stack]:
    yield from (one for one in vars(platform).values() if isinstance(one, Stack))


def schedules(platform: Platform, template: Of) -> dict[str, dict[str, Any]]:
    """By name."""
    return {
        one["Properties"]["Name"].removeprefix("llm-platform-"): one["Properties"]
        for stack in stacks(platform)
        for one in template(stack).find_resources("AWS::Scheduler::Schedule").values()
    }


def resource(platform: Platform, template: Of, kind: str, **properties: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        one["Properties"]
        for stack in stacks(platform)
        for one in template(stack).find_resources(kind).values()
        if all(one["Properties"].get(name) == value for name, value in properties.items())
    ]
    (only,) = found
    return only


def test_every_job_has_its_schedule(prod: Platform, template: Of) -> None:
    made = schedules(prod, template)
    assert {schedule.job for schedule in SCHEDULES} <= made.keys()
    for schedule in SCHEDULES:
        assert made[schedule.job]["ScheduleExpression"] == schedule.expression
        assert made[schedule.job]["ScheduleExpressionTimezone"] == "UTC"


def test_a_job_starts_at_its_time_and_no_later(prod: Platform, template: Of) -> None:
    for one in schedules(prod, template).values():
        assert one["FlexibleTimeWindow"] == {"Mode": "OFF"}


def test_a_start_that_fails_is_tried_again_within_bounds_and_then_lies_in_the_dead_letters(
    prod: Platform, template: Of
) -> None:
    for schedule in SCHEDULES:
        target = schedules(prod, template)[schedule.job]["Target"]
        assert target["RetryPolicy"] == {
            "MaximumEventAgeInSeconds": schedule.within.total_seconds(),
            "MaximumRetryAttempts": schedule.attempts,
        }
        assert "deadletters" in str(target["DeadLetterConfig"]["Arn"])


def test_the_dead_letters_are_encrypted_kept_for_two_weeks_and_watched(prod: Platform, template: Of) -> None:
    queue = resource(prod, template, "AWS::SQS::Queue", QueueName=DEAD_LETTERS)
    assert queue["SqsManagedSseEnabled"]
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    rule = BY_KEY["dead-letters"]
    assert isinstance(rule, MetricRule)
    assert dict(rule.reading.dimensions) == {"QueueName": DEAD_LETTERS}


def statements(role: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By action."""
    (policy,) = role["Policies"]
    return {one["Action"]: one for one in policy["PolicyDocument"]["Statement"]}


@pytest.mark.parametrize("job", [schedule.job for schedule in SCHEDULES])
def test_a_schedule_starts_its_own_job_and_nothing_else(prod: Platform, template: Of, job: str) -> None:
    role = resource(prod, template, "AWS::IAM::Role", RoleName=f"llm-platform-{job}-schedule")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    only = trust["Condition"]["StringEquals"]
    assert only["aws:SourceAccount"] == "111111111111"
    assert job.replace("-", "") in str(only["aws:SourceArn"])
    allowed = statements(role)
    assert allowed.keys() in (
        {"lambda:InvokeFunction", "sqs:SendMessage"},
        {"ecs:RunTask", "ecs:TagResource", "iam:PassRole", "sqs:SendMessage"},
    )
    assert all(one["Resource"] != "*" for one in allowed.values())
    if "iam:PassRole" in allowed:
        passed = allowed["iam:PassRole"]
        assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
        assert len(passed["Resource"]) == 2
        assert "ecs:cluster" in allowed["ecs:RunTask"]["Condition"]["ArnEquals"]


def test_tasks_are_started_in_the_private_subnets(prod: Platform, template: Of) -> None:
    tasks = [
        one["Target"]["EcsParameters"]
        for one in schedules(prod, template).values()
        if "EcsParameters" in one["Target"]
    ]
    assert len(tasks) >= 3
    for task in tasks:
        network = task["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert len(network["Subnets"]) == 3
        assert task["TaskCount"] == 1


@pytest.mark.parametrize("job", [schedule.job for schedule in SCHEDULES])
def test_a_job_that_does_not_run_rings(job: str) -> None:
    """By what the job, or one that looks after it, publishes: silence is bad, or a number tells."""
    rule = BY_KEY[TOLD_BY[job]]
    assert isinstance(rule, MetricRule)
    assert rule.notifies
    assert rule.severity != "information"
    assert rule.reading.metric in metrics.METRICS.values()
    assert rule.missing == "breaching" or rule.reading.metric is metrics.RECONCILIATION_OVERDUE_DAYS


def test_what_only_schedules_bring_about_is_not_waited_for_where_there_are_none() -> None:
    there, away = Limits(), Limits(scheduled_jobs=False)
    for key in ("compaction-not-run", "account-budget-not-read", "dead-letters"):
        rule = BY_KEY[key]
        assert isinstance(rule, MetricRule)
        assert rule.threshold.value(Watched(), there) is not None
        assert rule.threshold.value(Watched(), away) is None


def test_a_schedule_that_no_alarm_watches_is_refused(deployment: Deployment) -> None:
    stack = Stack(App(), "stack")
    queue = sqs.Queue(stack, "queue")
    with pytest.raises(ValueError, match="drift: no-such is no alarm"):
        ScheduledJob(
            stack,
            DRIFT,
            deployment=deployment,
            starts=Started({}, (), {}),
            dead_letters=queue,
            told_by="no-such",
        )
