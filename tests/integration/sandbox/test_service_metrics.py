"""The emulator's Kinesis, DynamoDB and Logs publish what they publish on AWS, and CloudWatch has it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from harness.wall_clock import DAY, well_within
from sandbox.emulator import Emulator

STREAM = "metered-stream"
TABLE = "metered-table"
GROUP = "/metered/group"


@pytest_asyncio.fixture
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    await well_within(DAY, left=timedelta(minutes=2))  # figures are of a day
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


class Figures:
    def __init__(self, cloudwatch: Any, namespace: str) -> None:
        self._cloudwatch = cloudwatch
        self._namespace = namespace

    def read(self, name: str, **dimensions: str) -> dict[str, Any]:
        """One datapoint of the last hour, with its unit; empty where there is none."""
        now = datetime.now(UTC)
        found = self._cloudwatch.get_metric_statistics(
            Namespace=self._namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=86_400,
            Statistics=["Sum", "Maximum", "SampleCount"],
        )["Datapoints"]
        return found[0] if found else {}

    def sum(self, name: str, **dimensions: str) -> Any:
        return self.read(name, **dimensions).get("Sum")


async def test_a_streams_puts_and_polls_are_metered(emulator: Emulator, make_client: Any) -> None:
    await asyncio.to_thread(_use_stream, make_client("kinesis", emulator.url))
    figures = Figures(make_client("cloudwatch", emulator.url), "AWS/Kinesis")

    def check() -> None:
        assert figures.sum("IncomingRecords", StreamName=STREAM) == 3
        assert figures.sum("IncomingBytes", StreamName=STREAM) == 3 * len("k" + "hello")
        assert figures.sum("PutRecord.Success", StreamName=STREAM) == 1
        assert figures.sum("PutRecords.TotalRecords", StreamName=STREAM) == 2
        assert figures.sum("PutRecords.FailedRecords", StreamName=STREAM) == 0
        assert figures.sum("WriteProvisionedThroughputExceeded", StreamName=STREAM) == 0
        assert figures.sum("GetRecords.Records", StreamName=STREAM) == 3
        age = figures.read("GetRecords.IteratorAgeMilliseconds", StreamName=STREAM)
        assert age["SampleCount"] == 2
        assert 200 <= age["Maximum"] < 60_000
        assert age["Unit"] == "Milliseconds"

    await asyncio.to_thread(check)


def _use_stream(kinesis: Any) -> None:
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
    kinesis.put_record(StreamName=STREAM, PartitionKey="k", Data=b"hello")
    kinesis.put_records(StreamName=STREAM, Records=[{"PartitionKey": "k", "Data": b"hello"}] * 2)
    time.sleep(0.2)  # the second poll is late by so much
    shard = kinesis.list_shards(StreamName=STREAM)["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    first = kinesis.get_records(ShardIterator=iterator, Limit=1)
    assert first["MillisBehindLatest"] >= 200
    kinesis.get_records(ShardIterator=first["NextShardIterator"])


async def test_a_tables_reads_writes_and_refusals_are_metered(emulator: Emulator, make_client: Any) -> None:
    started_s = time.monotonic()
    await asyncio.to_thread(_use_table, make_client("dynamodb", emulator.url))
    took_ms = 1_000 * (time.monotonic() - started_s)
    figures = Figures(make_client("cloudwatch", emulator.url), "AWS/DynamoDB")

    def check() -> None:
        assert figures.sum("ConsumedWriteCapacityUnits", TableName=TABLE) == 3 + 1 + 1
        assert figures.sum("ConsumedReadCapacityUnits", TableName=TABLE) == 1 + 0.5
        latency = figures.read("SuccessfulRequestLatency", TableName=TABLE, Operation="PutItem")
        assert latency["SampleCount"] == 1
        assert latency["Unit"] == "Milliseconds"
        assert 0 < latency["Maximum"] < took_ms
        assert figures.sum("ReturnedItemCount", TableName=TABLE, Operation="Scan") == 3
        assert figures.sum("ConditionalCheckFailedRequests", TableName=TABLE) == 1
        assert figures.sum("ThrottledRequests", TableName=TABLE, Operation="PutItem") is None

    await asyncio.to_thread(check)


def _use_table(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "large"}, "text": {"S": "x" * 2_500}})
    puts = [{"PutRequest": {"Item": {"id": {"S": name}}}} for name in ("a", "b")]
    dynamodb.batch_write_item(RequestItems={TABLE: puts})
    dynamodb.get_item(TableName=TABLE, Key={"id": {"S": "large"}}, ConsistentRead=True)
    dynamodb.scan(TableName=TABLE)
    with pytest.raises(ClientError):
        dynamodb.put_item(
            TableName=TABLE, Item={"id": {"S": "a"}}, ConditionExpression="attribute_not_exists(id)"
        )


async def test_a_log_groups_events_are_metered(emulator: Emulator, make_client: Any) -> None:
    logs = make_client("logs", emulator.url)

    def put() -> None:
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName="s")
        now_ms = time.time_ns() // 1_000_000
        events = [{"timestamp": now_ms, "message": text} for text in ("one", "zwölf")]
        logs.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=events)

    await asyncio.to_thread(put)
    figures = Figures(make_client("cloudwatch", emulator.url), "AWS/Logs")
    assert await asyncio.to_thread(figures.sum, "IncomingLogEvents", LogGroupName=GROUP) == 2
    assert await asyncio.to_thread(figures.sum, "IncomingBytes", LogGroupName=GROUP) == 3 + 6


async def test_a_log_line_is_found_by_its_trace_id(emulator: Emulator, make_client: Any) -> None:
    """By the one form of an Insights filter that CloudWatch and the emulator both understand."""
    logs = make_client("logs", emulator.url)
    wanted, other = "42050880-20bf-41a5-ab23-cdea5f9551eb", "00000000-20bf-41a5-ab23-cdea5f9551eb"

    def find() -> list[str]:
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName="s")
        now_s = time.time()
        events = [
            {"timestamp": int(now_s * 1000), "message": json.dumps({"trace_id": trace_id})}
            for trace_id in (other, wanted)
        ]
        logs.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=events)
        query = logs.start_query(
            logGroupName=GROUP,
            startTime=int(now_s) - 60,
            endTime=int(now_s) + 60,
            queryString=f"fields @timestamp, @message | filter @message like /{wanted}/ | limit 20",
        )
        rows = logs.get_query_results(queryId=query["queryId"])["results"]
        return [cell["value"] for row in rows for cell in row if cell["field"] == "@message"]

    assert await asyncio.to_thread(find) == [json.dumps({"trace_id": wanted})]
