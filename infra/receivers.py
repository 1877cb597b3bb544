"""Who hears of alarms: PagerDuty what is critical, a Slack channel and a mailbox both; each if it is named.

A mailbox confirms its subscription by a link; PagerDuty does so by itself. `llm-platform watch receivers`
tells who has.
"""

from typing import Final

from aws_cdk import aws_chatbot as chatbot
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra.layers import PREFIX
from infra.reasons import explain
from infra.settings import Receivers
from infra.stacks.data import DataStack
from llmplatform.aws.tables import CRITICAL_ALARMS, WARNING_ALARMS

_READS_ALARMS: Final = ("cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics")
"""What Slack's bot shows a graph of beside an alarm; it may be asked for nothing else."""


def subscribe(scope: Construct, receivers: Receivers, data: DataStack) -> None:
    """Subscribe everybody that a deployment names."""
    critical, warning = (_topic(scope, topic.name, data) for topic in (CRITICAL_ALARMS, WARNING_ALARMS))
    if receivers.pagerduty_parameter is not None:
        address = ssm.StringParameter.value_for_string_parameter(scope, receivers.pagerduty_parameter)
        critical.add_subscription(
            subscriptions.UrlSubscription(address, protocol=sns.SubscriptionProtocol.HTTPS)
        )
    if receivers.email is not None:
        for topic in (critical, warning):
            topic.add_subscription(subscriptions.EmailSubscription(receivers.email))
    if receivers.slack_workspace_id is not None and receivers.slack_channel_id is not None:
        _slack(scope, receivers.slack_workspace_id, receivers.slack_channel_id, [critical, warning])


def _topic(scope: Construct, name: str, data: DataStack) -> sns.ITopic:
    """The topic as this stack sees it: a subscription in the data stack would depend on this one."""
    return sns.Topic.from_topic_arn(scope, name, data.topics[name].topic_arn)


def _slack(scope: Construct, workspace_id: str, channel_id: str, topics: list[sns.ITopic]) -> None:
    may = iam.ManagedPolicy(
        scope,
        "slack-guard",
        managed_policy_name=f"{PREFIX}-slack",
        description="What the channel of alarms may ask of the account, whatever role it has",
        statements=[iam.PolicyStatement(sid="Alarms", actions=list(_READS_ALARMS), resources=["*"])],
    )
    explain(may, {"AwsSolutions-IAM5[Resource::*]": "alarms and metrics have no resource to name"})
    channel = chatbot.SlackChannelConfiguration(
        scope,
        "slack",
        slack_channel_configuration_name=PREFIX,
        slack_workspace_id=workspace_id,
        slack_channel_id=channel_id,
        notification_topics=topics,
        guardrail_policies=[may],
        logging_level=chatbot.LoggingLevel.ERROR,
    )
    may.attach_to_role(channel.role)
