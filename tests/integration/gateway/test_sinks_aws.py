"""The sinks that use an SDK client, against servers that fail in part."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
import pytest
from aiobotocore.config import AioConfig
from aiohttp import web

from contract.receivers import HttpReceiver, json_answer
from corpus.invocations import content, policy, record
from gateway.sinks.content_log import ContentLogSink, LogEvent, content_event
from gateway.sinks.kinesis import STREAM_LIMITS, KinesisSink, StreamRecord
from llmplatform.process.batching import Limits

LIMITS = Limits(
    queued_items=1_000,
    queued_bytes=10_000_000,
    batch_items=500,
    batch_bytes=5_000_000,
    linger_s=0.05,
    tries=5,
    first_pause_s=0.005,
    max_pause_s=0.01,
    attempt_timeout_s=60.0,
)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def client(stack: AsyncExitStack, service: Any, receiver: HttpReceiver) -> Any:
    await receiver.start()
    stack.push_async_callback(receiver.stop)
    session = aioboto3.Session(
        region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    config = AioConfig(retries={"total_max_attempts": 1})
    return await stack.enter_async_context(session.client(service, endpoint_url=receiver.url, config=config))


async def test_failed_records_alone_are_put_again(stack: AsyncExitStack) -> None:
    calls: list[list[str]] = []

    def fail_odd_once(_: HttpReceiver, __: web.BaseRequest, body: bytes) -> web.Response:
        data = [base64.b64decode(entry["Data"]).decode() for entry in json.loads(body)["Records"]]
        first = not calls
        calls.append(data)
        results = [
            {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
            if first and int(text) % 2
            else {"SequenceNumber": "1", "ShardId": "shardId-0"}
            for text in data
        ]
        return json_answer({"FailedRecordCount": len(data) // 2 if first else 0, "Records": results})

    sink = KinesisSink(await client(stack, "kinesis", HttpReceiver(fail_odd_once)), limits=LIMITS)
    await sink.start()
    for number in range(10):
        sink.accept(StreamRecord(f"key-{number}", str(number).encode()))
    await sink.flush(60)
    assert calls == [[str(number) for number in range(10)], ["1", "3", "5", "7", "9"]]
    assert (sink.counts.delivered, sink.counts.dropped) == (10, 0)


async def test_an_answer_for_another_number_of_records_is_no_answer(stack: AsyncExitStack) -> None:
    def short(_: HttpReceiver, __: web.BaseRequest, ___: bytes) -> web.Response:
        return json_answer({"FailedRecordCount": 0, "Records": []})

    sink = KinesisSink(await client(stack, "kinesis", HttpReceiver(short)), limits=LIMITS)
    await sink.start()
    sink.accept(StreamRecord("key", b"1"))
    await sink.flush(60)
    assert (sink.counts.delivered, sink.counts.dropped) == (0, 1)


async def test_a_record_over_the_limit_of_a_batch_is_dropped_at_once(stack: AsyncExitStack) -> None:
    receiver = HttpReceiver(lambda *_: json_answer({}))
    sink = KinesisSink(await client(stack, "kinesis", receiver), limits=STREAM_LIMITS)
    sink.accept(StreamRecord("key", b"x" * (STREAM_LIMITS.batch_bytes + 1)))
    assert sink.counts.dropped == 1


# aiohttp warns of what the SDK does with any large body; records of such size are the rare exception.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_batches_stay_under_the_byte_limit(stack: AsyncExitStack) -> None:
    sizes: list[int] = []

    def weigh(_: HttpReceiver, __: web.BaseRequest, body: bytes) -> web.Response:
        records = json.loads(body)["Records"]
        sizes.append(sum(len(base64.b64decode(one["Data"])) + len(one["PartitionKey"]) for one in records))
        results = [{"SequenceNumber": "1", "ShardId": "shardId-0"} for _ in records]
        return json_answer({"FailedRecordCount": 0, "Records": results})

    sink = KinesisSink(await client(stack, "kinesis", HttpReceiver(weigh)), limits=LIMITS)
    for _ in range(8):
        sink.accept(StreamRecord("key", b"x" * 900_000))
    await sink.start()
    await sink.flush(60)
    assert sink.counts.delivered == 8
    assert max(sizes) <= LIMITS.batch_bytes
    assert len(sizes) == 2


class LogGroup:
    """A log group whose streams must be made first."""

    def __init__(self) -> None:
        self.streams: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.rejected: dict[str, int] = {}

    def answer(self, _: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
        asked = json.loads(body)
        assert asked["logGroupName"] == "/llm-platform/content"
        stream = asked["logStreamName"]
        if request.headers["X-Amz-Target"].endswith("CreateLogStream"):
            self.streams.add(stream)
            return json_answer({})
        if stream not in self.streams:
            return json_answer({"__type": "ResourceNotFoundException"}, status=400)
        stamps = [event["timestamp"] for event in asked["logEvents"]]
        assert stamps == sorted(stamps)
        self.events += asked["logEvents"]
        return json_answer({"rejectedLogEventsInfo": self.rejected} if self.rejected else {})


async def test_content_is_logged_in_a_stream_of_its_own_in_order(stack: AsyncExitStack) -> None:
    group = LogGroup()
    logs = await client(stack, "logs", HttpReceiver(group.answer))
    sink = ContentLogSink(logs, log_stream="task-1", limits=LIMITS)
    await sink.start()
    event = content_event(record(1), policy(log_content=True), content("canary"))
    assert event is not None
    sink.accept(event)
    sink.accept(LogEvent(event.timestamp_ms - 5, "{}"))
    await sink.flush(60)
    assert [json.loads(one["message"]).get("completion") for one in group.events] == [None, "A book. canary"]
    assert group.streams == {"task-1"}


async def test_a_log_stream_that_was_deleted_is_made_again(stack: AsyncExitStack) -> None:
    group = LogGroup()
    logs = await client(stack, "logs", HttpReceiver(group.answer))
    sink = ContentLogSink(logs, log_stream="task-1", limits=LIMITS)
    sink._stream_exists = True
    await sink.start()
    sink.accept(LogEvent(1, "{}"))
    await sink.flush(60)
    assert sink.counts.delivered == 1


async def test_events_that_the_log_group_rejects_are_counted(stack: AsyncExitStack) -> None:
    group = LogGroup()
    group.rejected = {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3}
    logs = await client(stack, "logs", HttpReceiver(group.answer))
    sink = ContentLogSink(logs, log_stream="task-1", limits=LIMITS)
    await sink.start()
    for stamp in range(4):
        sink.accept(LogEvent(stamp, "{}"))
    await sink.flush(60)
    assert (sink.counts.delivered, sink.counts.dropped) == (2, 2)
