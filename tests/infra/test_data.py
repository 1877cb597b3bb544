"""What holds data is protected, encrypted under its class's key, and forgotten when it should be."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template

from infra.app import Platform
from infra.archive import BUCKET, KEPT_DAYS
from infra.layers import TAG
from infra.settings import Deployment
from infra.stacks.data import ACCESS_LOGS, LAYERS
from infra.tracing import SPANS_KEPT_DAYS
from llmplatform.aws.tables import (
    BUCKETS,
    CONTENT_LOGS,
    CONTENT_LOGS_KEY,
    DATA_KEYS,
    EVAL_HISTORY,
    EVAL_RESULTS,
    EVAL_STREAM,
    LOG_GROUPS,
    TABLES,
    TOPICS,
    WARNING_ALARMS,
    Bucket,
    DataKey,
    LogGroup,
    Table,
    Topic,
)

Resources = dict[str, dict[str, Any]]
NAMED_BUCKETS = (*BUCKETS, BUCKET)
ARCHIVED = tuple(group for group in LOG_GROUPS if group.archived)
KEPT = ("RetainExceptOnCreate", "Retain")


@pytest.fixture
def data(prod: Platform, template: Callable[[Stack], Template]) -> Template:
    return template(prod.data)


@pytest.fixture
def dev_data(dev: Platform, template: Callable[[Stack], Template]) -> Template:
    return template(dev.data)


def of_type(template: Template, kind: str) -> Resources:
    found: Resources = template.find_resources(kind)
    return found


def properties(template: Template, kind: str, **wanted: str) -> dict[str, Any]:
    """Of the one resource of this type with these properties."""
    ((_, found),) = [
        (name, resource["Properties"])
        for name, resource in of_type(template, kind).items()
        if wanted.items() <= resource["Properties"].items()
    ]
    return dict(found)


def key_arn(template: Template, key: DataKey) -> Any:
    """How the template names a class's key, by the alias that points at it."""
    return properties(template, "AWS::KMS::Alias", AliasName=key.alias)["TargetKeyId"]


@pytest.mark.parametrize("key", DATA_KEYS, ids=lambda key: key.data_class)
def test_a_class_of_data_has_a_key_that_is_rotated_and_can_be_brought_back(
    data: Template, key: DataKey
) -> None:
    logical_id = key_arn(data, key)["Fn::GetAtt"][0]
    made = of_type(data, "AWS::KMS::Key")[logical_id]
    assert made["Properties"]["EnableKeyRotation"] is True
    assert made["Properties"]["PendingWindowInDays"] == 30
    assert (made["DeletionPolicy"], made["UpdateReplacePolicy"]) == KEPT


def test_there_are_no_other_keys(data: Template) -> None:
    assert len(of_type(data, "AWS::KMS::Key")) == len(of_type(data, "AWS::KMS::Alias")) == len(DATA_KEYS)


def test_keys_are_open_to_this_account_and_to_services_that_act_for_it(
    data: Template, deployment: Deployment
) -> None:
    for key in of_type(data, "AWS::KMS::Key").values():
        for statement in key["Properties"]["KeyPolicy"]["Statement"]:
            principal = statement["Principal"]
            if "AWS" in principal:
                assert f"::{deployment.account}:root" in json.dumps(principal).replace(":iam", "")
            else:
                assert deployment.account in json.dumps(statement["Condition"])


def test_the_key_of_content_is_for_its_log_group_alone(data: Template) -> None:
    arn = key_arn(data, CONTENT_LOGS_KEY)
    users = [
        resource["Properties"].get("LogGroupName")
        for resource in data.to_json()["Resources"].values()
        if resource["Type"] != "AWS::KMS::Alias" and json.dumps(arn) in json.dumps(resource)
    ]
    assert users == [CONTENT_LOGS.name]
    policy = of_type(data, "AWS::KMS::Key")[arn["Fn::GetAtt"][0]]["Properties"]["KeyPolicy"]
    (group,) = [
        statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
        for statement in policy["Statement"]
        if "Service" in statement["Principal"]
    ]
    assert group.endswith(f":log-group:{CONTENT_LOGS.name}")


