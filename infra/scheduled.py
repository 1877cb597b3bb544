"""A job that EventBridge Scheduler starts: the schedule, the role that it starts it with, its dead letters.

It starts at its time and no later; a start that fails is tried again as the schedule says and then lies in
the dead letters. That a job was started says nothing of what became of it: it says so itself, and the alarm
that rings when it says nothing is one of the platform's (`watch.tables.alarms_of_platform`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.layers import PREFIX
from infra.process import FargateProcess
from infra.reasons import explain
from infra.settings import Deployment
from infra.stacks.network import NetworkStack
from llmplatform.aws.schedules import Schedule
from watch.alarms import BY_KEY
from watch.tables.rules import MetricRule


@dataclass(frozen=True, slots=True)
class Started:
    """What a schedule starts, and what its role needs for that."""

    target: dict[str, object]
    statements: Sequence[iam.PolicyStatement]
    reasons: dict[str, str]
    """Of cdk-nag's findings on the role."""


class ScheduledJob(Construct):
    """A job's schedule. Raises ValueError where no alarm would tell that it did not run."""

    def __init__(
        self,
        scope: Construct,
        schedule: Schedule,
        *,
        deployment: Deployment,
        starts: Started,
        dead_letters: sqs.IQueue,
        told_by: str,
    ) -> None:
        """`told_by` is the key of the alarm that rings when the job did not run."""
        super().__init__(scope, f"{schedule.job}-schedule")
        rule = BY_KEY.get(told_by)
        if not isinstance(rule, MetricRule) or rule.scope != "platform":
            raise ValueError(f"{schedule.job}: {told_by} is no alarm of the platform's")
        # A group of its own, so that the role is of use to this schedule alone, and figures are told by job.
        group = scheduler.CfnScheduleGroup(self, "group", name=f"{PREFIX}-{schedule.job}")
        role = iam.Role(
            self,
            "role",
            role_name=f"{PREFIX}-{schedule.job}-schedule",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {
                        "aws:SourceAccount": deployment.account,
                        "aws:SourceArn": group.attr_arn,
                    }
                },
            ),
            inline_policies={
                "start": iam.PolicyDocument(
                    statements=[
                        *starts.statements,
                        iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[dead_letters.queue_arn]),
                    ]
                )
            },
        )
        if starts.reasons:
            explain(role, starts.reasons)
        scheduler.CfnSchedule(
            self,
            "schedule",
            name=f"{PREFIX}-{schedule.job}",
            group_name=group.ref,
            schedule_expression=schedule.expression,
            schedule_expression_timezone="UTC",
            flexible_time_window={"mode": "OFF"},
            target={
                **starts.target,
                "roleArn": role.role_arn,
                "deadLetterConfig": {"arn": dead_letters.queue_arn},
                "retryPolicy": {
                    "maximumRetryAttempts": schedule.attempts,
                    "maximumEventAgeInSeconds": int(schedule.within.total_seconds()),
                },
            },
        )


def a_task(scope: Construct, process: FargateProcess, network: NetworkStack, name: str) -> Started:
    """One task of a process in the private subnets, which ends by itself."""
    group = network.task_security_group(scope, name)
    subnets = network.vpc.select_subnets(subnet_group_name=network.task_subnets.subnet_group_name)
    revision = process.task.task_definition_arn
    stack = Stack.of(scope)
    tasks = f"arn:aws:ecs:{stack.region}:{stack.account}:task/{PREFIX}/*"
    return Started(
        target={
            "arn": network.cluster.cluster_arn,
            "ecsParameters": {
                "taskDefinitionArn": revision,
                "taskCount": 1,
                "launchType": "FARGATE",
                "platformVersion": "1.4.0",
                "propagateTags": "TASK_DEFINITION",
                "networkConfiguration": {
                    "awsvpcConfiguration": {
                        "subnets": subnets.subnet_ids,
                        "securityGroups": [group.security_group_id],
                        "assignPublicIp": "DISABLED",
                    }
                },
            },
        },
        statements=(
            iam.PolicyStatement(
                actions=["ecs:RunTask"],
                resources=[revision],
                conditions={"ArnEquals": {"ecs:cluster": network.cluster.cluster_arn}},
            ),
            iam.PolicyStatement(
                actions=["ecs:TagResource"],
                resources=[tasks],
                conditions={"StringEquals": {"ecs:CreateAction": "RunTask"}},
            ),
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[process.task.task_role.role_arn, process.task.obtain_execution_role().role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
        ),
        reasons={
            f"AwsSolutions-IAM5[Resource::{tasks}]": "a task has its id when it is started; it may be tagged "
            "then and at no other time"
        },
    )


def a_function(function: lambda_.IFunction) -> Started:
    """One invocation of a function, not waited for."""
    return Started(
        target={"arn": function.function_arn},
        statements=(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn]),
        ),
        reasons={},
    )
