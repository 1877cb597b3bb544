"""The template and the sandbox make the same: no table or stream is defined a second time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from harness.deployed import LACKING, create_stack, data_template, deploy_data
from harness.platform import aws_client
from llmplatform.aws.tables import BUCKETS, DATA_KEYS
from sandbox.emulator import ACCOUNT_ID, REGION, Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_AN_INDEX = ("IndexName", "KeySchema", "Projection")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="deployed")
async def from_the_template(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with Emulator(tmp_path_factory.mktemp("deployed")) as aws:
        await deploy_data(aws.url)
        yield aws.url


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="provisioned")
async def from_the_sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with Emulator(tmp_path_factory.mktemp("provisioned")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        yield aws.url


def tables(url: str) -> dict[str, Any]:
    dynamodb = aws_client("dynamodb", url)
    found = {}
    for name in dynamodb.list_tables()["TableNames"]:
        told = dynamodb.describe_table(TableName=name)["Table"]
        found[name] = {
            "keys": told["KeySchema"],
            "attributes": {
                one["AttributeName"]: one["AttributeType"] for one in told["AttributeDefinitions"]
            },
            "indexes": [
                {field: index[field] for field in OF_AN_INDEX}
                for index in told.get("GlobalSecondaryIndexes", ())
            ],
            "billing": told["BillingModeSummary"]["BillingMode"],
        }
    return found


def streams(url: str) -> dict[str, Any]:
    kinesis = aws_client("kinesis", url)
    found = {}
    for name in kinesis.list_streams()["StreamNames"]:
        told = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        found[name] = (told["StreamModeDetails"], told["RetentionPeriodHours"])
    return found


def log_groups(url: str) -> dict[str, int]:
    pages = aws_client("logs", url).get_paginator("describe_log_groups").paginate()
    return {
        group["logGroupName"]: group["retentionInDays"]
        for page in pages
        for group in page["logGroups"]
        if not group["logGroupName"].startswith("/llm-platform/log-archive/")
    }


def topics(url: str) -> list[str]:
    return sorted(topic["TopicArn"] for topic in aws_client("sns", url).list_topics()["Topics"])


def key_aliases(url: str) -> list[str]:
    return sorted(alias["AliasName"] for alias in aws_client("kms", url).list_aliases()["Aliases"])


async def test_tables_are_the_same(deployed: str, provisioned: str) -> None:
    assert tables(deployed) == tables(provisioned)


async def test_streams_are_the_same(deployed: str, provisioned: str) -> None:
    assert streams(deployed) == streams(provisioned)


async def test_log_groups_and_topics_are_the_same(deployed: str, provisioned: str) -> None:
    assert log_groups(deployed) == log_groups(provisioned)
    assert topics(deployed) == topics(provisioned)


async def test_keys_have_the_same_names(deployed: str, provisioned: str) -> None:
    assert key_aliases(deployed) == key_aliases(provisioned) == sorted(key.alias for key in DATA_KEYS)


async def test_a_bucket_of_the_processes_is_the_same(deployed: str, provisioned: str) -> None:
    for bucket in BUCKETS:
        name = bucket.name(ACCOUNT_ID, REGION)
        for url in (deployed, provisioned):
            assert aws_client("s3", url).get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


async def test_no_more_is_left_out_than_the_emulator_lacks(provisioned: str) -> None:
    with pytest.raises(ClientError) as refused:
        await asyncio.to_thread(create_stack, provisioned, data_template())
    assert f"[{', '.join(LACKING)}]" in str(refused.value)