def test_tables_are_those_that_the_processes_know(data: Template) -> None:
    made = of_type(data, "AWS::DynamoDB::Table").values()
    assert {table["Properties"]["TableName"] for table in made} == {table.name for table in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_on_demand_protected_and_can_be_put_back_to_any_second(
    data: Template, table: Table
) -> None:
    made = properties(data, "AWS::DynamoDB::Table", TableName=table.name)
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["DeletionProtectionEnabled"] is True
    assert made["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True,
        "RecoveryPeriodInDays": 35,
    }
    assert made["TimeToLiveSpecification"] == {"AttributeName": table.ttl_attribute, "Enabled": True}
    assert made["SSESpecification"] == {
        "KMSMasterKeyId": key_arn(data, table.key),
        "SSEEnabled": True,
        "SSEType": "KMS",
    }


def test_samples_are_kept_a_week_on_a_stream_of_any_size_under_their_key(data: Template) -> None:
    made = properties(data, "AWS::Kinesis::Stream")
    assert made["Name"] == EVAL_STREAM.name
    assert made["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert made["RetentionPeriodHours"] == 7 * 24
    assert made["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": key_arn(data, EVAL_STREAM.key)}


@pytest.mark.parametrize("bucket", NAMED_BUCKETS, ids=lambda bucket: bucket.base_name)
def test_a_bucket_is_under_its_key(data: Template, deployment: Deployment, bucket: Bucket) -> None:
    name = bucket.name(deployment.account, deployment.region)
    made = properties(data, "AWS::S3::Bucket", BucketName=name)
    assert made["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {
            "BucketKeyEnabled": True,
            "ServerSideEncryptionByDefault": {
                "KMSMasterKeyID": key_arn(data, bucket.key),
                "SSEAlgorithm": "aws:kms",
            },
        }
    ]


def lifecycle(data: Template, deployment: Deployment, bucket: Bucket) -> dict[str, dict[str, Any]]:
    name = bucket.name(deployment.account, deployment.region)
    made = properties(data, "AWS::S3::Bucket", BucketName=name)
    return {rule["Id"]: rule for rule in made["LifecycleConfiguration"]["Rules"]}


@pytest.mark.parametrize("bucket", NAMED_BUCKETS, ids=lambda bucket: bucket.base_name)
def test_no_bucket_keeps_what_was_replaced_or_never_finished(
    data: Template, deployment: Deployment, bucket: Bucket
) -> None:
    rule = lifecycle(data, deployment, bucket)["replaced"]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "Prefix" not in rule


def test_the_history_is_kept_until_its_tenant_is_erased(data: Template, deployment: Deployment) -> None:
    rules = lifecycle(data, deployment, EVAL_HISTORY).values()
    assert not [rule for rule in rules if "ExpirationInDays" in rule]


def test_retention_is_what_the_design_says() -> None:
    assert {group.retention_days for group in ARCHIVED} == {90}
    assert KEPT_DAYS - 90 == 2 * 365
    assert CONTENT_LOGS.retention_days == 7
    assert EVAL_RESULTS.retention_days == 90
    assert SPANS_KEPT_DAYS == 30


@pytest.mark.parametrize("group", LOG_GROUPS, ids=lambda group: group.name)
def test_a_log_group_forgets_in_time_and_is_under_its_key(data: Template, group: LogGroup) -> None:
    made = properties(data, "AWS::Logs::LogGroup", LogGroupName=group.name)
    assert made["RetentionInDays"] == group.retention_days
    assert made["KmsKeyId"] == key_arn(data, group.key)


def test_content_is_never_archived(data: Template) -> None:
    groups = of_type(data, "AWS::Logs::LogGroup")
    subscribed = {
        groups[one["Properties"]["LogGroupName"]["Ref"]]["Properties"]["LogGroupName"]
        for one in of_type(data, "AWS::Logs::SubscriptionFilter").values()
    }
    assert subscribed == {group.name for group in LOG_GROUPS} - {CONTENT_LOGS.name}


@pytest.mark.parametrize("group", ARCHIVED, ids=lambda group: group.name)
def test_every_line_of_a_group_goes_to_the_archive_and_what_cannot_go_lies_beside(
    data: Template, group: LogGroup
) -> None:
    name = group.name.rpartition("/")[2]
    made = properties(
        data, "AWS::KinesisFirehose::DeliveryStream", DeliveryStreamName=f"llm-platform-logs-{name}"
    )
    assert made["DeliveryStreamEncryptionConfigurationInput"] == {
        "KeyARN": key_arn(data, BUCKET.key),
        "KeyType": "CUSTOMER_MANAGED_CMK",
    }
    destination = made["ExtendedS3DestinationConfiguration"]
    assert destination["Prefix"].startswith(f"logs/{name}/")
    assert destination["ErrorOutputPrefix"].startswith(f"errors/{name}/")
    assert destination["CloudWatchLoggingOptions"]["Enabled"] is True
    kinds = [processor["Type"] for processor in destination["ProcessingConfiguration"]["Processors"]]
    assert kinds == ["Decompression", "CloudWatchLogProcessing"]
    (filtered,) = [
        one["Properties"]
        for one in of_type(data, "AWS::Logs::SubscriptionFilter").values()
        if one["Properties"]["LogGroupName"]
        == {"Ref": logical_id(data, "AWS::Logs::LogGroup", LogGroupName=group.name)}
    ]
    assert filtered["FilterPattern"] == ""
    assert filtered["DestinationArn"]["Fn::GetAtt"][0] == logical_id(
        data, "AWS::KinesisFirehose::DeliveryStream", DeliveryStreamName=made["DeliveryStreamName"]
    )


def logical_id(template: Template, kind: str, **wanted: str) -> str:
    (found,) = [
        name
        for name, resource in of_type(template, kind).items()
        if wanted.items() <= resource["Properties"].items()
    ]
    return found


def test_archived_lines_are_in_glacier_at_once_and_two_years_longer_than_in_their_group(
    data: Template, deployment: Deployment
) -> None:
    rules = lifecycle(data, deployment, BUCKET)
    assert rules["lines"]["Prefix"] == "logs/"
    assert rules["lines"]["Transitions"] == [{"StorageClass": "GLACIER_IR", "TransitionInDays": 0}]
    assert rules["lines"]["ExpirationInDays"] == 820
    assert (rules["errors"]["Prefix"], rules["errors"]["ExpirationInDays"]) == ("errors/", 90)


@pytest.mark.parametrize("group", ARCHIVED, ids=lambda group: group.name)
def test_an_archive_that_gets_nothing_or_late_rings(data: Template, group: LogGroup) -> None:
    name = group.name.rpartition("/")[2]
    topic = {"Ref": logical_id(data, "AWS::SNS::Topic", TopicName=WARNING_ALARMS.name)}
    stale = properties(data, "AWS::CloudWatch::Alarm", AlarmName=f"llm-platform/archive-stale/{name}")
    assert (stale["Namespace"], stale["MetricName"]) == ("AWS/Firehose", "DeliveryToS3.DataFreshness")
    assert (stale["Statistic"], stale["Threshold"]) == ("Maximum", 7_200)
    refused = properties(data, "AWS::CloudWatch::Alarm", AlarmName=f"llm-platform/archive-refused/{name}")
    assert (refused["Namespace"], refused["MetricName"]) == ("AWS/Logs", "DeliveryErrors")
    assert [one["Name"] for one in refused["Dimensions"]] == ["DestinationType", "FilterName", "LogGroupName"]
    for alarm in (stale, refused):
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]


