import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from botocore.exceptions import EndpointConnectionError

from harness.platform import aws_client
from llmplatform.aws.tables import BUCKETS, EVAL_STREAM, LOG_GROUPS, REQUEST_LEDGER
from sandbox import emulator
from sandbox.emulator import ACCOUNT_ID, REGION, Emulator, EmulatorError, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def provisioned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        yield aws


async def test_ledger_is_active_with_its_keys_index_and_time_to_live(aws: Emulator) -> None:
    dynamodb = aws_client("dynamodb", aws.url)
    table = dynamodb.describe_table(TableName=REQUEST_LEDGER.name)["Table"]
    assert table["TableStatus"] == "ACTIVE"
    assert table["KeySchema"] == [
        {"AttributeName": "tenant_hour_shard", "KeyType": "HASH"},
        {"AttributeName": "request_id", "KeyType": "RANGE"},
    ]
    (index,) = table["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["Projection"]) == ("by-trace", {"ProjectionType": "ALL"})
    ttl = dynamodb.describe_time_to_live(TableName=REQUEST_LEDGER.name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


async def test_a_row_is_found_by_its_trace(aws: Emulator) -> None:
    dynamodb = aws_client("dynamodb", aws.url)
    row = {
        "tenant_hour_shard": {"S": "acme#2026-11-23T10#3"},
        "request_id": {"S": "r-1"},
        "trace_id": {"S": "t-1"},
        "outcome": {"S": "completed"},
    }
    written = dynamodb.batch_write_item(RequestItems={REQUEST_LEDGER.name: [{"PutRequest": {"Item": row}}]})
    assert not written["UnprocessedItems"]
    found = dynamodb.query(
        TableName=REQUEST_LEDGER.name,
        IndexName="by-trace",
        KeyConditionExpression="trace_id = :t",
        ExpressionAttributeValues={":t": {"S": "t-1"}},
    )
    assert found["Items"] == [row]


async def test_stream_keeps_a_week_encrypted_and_gives_back_what_was_put(aws: Emulator) -> None:
    kinesis = aws_client("kinesis", aws.url)
    summary = kinesis.describe_stream_summary(StreamName=EVAL_STREAM.name)["StreamDescriptionSummary"]
    assert (summary["StreamStatus"], summary["RetentionPeriodHours"]) == ("ACTIVE", 168)
    assert (summary["EncryptionType"], summary["StreamModeDetails"]["StreamMode"]) == ("KMS", "ON_DEMAND")
    put = kinesis.put_records(
        StreamName=EVAL_STREAM.name,
        Records=[{"Data": f"sample {n}".encode(), "PartitionKey": str(n)} for n in range(20)],
    )
    assert put["FailedRecordCount"] == 0
    got = set()
    for shard in kinesis.list_shards(StreamName=EVAL_STREAM.name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=EVAL_STREAM.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        got |= {record["Data"] for record in kinesis.get_records(ShardIterator=iterator)["Records"]}
    assert got == {f"sample {n}".encode() for n in range(20)}


async def test_log_groups_forget_when_they_should(aws: Emulator) -> None:
    groups = aws_client("logs", aws.url).describe_log_groups(logGroupNamePrefix="/llm-platform/")["logGroups"]
    assert {group["logGroupName"]: group["retentionInDays"] for group in groups} == {
        group.name: group.retention_days for group in LOG_GROUPS
    }


async def test_history_bucket_takes_objects_and_keeps_versions(aws: Emulator) -> None:
    s3 = aws_client("s3", aws.url)
    name = BUCKETS[0].name(ACCOUNT_ID, REGION)
    s3.put_object(Bucket=name, Key="date=2026-11-23/part", Body=b"rows")
    assert s3.get_object(Bucket=name, Key="date=2026-11-23/part")["Body"].read() == b"rows"
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


async def test_parameters_by_path_come_in_pages_and_all_of_them(aws: Emulator) -> None:
    ssm = aws_client("ssm", aws.url)
    names = {f"/llm-platform/tenant-{n:02}/policy" for n in range(23)}
    for name in names:
        ssm.put_parameter(Name=name, Value="{}", Type="String")
    pages = list(ssm.get_paginator("get_parameters_by_path").paginate(Path="/llm-platform/", Recursive=True))
    assert len(pages) == 3
    assert {parameter["Name"] for page in pages for parameter in page["Parameters"]} == names


async def test_provisioning_again_changes_nothing_and_loses_nothing(aws: Emulator) -> None:
    dynamodb = aws_client("dynamodb", aws.url)
    item = {"tenant_hour_shard": {"S": "kept#2026-11-23T10#0"}, "request_id": {"S": "r-2"}}
    dynamodb.put_item(TableName=REQUEST_LEDGER.name, Item=item)
    await provision(sandbox_session(), endpoint_url=aws.url)
    assert dynamodb.get_item(TableName=REQUEST_LEDGER.name, Key=item)["Item"] == item


async def test_its_own_alarm_evaluation_is_off(aws: Emulator) -> None:
    cloudwatch = aws_client("cloudwatch", aws.url)
    cloudwatch.put_metric_alarm(
        AlarmName="loud",
        Namespace="Test",
        MetricName="requests",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "requests", "Value": 100}])
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["loud"])["MetricAlarms"]
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"


