"""The alarms about the platform itself, which are the same in every account: made with the stack.

They are `watch`'s own definitions, so this puts what `llm-platform watch apply --platform-wide` would; those
of tenants, endpoints, models and scores are the alarms job's.
"""

from typing import Final

from aws_cdk import CfnResource
from constructs import Construct

from infra.settings import Deployment
from watch.alarming.alarm_wire import Kind, arguments_of, kind_of, tags_of
from watch.alarming.definitions import AccountNames, definitions_of
from watch.tables.targets import Platform

_RESOURCE_TYPES: Final[dict[Kind, str]] = {
    "metric": "AWS::CloudWatch::Alarm",
    "composite": "AWS::CloudWatch::CompositeAlarm",
}


class PlatformAlarms(Construct):
    """Every alarm of the scope `platform`, sent to the topic of its severity."""

    def __init__(self, scope: Construct, name: str, deployment: Deployment) -> None:
        super().__init__(scope, name)
        account = AccountNames(deployment.account, deployment.region, deployment.hosts.console_url)
        made: dict[str, CfnResource] = {}
        for definition in definitions_of(Platform(), deployment.alarm_limits, account):
            alarm = CfnResource(
                self,
                definition.name.rpartition("/")[2],
                type=_RESOURCE_TYPES[kind_of(definition)],
                # CloudFormation names an alarm's members as the API does.
                properties={**arguments_of(definition), "Tags": tags_of(definition)},
            )
            for other in sorted(definition.depends_on):
                alarm.add_resource_dependency(made[other])
            made[definition.name] = alarm
