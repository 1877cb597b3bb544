"""The AWS Budget of observing: what it counts, whom it tells, and what holds sampling down when it does.

It counts what bears the cost-allocation tag with one of the layers, once the tag is active in billing. At
each step of `llmplatform.account_budget` it tells a topic; the handler reads the budget, sets the brake that
every gateway reads, and says so. A schedule has the handler look too: a message that is lost costs hours, and
the brake lets go by itself. The handler is outside the network: AWS Budgets has no endpoint in it, and the
handler knows no content.
"""

from typing import Final, get_args

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.function import FunctionProcess
from infra.layers import PREFIX, TAG, Layer
from infra.scheduled import ScheduledJob, a_function
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from llmplatform.account_budget import BUDGET_NAME, STEPS
from llmplatform.aws.schedules import ACCOUNT_BUDGET
from llmplatform.aws.tables import COSTAGG_LOGS
from watch.alarming.definitions import COST_TAG

TOPIC: Final = f"{PREFIX}-budget"
COUNTED: Final = (*get_args(Layer), COST_TAG[1])
"""Values of the tag: a stack's layer, and the alarms, which have their own."""


class ObservabilityBudget(Construct):
    """Budget, topic and handler."""

    def __init__(
        self, scope: Construct, deployment: Deployment, *, data: DataStack, identity: IdentityStack
    ) -> None:
        super().__init__(scope, "budget")
        topic = self._topic(deployment, data)
        handler = FunctionProcess(
            self,
            "budget-handler",
            deployment=deployment,
            repository=data.repository,
            role=identity.roles["budget-handler"],
            log_group=data.log_groups[COSTAGG_LOGS.name],
            handler="costagg.account_budget.lambda_handler.handler",
            environment={},
            memory_mib=512,
            timeout_s=60,
            attempts=2,
            dead_letters=data.dead_letters,
        )
        topic.add_subscription(subscriptions.LambdaSubscription(handler.function))
        ScheduledJob(
            self,
            ACCOUNT_BUDGET,
            deployment=deployment,
            starts=a_function(handler.function),
            dead_letters=data.dead_letters,
            told_by="account-budget-not-read",
        )
        budget = budgets.CfnBudget(
            self,
            "budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=BUDGET_NAME,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(
                    amount=float(deployment.budget.monthly_usd), unit="USD"
                ),
                cost_filters={"TagKeyValue": [f"user:{TAG}${value}" for value in COUNTED]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type="ACTUAL",
                        threshold=float(step.from_percent),
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(address=topic.topic_arn, subscription_type="SNS")
                    ],
                )
                for step in STEPS
            ],
        )
        # AWS Budgets refuses a topic that it may not publish to.
        budget.node.add_dependency(topic)

    def _topic(self, deployment: Deployment, data: DataStack) -> sns.Topic:
        topic = sns.Topic(self, "topic", topic_name=TOPIC, master_key=data.keys["topics"], enforce_ssl=True)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Budgets",
                principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": deployment.account},
                    "ArnLike": {"aws:SourceArn": f"arn:aws:budgets::{deployment.account}:*"},
                },
            )
        )
        return topic
