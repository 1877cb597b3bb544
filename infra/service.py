"""A process that always runs: spread over the zones, rolled out with a way back, scaled by what it is asked.

The tasks are in the private subnets and have no public address; nobody can open a shell in one. What scales a
service, and what rolls it back beside failing to start, is its own stack's to say.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration, TimeZone
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.layers import PREFIX
from infra.process import FargateProcess
from infra.settings import Tasks
from infra.stacks.network import NetworkStack

HEALTHY_AFTER_S: Final = 120
"""How long a new task may take before the load balancer's opinion of it counts."""


class FargateService(Construct):
    """The service of one process.

    A new version comes beside the old one, which goes when the new one is healthy. It is rolled back when its
    tasks do not start, and when one of `rollback_alarms` rings while it is rolled out.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        process: FargateProcess,
        network: NetworkStack,
        tasks: Tasks,
        rollback_alarms: Sequence[cloudwatch.IAlarm] = (),
        behind_load_balancer: bool = False,
    ) -> None:
        super().__init__(scope, f"{name}-service")
        self.security_group: ec2.ISecurityGroup = network.task_security_group(self, name)
        self.service = ecs.FargateService(
            self,
            "service",
            service_name=f"{PREFIX}-{name}",
            cluster=network.cluster,
            task_definition=process.task,
            # Without a number: it is what scaling made of it, whatever else is deployed.
            desired_count=None,
            vpc_subnets=network.task_subnets,
            security_groups=[self.security_group],
            assign_public_ip=False,
            platform_version=ecs.FargatePlatformVersion.VERSION1_4,
            min_healthy_percent=100,
            max_healthy_percent=200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            deployment_alarms=ecs.DeploymentAlarmConfig(
                alarm_names=[alarm.alarm_name for alarm in rollback_alarms],
                behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM,
            )
            if rollback_alarms
            else None,
            health_check_grace_period=Duration.seconds(HEALTHY_AFTER_S) if behind_load_balancer else None,
            enable_execute_command=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        self.scaling: ecs.ScalableTaskCount = self.service.auto_scale_task_count(
            min_capacity=tasks.least, max_capacity=tasks.most
        )
        for at, schedule in enumerate(tasks.schedules):
            self.scaling.scale_on_schedule(
                f"schedule-{at}",
                schedule=autoscaling.Schedule.expression(f"cron({schedule.cron})"),
                time_zone=TimeZone.of(schedule.time_zone),
                min_capacity=schedule.least,
                max_capacity=schedule.most,
            )
