"""Creates in an account what `llmplatform.aws.tables` says stands there.

For the sandbox: a real account gets the same things from infrastructure as code. Everything may be there
already, from a run before or from another process that is doing this now. Tenants are seeded elsewhere.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aioboto3

from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.tables import (
    BUCKETS,
    DATA_KEYS,
    LOG_GROUPS,
    STREAMS,
    TABLES,
    TOPICS,
    Bucket,
    DataKey,
    LogGroup,
    Stream,
    Table,
    Topic,
)

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import KeySchemaElementTypeDef
    from types_aiobotocore_kinesis import KinesisClient
    from types_aiobotocore_kms import KMSClient
    from types_aiobotocore_logs import CloudWatchLogsClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sns import SNSClient


async def provision(
    session: aioboto3.Session, *, endpoint_url: str | None = None, watching_url: str | None = None
) -> None:
    """Create every key, then every table, stream, log group, bucket and topic; returns when all can be used.

    `endpoint_url` for an emulator that the environment does not name, `watching_url` where log groups and
    topics are elsewhere.
    """
    async with session.client("kms", endpoint_url=endpoint_url) as kms:
        keys = {key: await create_data_key(kms, key) for key in DATA_KEYS}
    async with (
        session.client("dynamodb", endpoint_url=endpoint_url) as dynamodb,
        session.client("kinesis", endpoint_url=endpoint_url) as kinesis,
        session.client("logs", endpoint_url=watching_url or endpoint_url) as logs,
        session.client("s3", endpoint_url=endpoint_url) as s3,
        session.client("sns", endpoint_url=watching_url or endpoint_url) as sns,
        asyncio.TaskGroup() as tasks,
    ):
        for table in TABLES:
            tasks.create_task(create_table(dynamodb, table))
        for stream in STREAMS:
            tasks.create_task(create_stream(kinesis, stream))
        for group in LOG_GROUPS:
            tasks.create_task(create_log_group(logs, group, keys[group.key]))
        for bucket in BUCKETS:
            name = await bucket_name(session, bucket, endpoint_url=endpoint_url)
            tasks.create_task(create_bucket(s3, bucket, name))
        for topic in TOPICS:
            tasks.create_task(create_topic(sns, topic))


async def create_data_key(kms: "KMSClient", key: DataKey) -> str:
    """Create a class's key with its alias, once; its ARN."""
    with contextlib.suppress(kms.exceptions.NotFoundException):
        return (await kms.describe_key(KeyId=key.alias))["KeyMetadata"]["Arn"]
    made = (await kms.create_key(Description=f"llm-platform: {key.data_class}"))["KeyMetadata"]
    await kms.enable_key_rotation(KeyId=made["KeyId"])
    try:
        await kms.create_alias(AliasName=key.alias, TargetKeyId=made["KeyId"])
    except kms.exceptions.AlreadyExistsException:  # another process was quicker
        await kms.schedule_key_deletion(KeyId=made["KeyId"])
        return (await kms.describe_key(KeyId=key.alias))["KeyMetadata"]["Arn"]
    return made["Arn"]


async def create_table(dynamodb: "DynamoDBClient", table: Table) -> None:
    """Create a table with its indexes, active, and with its time to live."""
    with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
        await dynamodb.create_table(
            TableName=table.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": key.name, "AttributeType": key.type} for key in table.key_attributes
            ],
            KeySchema=_key_schema(table.partition_key.name, table.sort_key.name),
            SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": table.key.alias},
            **_indexes(table),
        )
    await dynamodb.get_waiter("table_exists").wait(
        TableName=table.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    # Asked first: enabling what is enabled is an error.
    ttl = await dynamodb.describe_time_to_live(TableName=table.name)
    if ttl["TimeToLiveDescription"].get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        await dynamodb.update_time_to_live(
            TableName=table.name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl_attribute},
        )


def _indexes(table: Table) -> Any:
    """The argument that says which indexes a table has; an empty list would be refused."""
    if not table.indexes:
        return {}
    return {
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index.name,
                "KeySchema": _key_schema(index.partition_key.name, index.sort_key.name),
                "Projection": {"ProjectionType": "ALL"}
                if index.projected is None
                else {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)},
            }
            for index in table.indexes
        ]
    }


async def create_stream(kinesis: "KinesisClient", stream: Stream) -> None:
    """Create a stream on demand, active, with its retention and its key."""
    with contextlib.suppress(kinesis.exceptions.ResourceInUseException):
        await kinesis.create_stream(StreamName=stream.name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    exists = kinesis.get_waiter("stream_exists")
    await exists.wait(StreamName=stream.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    known = await kinesis.describe_stream_summary(StreamName=stream.name)
    summary = known["StreamDescriptionSummary"]
    if summary["RetentionPeriodHours"] < stream.retention_h:
        await kinesis.increase_stream_retention_period(
            StreamName=stream.name, RetentionPeriodHours=stream.retention_h
        )
    if summary.get("KeyId") != stream.key.alias:
        await kinesis.start_stream_encryption(
            StreamName=stream.name, EncryptionType="KMS", KeyId=stream.key.alias
        )
    await exists.wait(StreamName=stream.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


async def create_log_group(logs: "CloudWatchLogsClient", group: LogGroup, key_arn: str) -> None:
    """Create a log group with its retention and its key."""
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        await logs.create_log_group(logGroupName=group.name, kmsKeyId=key_arn)
    await logs.put_retention_policy(logGroupName=group.name, retentionInDays=group.retention_days)


async def create_bucket(s3: "S3Client", bucket: Bucket, name: str) -> None:
    """Create a bucket of this name, versioned, with its key."""
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        await s3.create_bucket(Bucket=name)
    await s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    await s3.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms",
                        "KMSMasterKeyID": bucket.key.alias,
                    },
                    "BucketKeyEnabled": True,
                }
            ]
        },
    )


async def create_topic(sns: "SNSClient", topic: Topic) -> None:
    """Create a topic with its key; one that is there already keeps its subscriptions."""
    arn = (await sns.create_topic(Name=topic.name))["TopicArn"]
    await sns.set_topic_attributes(
        TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=topic.key.alias
    )


def _key_schema(partition_key: str, sort_key: str) -> "list[KeySchemaElementTypeDef]":
    return [
        {"AttributeName": partition_key, "KeyType": "HASH"},
        {"AttributeName": sort_key, "KeyType": "RANGE"},
    ]
