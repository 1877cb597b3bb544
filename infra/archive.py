"""Where log lines are for the years after their group has forgotten them: S3 Glacier Instant Retrieval.

Every line goes there as it is logged: subscription filter, Firehose, bucket. A group that is not archived
(content) has no filter. What Firehose cannot read goes beside it, under `errors/`; what holds it up rings.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from aws_cdk import Duration, RemovalPolicies, Size
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_logs_destinations as destinations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.reasons import explain
from infra.removal import removal_policy
from infra.settings import Deployment
from llmplatform.aws.tables import LOG_RETENTION_DAYS, LOGS_KEY, Bucket, LogGroup

BUCKET: Final = Bucket("llm-platform-log-archive", LOGS_KEY)
DELIVERIES: Final = "/llm-platform/log-archive"
"""Then the name of a group: why its lines could not be delivered."""
KEPT_DAYS: Final = LOG_RETENTION_DAYS + 2 * 365
"""Two years from the day on which its group forgets a line."""
ERRORS_KEPT_DAYS: Final = LOG_RETENTION_DAYS
_FILLED_WITHIN: Final = Duration.minutes(15)
"""The longest that Firehose takes: objects under 128 KiB stay where they are dear."""
STALE_AFTER: Final = Duration.hours(2)


class LogArchive(Construct):
    """The way of each group's lines to `bucket`."""

    def __init__(
        self,
        scope: Construct,
        *,
        deployment: Deployment,
        groups: Mapping[LogGroup, logs.LogGroup],
        bucket: s3.Bucket,
        key: kms.Key,
        topic: sns.Topic,
    ) -> None:
        super().__init__(scope, "log-archive")
        self._bucket, self._key, self._topic = bucket, key, topic
        self._removal = removal_policy(deployment)
        archived = {group.name.rpartition("/")[2]: made for group, made in groups.items() if group.archived}
        self._writer = self._role("writer", "firehose", deployment, self._writing(deployment))
        self._sender = self._role("sender", "logs", deployment, _sending(deployment, archived))
        for name, made in archived.items():
            self._send(made, name)

    def _role(
        self, name: str, service: str, deployment: Deployment, statements: list[iam.PolicyStatement]
    ) -> iam.IRole:
        """A role with these permissions, whatever else CDK would like to give it."""
        made = iam.Role(
            self,
            name,
            role_name=f"llm-platform-log-archive-{name}",
            assumed_by=iam.ServicePrincipal(
                f"{service}.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": deployment.account},
                    "ArnLike": {
                        "aws:SourceArn": f"arn:aws:{service}:{deployment.region}:{deployment.account}:*"
                    },
                },
            ),
            inline_policies={"archive": iam.PolicyDocument(statements=statements)},
        )
        explain(
            made,
            {
                f"AwsSolutions-IAM5[Resource::{resource}]": "whatever lies there is the archive's"
                for statement in statements
                for resource in statement.resources
                if resource.endswith("/*")
            },
        )
        return made.without_policy_updates()

    def _writing(self, deployment: Deployment) -> list[iam.PolicyStatement]:
        bucket = f"arn:aws:s3:::{BUCKET.name(deployment.account, deployment.region)}"
        return [
            iam.PolicyStatement(
                actions=["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                resources=[bucket],
            ),
            iam.PolicyStatement(
                actions=["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
                resources=[f"{bucket}/logs/*", f"{bucket}/errors/*"],
            ),
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[self._key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{deployment.region}.amazonaws.com"}},
            ),
            iam.PolicyStatement(
                actions=["logs:PutLogEvents"], resources=[f"{_logs(deployment)}:{DELIVERIES}/*"]
            ),
        ]

    def _send(self, group: logs.LogGroup, name: str) -> None:
        """A delivery stream of its own: what is extracted from a batch no longer tells its group."""
        when = "!{timestamp:yyyy/MM/dd}/"
        # Not archived: a delivery that fails would have to be told by one that fails.
        told = logs.LogGroup(
            self,
            f"{name}-deliveries",
            log_group_name=f"{DELIVERIES}/{name}",
            retention=logs.RetentionDays.THREE_MONTHS,
            encryption_key=self._key,
            removal_policy=self._removal,
        )
        stream = firehose.DeliveryStream(
            self,
            name,
            delivery_stream_name=_stream_name(name),
            role=self._writer,
            encryption=firehose.StreamEncryption.customer_managed_key(self._key),
            destination=firehose.S3Bucket(
                self._bucket,
                role=self._writer,
                data_output_prefix=f"logs/{name}/{when}",
                error_output_prefix=f"errors/{name}/!{{firehose:error-output-type}}/{when}",
                buffering_interval=_FILLED_WITHIN,
                buffering_size=Size.mebibytes(128),
                compression=firehose.Compression.GZIP,
                file_extension=".jsonl.gz",
                processors=[
                    firehose.DecompressionProcessor(),
                    firehose.CloudWatchLogProcessor(data_message_extraction=True),
                ],
                logging_config=firehose.EnableLogging(told),
            ),
        )
        # The library makes a stream in it, which would stay where the group goes.
        RemovalPolicies.of(told).apply(self._removal)
        group.add_subscription_filter(
            f"archive-{name}",
            filter_name="archive",
            filter_pattern=logs.FilterPattern.all_events(),
            destination=destinations.FirehoseDestination(stream, role=self._sender),
        )
        self._watch(name, group, stream, told)

    def _watch(
        self, name: str, group: logs.LogGroup, stream: firehose.DeliveryStream, told: logs.LogGroup
    ) -> None:
        stale = cloudwatch.Alarm(
            self,
            f"{name}-is-stale",
            alarm_name=f"llm-platform/archive-stale/{name}",
            alarm_description=(
                f"Lines of {name} have waited for the archive for {STALE_AFTER.to_hours()} h. Firehose tries "
                "for a day, then they are lost to the archive; their group keeps them for 90 days. "
                f"Its reasons are in {told.log_group_name}."
            ),
            metric=stream.metric(
                "DeliveryToS3.DataFreshness", statistic="Maximum", period=Duration.minutes(5)
            ),
            threshold=STALE_AFTER.to_seconds(),
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=3,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,  # nothing was logged
        )
        refused = cloudwatch.Alarm(
            self,
            f"{name}-is-refused",
            alarm_name=f"llm-platform/archive-refused/{name}",
            alarm_description=(
                f"CloudWatch Logs could not hand lines of {name} over to the archive, and does not try again "
                "where it may not: deploy the data stack again, if somebody has changed role or stream."
            ),
            metric=cloudwatch.Metric(
                namespace="AWS/Logs",
                metric_name="DeliveryErrors",
                dimensions_map={
                    "LogGroupName": group.log_group_name,
                    "DestinationType": "Firehose",
                    "FilterName": "archive",
                },
                statistic="Sum",
                period=Duration.minutes(5),
            ),
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        for alarm in (stale, refused):
            alarm.add_alarm_action(actions.SnsAction(self._topic))
            alarm.add_ok_action(actions.SnsAction(self._topic))


def _sending(deployment: Deployment, names: Iterable[str]) -> list[iam.PolicyStatement]:
    streams = f"arn:aws:firehose:{deployment.region}:{deployment.account}:deliverystream"
    return [
        iam.PolicyStatement(
            actions=["firehose:PutRecord", "firehose:PutRecordBatch"],
            resources=[f"{streams}/{_stream_name(name)}" for name in names],
        )
    ]


def _logs(deployment: Deployment) -> str:
    return f"arn:aws:logs:{deployment.region}:{deployment.account}:log-group"


def _stream_name(name: str) -> str:
    return f"llm-platform-logs-{name}"