def test_who_carries_lines_to_the_archive_may_nothing_else(data: Template, deployment: Deployment) -> None:
    archive = f"arn:aws:s3:::{BUCKET.name(deployment.account, deployment.region)}"
    writer = properties(data, "AWS::IAM::Role", RoleName="llm-platform-log-archive-writer")
    sender = properties(data, "AWS::IAM::Role", RoleName="llm-platform-log-archive-sender")
    assert {action: found for action, found in allowed(writer).items() if action.startswith("s3:")} == {
        "s3:GetBucketLocation": [archive],
        "s3:ListBucket": [archive],
        "s3:ListBucketMultipartUploads": [archive],
        "s3:AbortMultipartUpload": [f"{archive}/logs/*", f"{archive}/errors/*"],
        "s3:GetObject": [f"{archive}/logs/*", f"{archive}/errors/*"],
        "s3:PutObject": [f"{archive}/logs/*", f"{archive}/errors/*"],
    }
    assert {action.partition(":")[0] for action in allowed(writer)} == {"s3", "kms", "logs"}
    assert set(allowed(sender)) == {"firehose:PutRecord", "firehose:PutRecordBatch"}
    for role in (writer, sender):
        (trusted,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trusted["Condition"]["StringEquals"] == {"aws:SourceAccount": deployment.account}


def allowed(role: dict[str, Any]) -> dict[str, list[Any]]:
    """Resources by action."""
    found: dict[str, list[Any]] = {}
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                found.setdefault(action, []).extend(listed(statement["Resource"]))
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_alarms_reach_a_topic_that_is_under_its_key(
    data: Template, deployment: Deployment, topic: Topic
) -> None:
    made = properties(data, "AWS::SNS::Topic", TopicName=topic.name)
    assert made["KmsMasterKeyId"] == key_arn(data, topic.key)
    ref = {"Ref": logical_id(data, "AWS::SNS::Topic", TopicName=topic.name)}
    data.has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {
            "Topics": [ref],
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Effect": "Deny",
                                "Action": "sns:Publish",
                                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            }
                        ),
                        Match.object_like(
                            {
                                "Effect": "Allow",
                                "Action": "sns:Publish",
                                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                                "Condition": {"StringEquals": {"aws:SourceAccount": deployment.account}},
                            }
                        ),
                    ]
                ),
                "Version": "2012-10-17",
            },
        },
    )


