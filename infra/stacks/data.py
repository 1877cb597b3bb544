"""What is kept: keys, stream, tables, buckets, log groups, topics and the image's registry.

Made from `llmplatform.aws.tables`; nothing of it is defined a second time here.
"""

from typing import Final, Literal, get_args

from aws_cdk import App, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from infra.layers import PlatformStack
from infra.settings import Deployment
from llmplatform.aws.tables import (
    BUCKETS,
    EVAL_STREAM,
    LOG_GROUPS,
    TABLES,
    TOPICS,
    KeyAttribute,
    LogGroup,
    Table,
)

DataClass = Literal["samples", "scores", "usage", "logs", "content-logs", "access", "topics"]
DATA_CLASSES: Final[tuple[DataClass, ...]] = get_args(DataClass)


class DataStack(PlatformStack):
    """Everything that holds data, and the keys that it is encrypted under."""

    def __init__(self, app: App, deployment: Deployment) -> None:
        super().__init__(app, "data", deployment, layer="collect")
        self._removal = RemovalPolicy.DESTROY if deployment.deletable else RemovalPolicy.RETAIN
        self._protected = not deployment.deletable
        self.keys: dict[DataClass, kms.Key] = {name: self._key(name) for name in DATA_CLASSES}
        self.tables = {table.name: self._table(table) for table in TABLES}
        self.stream = kinesis.Stream(
            self,
            EVAL_STREAM.name,
            stream_name=EVAL_STREAM.name,
            stream_mode=kinesis.StreamMode.ON_DEMAND,
            retention_period=Duration.hours(EVAL_STREAM.retention_h),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=self.keys["samples"],
            removal_policy=self._removal,
        )
        self.log_groups = {group.name: self._log_group(group) for group in LOG_GROUPS}
        self.buckets = {
            bucket.base_name: s3.Bucket(
                self,
                bucket.base_name,
                bucket_name=bucket.name(deployment.account, deployment.region),
                enforce_ssl=True,
                versioned=True,
                removal_policy=self._removal,
            )
            for bucket in BUCKETS
        }
        self.topics = {
            topic.name: sns.Topic(
                self, topic.name, topic_name=topic.name, master_key=self.keys["topics"], enforce_ssl=True
            )
            for topic in TOPICS
        }
        self.repository = ecr.Repository(
            self,
            "registry",
            repository_name="llm-platform",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            removal_policy=self._removal,
        )

    def _key(self, name: DataClass) -> kms.Key:
        return kms.Key(
            self,
            f"{name}-key",
            alias=f"llm-platform/{name}",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )

    def _table(self, table: Table) -> dynamodb.Table:
        made = dynamodb.Table(
            self,
            table.name,
            table_name=table.name,
            partition_key=_attribute(table.partition_key),
            sort_key=_attribute(table.sort_key),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=table.ttl_attribute,
            deletion_protection=self._protected,
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
        return made

    def _log_group(self, group: LogGroup) -> logs.LogGroup:
        made = logs.LogGroup(
            self,
            group.name.strip("/").replace("/", "-"),
            log_group_name=group.name,
            removal_policy=self._removal,
        )
        made.node.default_child.add_property_override("RetentionInDays", group.retention_days)
        return made


def _attribute(key: KeyAttribute) -> dynamodb.Attribute:
    kinds = {
        "S": dynamodb.AttributeType.STRING,
        "N": dynamodb.AttributeType.NUMBER,
        "B": dynamodb.AttributeType.BINARY,
    }
    return dynamodb.Attribute(name=key.name, type=kinds[key.type])