async def test_after_a_crash_it_is_back_at_the_same_address_and_empty(tmp_path: Path) -> None:
    async with Emulator(tmp_path) as aws:
        url = aws.url
        aws_client("ssm", aws.url).put_parameter(Name="/a", Value="1", Type="String")
        await aws.kill()
        assert aws.pid is None
        with pytest.raises(EndpointConnectionError):
            aws_client("ssm", aws.url).get_parameter(Name="/a")
        await aws.start()
        assert aws.url == url
        assert aws_client("ssm", aws.url).describe_parameters()["Parameters"] == []


async def test_with_persist_an_orderly_stop_keeps_tables_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "STOP_WITHIN_S", 60.0)  # who ends by force keeps nothing
    item = {"tenant_hour_shard": {"S": "kept#2026-11-23T10#0"}, "request_id": {"S": "r-3"}}
    async with Emulator(tmp_path, persist=True) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        aws_client("dynamodb", aws.url).put_item(TableName=REQUEST_LEDGER.name, Item=item)
    async with Emulator(tmp_path, persist=True) as aws:
        dynamodb = aws_client("dynamodb", aws.url)
        assert dynamodb.get_item(TableName=REQUEST_LEDGER.name, Key=item)["Item"] == item


async def test_it_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from sandbox.emulator import Emulator\n"
        "async def main():\n"
        "    async with Emulator(pathlib.Path(sys.argv[1])) as aws:\n"
        "        print(aws.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(60):
        while is_running(pid):  # noqa: ASYNC110  # nobody tells us when another's child ends
            await asyncio.sleep(0.05)


async def test_a_start_that_fails_says_what_the_log_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "broken"
    (home / "bin").mkdir(parents=True)
    python = home / "bin" / "python"
    python.write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setenv("LLM_PLATFORM_EMULATOR", str(home))
    with pytest.raises(EmulatorError, match="the disk is full"):
        await Emulator(tmp_path / "state").start()


async def test_a_start_that_hangs_ends_at_its_deadline_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "slow"
    (home / "bin").mkdir(parents=True)
    python = home / "bin" / "python"
    pid = tmp_path / "pid"
    python.write_text(f"#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setenv("LLM_PLATFORM_EMULATOR", str(home))
    # Its time begins at 0, even if it runs by then, and is over when it runs.
    asked = count()
    clock = SimpleNamespace(monotonic=lambda: float(next(asked) > 0 and pid.exists()))
    monkeypatch.setattr(emulator, "time", clock)
    with pytest.raises(EmulatorError, match=r"not ready within 0\.5 s"):
        await Emulator(tmp_path / "state", ready_within_s=0.5).start()
    assert not is_running(int(pid.read_text()))


async def test_a_missing_emulator_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PLATFORM_EMULATOR", str(tmp_path))
    with pytest.raises(EmulatorError, match="make env"):
        await Emulator(tmp_path / "state").start()


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