def test_everything_that_can_be_tagged_says_which_layer_pays(data: Template) -> None:
    layers: dict[str, set[str]] = {}
    for resource in data.to_json()["Resources"].values():
        for tag in resource.get("Properties", {}).get("Tags", []):
            if tag["Key"] == TAG:
                layers.setdefault(resource["Type"], set()).add(tag["Value"])
    assert layers["AWS::DynamoDB::Table"] == {"evaluate", "attribute"}
    assert layers["AWS::Kinesis::Stream"] == {"evaluate"}
    assert layers["AWS::SNS::Topic"] == {"watch"}
    assert layers["AWS::KMS::Key"] == set(LAYERS.values())
    assert layers["AWS::S3::Bucket"] == {"collect", "evaluate"}


def test_production_keeps_its_data_when_the_stack_goes(prod: Platform, data: Template) -> None:
    assert prod.data.termination_protection
    for kind in ("DynamoDB::Table", "Kinesis::Stream", "S3::Bucket", "Logs::LogGroup", "ECR::Repository"):
        for made in of_type(data, f"AWS::{kind}").values():
            assert (made["DeletionPolicy"], made["UpdateReplacePolicy"]) == KEPT


def test_dev_goes_with_its_stack(dev: Platform, dev_data: Template) -> None:
    assert not dev.data.termination_protection
    for resource in dev_data.to_json()["Resources"].values():
        assert resource.get("DeletionPolicy") in {None, "Delete"}
        assert not resource["Properties"].get("DeletionProtectionEnabled")
    assert {
        key["Properties"]["PendingWindowInDays"] for key in of_type(dev_data, "AWS::KMS::Key").values()
    } == {7}


def test_logs_of_access_are_under_a_key_that_s3_can_write_by_and_go_after_90_days(
    data: Template, deployment: Deployment
) -> None:
    name = f"{ACCESS_LOGS}-{deployment.account}-{deployment.region}"
    made = properties(data, "AWS::S3::Bucket", BucketName=name)
    algorithms = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert algorithms == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    assert {"ExpirationInDays": 90, "Id": "old", "Status": "Enabled"} in made["LifecycleConfiguration"][
        "Rules"
    ]
