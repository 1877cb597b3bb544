"""What is kept: keys, stream, tables, buckets, log groups, topics and the registry of images.

Made from `llmplatform.aws.tables`; nothing of it is defined a second time here. How long what is kept:

| what | how long | who forgets it |
|---|---|---|
| metrics | 15 months | CloudWatch, by itself |
| log lines | 90 days, then 2 years in S3 Glacier Instant Retrieval | the group; the archive's lifecycle |
| opted-in content | 7 days, never archived | its group |
| traces | 30 days | X-Ray, by itself; `aws/spans` by `infra.tracing` |
| results of evaluation | 90 days | the table's time to live |
| history of evaluation | until its tenant is erased | `llm-platform tenant erase` |
"""

from typing import Final, TypeVar

from aws_cdk import App, Duration, Tags
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from infra import archive
from infra.keys import make_key
from infra.layers import TAG, Layer, PlatformStack
from infra.reasons import explain
from infra.registry import COLLECTOR, PLATFORM, repository
from infra.removal import removal_policy
from infra.settings import Deployment
from infra.tracing import Tracing
from llmplatform.aws.schedules import DEAD_LETTERS, DEAD_LETTERS_KEPT_DAYS
from llmplatform.aws.tables import (
    BUCKETS,
    DATA_KEYS,
    EVAL_STREAM,
    LOG_GROUPS,
    LOGS_KEY,
    TABLES,
    TOPICS,
    WARNING_ALARMS,
    Bucket,
    DataClass,
    DataKey,
    KeyAttribute,
    LogGroup,
    Table,
    Topic,
)

LAYERS: Final[dict[DataClass, Layer]] = {
    "samples": "evaluate",
    "scores": "evaluate",
    "usage": "attribute",
    "logs": "collect",
    "content-logs": "collect",
    "access": "collect",
    "topics": "watch",
}
"""Which part of observing the data of a class is there for."""
ACCESS_LOGS: Final = "llm-platform-access-logs"
ACCESS_LOGS_KEPT_DAYS: Final = 90
REPLACED_KEPT_DAYS: Final = 30
"""For what compaction, or a mistake, put something else in the place of."""
UPLOADS_ABORTED_DAYS: Final = 7
POINT_IN_TIME_DAYS: Final = 35

MadeT = TypeVar("MadeT", bound=IConstruct)


