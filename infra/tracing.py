"""What X-Ray is told once an account and region: where spans go, and which traces can be searched.

X-Ray takes spans by OTLP only while they go to CloudWatch Logs (Transaction Search): to the group
`aws/spans`, which X-Ray makes itself. Nobody else may make a group of such a name, so no template can say how
long it keeps what it has; a schedule says it every day.
"""

import json
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_xray as xray
from constructs import Construct

from infra.reasons import explain
from infra.settings import Deployment

SPANS: Final = "aws/spans"
SPANS_KEPT_DAYS: Final = 30
INDEXED_PERCENT: Final = 100
"""Of the traces that reach X-Ray: the gateway has chosen them (a tenth by chance, and what is worth it)."""
RULE_RATE: Final = 0.1
"""Of the requests of whoever asks X-Ray what to keep; the gateway asks nobody."""


class Tracing(Construct):
    """Transaction Search, its retention, and the sampling rule."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        super().__init__(scope, "tracing")
        if deployment.tracing.transaction_search:
            self._search(deployment)
            self._retention(deployment)
        xray.CfnSamplingRule(
            self,
            "sampling-rule",
            sampling_rule=xray.CfnSamplingRule.SamplingRuleProperty(
                rule_name="llm-platform",
                priority=1_000,
                fixed_rate=RULE_RATE,
                reservoir_size=1,
                service_name="llm-platform-*",
                service_type="*",
                host="*",
                http_method="*",
                url_path="*",
                resource_arn="*",
                version=1,
            ),
        )

    def _search(self, deployment: Deployment) -> None:
        allowed = logs.CfnResourcePolicy(
            self,
            "xray-writes-spans",
            policy_name="llm-platform-xray-writes-spans",
            policy_document=Stack.of(self).to_json_string(_xray_writes_spans(deployment)),
        )
        search = xray.CfnTransactionSearchConfig(
            self, "transaction-search", indexing_percentage=INDEXED_PERCENT
        )
        search.add_resource_dependency(allowed)

    def _retention(self, deployment: Deployment) -> None:
        group = f"arn:aws:logs:{deployment.region}:{deployment.account}:log-group:{SPANS}"
        role = iam.Role(
            self,
            "keeps-retention",
            role_name="llm-platform-spans-retention",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": deployment.account}},
            ),
            inline_policies={
                "retention": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["logs:PutRetentionPolicy"], resources=[group, f"{group}:*"]
                        )
                    ]
                )
            },
        )
        explain(
            role,
            {f"AwsSolutions-IAM5[Resource::{group}:*]": "one log group, as some calls write its name"},
        )
        scheduler.CfnSchedule(
            self,
            "retention",
            name="llm-platform-spans-retention",
            description=f"{SPANS} keeps {SPANS_KEPT_DAYS} days",
            schedule_expression="rate(1 day)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn="arn:aws:scheduler:::aws-sdk:cloudwatchlogs:putRetentionPolicy",
                role_arn=role.role_arn,
                input=json.dumps({"LogGroupName": SPANS, "RetentionInDays": SPANS_KEPT_DAYS}),
                # What fails today (there is no such group before the first span) is asked again tomorrow.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=3),
            ),
        )


def _xray_writes_spans(deployment: Deployment) -> dict[str, object]:
    account, region = deployment.account, deployment.region
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "xray.amazonaws.com"},
                "Action": "logs:PutLogEvents",
                "Resource": [
                    f"arn:aws:logs:{region}:{account}:log-group:{SPANS}:*",
                    f"arn:aws:logs:{region}:{account}:log-group:/aws/application-signals/data:*",
                ],
                "Condition": {
                    "ArnLike": {"aws:SourceArn": f"arn:aws:xray:{region}:{account}:*"},
                    "StringEquals": {"aws:SourceAccount": account},
                },
            }
        ],
    }