class DataStack(PlatformStack):
    """Everything that holds data, and the keys that it is encrypted under."""

    def __init__(self, app: App, deployment: Deployment) -> None:
        super().__init__(app, "data", deployment, layer="collect")
        # Without it S3 would log by an access list, which buckets no longer have.
        self.node.set_context("@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy", True)
        self._deployment = deployment
        self._removal = removal_policy(deployment)
        self.keys: dict[DataClass, kms.Key] = {
            key.data_class: self._of(key, make_key(self, key, deployment)) for key in DATA_KEYS
        }
        self.tables = {table.name: self._table(table) for table in TABLES}
        self.stream = self._stream()
        made = {group: self._log_group(group) for group in LOG_GROUPS}
        self.log_groups = {group.name: group_made for group, group_made in made.items()}
        self.topics = {topic.name: self._topic(topic) for topic in TOPICS}
        self.buckets = {ACCESS_LOGS: self._access_logs()}
        for bucket in BUCKETS:
            self.buckets[bucket.base_name] = self._bucket(bucket)
        self.buckets[archive.BUCKET.base_name] = self._archive()
        archive.LogArchive(
            self,
            deployment=deployment,
            groups=made,
            bucket=self.buckets[archive.BUCKET.base_name],
            key=self.keys["logs"],
            topic=self.topics[WARNING_ALARMS.name],
        )
        Tracing(self, deployment)
        self.dead_letters = self._dead_letters()
        """What could not be started or handled, of any schedule and function."""
        self.repository = repository(self, PLATFORM, deployment)
        self.collector_repository = repository(self, COLLECTOR, deployment)

    def _table(self, table: Table) -> dynamodb.Table:
        made = dynamodb.Table(
            self,
            table.name,
            table_name=table.name,
            partition_key=_attribute(table.partition_key),
            sort_key=_attribute(table.sort_key),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=table.ttl_attribute,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.keys[table.key.data_class],
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True, recovery_period_in_days=POINT_IN_TIME_DAYS
            ),
            deletion_protection=not self._deployment.deletable,
            removal_policy=self._removal,
        )
        for index in table.indexes:
            made.add_global_secondary_index(
                index_name=index.name,
                partition_key=_attribute(index.partition_key),
                sort_key=_attribute(index.sort_key),
                projection_type=dynamodb.ProjectionType.ALL
                if index.projected is None
                else dynamodb.ProjectionType.INCLUDE,
                non_key_attributes=None if index.projected is None else list(index.projected),
            )
        return self._of(table.key, made)

    def _stream(self) -> kinesis.Stream:
        made = kinesis.Stream(
            self,
            EVAL_STREAM.name,
            stream_name=EVAL_STREAM.name,
            stream_mode=kinesis.StreamMode.ON_DEMAND,
            retention_period=Duration.hours(EVAL_STREAM.retention_h),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=self.keys[EVAL_STREAM.key.data_class],
            removal_policy=self._removal,
        )
        explain(made, {"AwsSolutions-KDS3": "a key of ours, so that IAM says who may read what tenants said"})
        return self._of(EVAL_STREAM.key, made)

    def _log_group(self, group: LogGroup) -> logs.LogGroup:
        made = logs.LogGroup(
            self,
            group.name.strip("/").replace("/", "-"),
            log_group_name=group.name,
            encryption_key=self.keys[group.key.data_class],
            removal_policy=self._removal,
        )
        made.node.default_child.add_property_override("RetentionInDays", group.retention_days)
        return self._of(group.key, made)

    def _topic(self, topic: Topic) -> sns.Topic:
        made = sns.Topic(
            self,
            topic.name,
            topic_name=topic.name,
            master_key=self.keys[topic.key.data_class],
            enforce_ssl=True,
        )
        # A topic with a policy of its own has lost the one by which everybody in the account may publish.
        made.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[made.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self._deployment.account}},
            )
        )
        return self._of(topic.key, made)

    def _bucket(self, bucket: Bucket, *rules: s3.LifecycleRule) -> s3.Bucket:
        made = s3.Bucket(
            self,
            bucket.base_name,
            bucket_name=bucket.name(self._deployment.account, self._deployment.region),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.keys[bucket.key.data_class],
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            server_access_logs_bucket=self.buckets[ACCESS_LOGS],
            server_access_logs_prefix=f"s3/{bucket.base_name}/",
            lifecycle_rules=[_nothing_for_ever(), *rules],
            removal_policy=self._removal,
        )
        return self._of(bucket.key, made)

    def _archive(self) -> s3.Bucket:
        return self._bucket(
            archive.BUCKET,
            s3.LifecycleRule(
                id="lines",
                prefix="logs/",
                transitions=[
                    s3.Transition(
                        storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                        transition_after=Duration.days(0),
                    )
                ],
                expiration=Duration.days(archive.KEPT_DAYS),
            ),
            s3.LifecycleRule(
                id="errors", prefix="errors/", expiration=Duration.days(archive.ERRORS_KEPT_DAYS)
            ),
        )

    def _access_logs(self) -> s3.Bucket:
        """Where buckets and load balancers write who asked them for what: neither can under a key of ours."""
        bucket = Bucket(ACCESS_LOGS, LOGS_KEY)
        made = s3.Bucket(
            self,
            bucket.base_name,
            bucket_name=bucket.name(self._deployment.account, self._deployment.region),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[
                _nothing_for_ever(),
                s3.LifecycleRule(id="old", expiration=Duration.days(ACCESS_LOGS_KEPT_DAYS)),
            ],
            removal_policy=self._removal,
        )
        explain(made, {"AwsSolutions-S1": "it holds the access logs: its own would log the writing of logs"})
        return made

    def _dead_letters(self) -> sqs.Queue:
        made = sqs.Queue(
            self,
            "dead-letters",
            queue_name=DEAD_LETTERS,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(DEAD_LETTERS_KEPT_DAYS),
            removal_policy=self._removal,
        )
        explain(made, {"AwsSolutions-SQS3": "it is the queue of dead letters itself"})
        return made

    @staticmethod
    def _of(key: DataKey, made: MadeT) -> MadeT:
        """What is of this class of data costs what its layer costs."""
        Tags.of(made).add(TAG, LAYERS[key.data_class])
        return made


def _nothing_for_ever() -> s3.LifecycleRule:
    """Neither what was replaced or deleted, nor what was never finished."""
    return s3.LifecycleRule(
        id="replaced",
        noncurrent_version_expiration=Duration.days(REPLACED_KEPT_DAYS),
        abort_incomplete_multipart_upload_after=Duration.days(UPLOADS_ABORTED_DAYS),
    )


def _attribute(key: KeyAttribute) -> dynamodb.Attribute:
    kinds = {
        "S": dynamodb.AttributeType.STRING,
        "N": dynamodb.AttributeType.NUMBER,
        "B": dynamodb.AttributeType.BINARY,
    }
    return dynamodb.Attribute(name=key.name, type=kinds[key.type])
