"""What every sink promises, kept by each of them over real sockets, pipes and datagrams."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import aioboto3
import pytest
from aiobotocore.config import AioConfig

from contract.receivers import (
    Answer,
    HttpReceiver,
    LineReceiver,
    Mood,
    PipeReceiver,
    Receiver,
    UdpReceiver,
    dynamodb,
    kinesis,
    logs,
    otlp,
)
from corpus.invocations import content, policy, record
from gateway.sinks.content_log import ContentLogSink, content_event
from gateway.sinks.kinesis import KinesisSink, StreamRecord
from gateway.sinks.spans import SpanSink
from gateway.sinks.xray_daemon import XrayDaemonSink
from harness.platform import eventually
from llmplatform.aws.ledger_sink import LedgerSink
from llmplatform.aws.sigv4 import Credentials
from llmplatform.clock import SystemClock
from llmplatform.emf import encode_invocation
from llmplatform.process.batching import BatchingSink, Limits
from llmplatform.process.lines import AgentLineSink, FileLineSink
from llmplatform.process.tracing import otlp_exporter, process_resource
from llmplatform.samples import encode_sample

LIMITS = Limits(
    queued_items=200,
    queued_bytes=2_000_000,
    batch_items=20,
    batch_bytes=1_000_000,
    linger_s=0.01,
    tries=2_000,
    first_pause_s=0.01,
    max_pause_s=0.05,
    attempt_timeout_s=0.5,
)
PATIENT = replace(LIMITS, attempt_timeout_s=60.0)
"""Where all is well nothing is tried twice, however long it takes."""
DEADLINE_S = 0.5
LOST_S = 60
"""Two thousand tries with a twentieth of a second between them are longer."""


@dataclass
class Pair:
    kind: str
    sink: BatchingSink[Any, Any]
    receiver: Receiver
    item: Callable[[int], Any]

    async def break_receiver(self) -> None:
        await self.receiver.stop()
        if isinstance(self.receiver, PipeReceiver):
            self.receiver.fill()

    @property
    def adds_up(self) -> bool:
        counts = self.sink.counts
        return counts.pending >= 0 and counts.accepted == counts.delivered + counts.dropped + counts.pending


def sample(number: int) -> StreamRecord:
    one = record(number)
    return StreamRecord(one.request_id, encode_sample(one, policy(), content()))


def line(number: int) -> bytes:
    return encode_invocation(record(number))


def log_event(number: int) -> object:
    return content_event(record(number), policy(log_content=True), content())


async def client(stack: AsyncExitStack, service: Any, url: str, limits: Limits) -> Any:
    session = aioboto3.Session(
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    within_s = 2 * (limits.attempt_timeout_s or 0)
    config = AioConfig(connect_timeout=within_s, read_timeout=within_s, retries={"total_max_attempts": 1})
    return await stack.enter_async_context(session.client(service, endpoint_url=url, config=config))


async def http_receiver(stack: AsyncExitStack, answer: Answer) -> HttpReceiver:
    receiver = HttpReceiver(answer)
    await receiver.start()
    stack.push_async_callback(receiver.stop)
    return receiver


async def ledger_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = await http_receiver(stack, dynamodb)
    sink = LedgerSink(
        url=receiver.url,
        region="eu-central-1",
        credentials=lambda: Credentials("test", "test"),
        clock=SystemClock(),
        limits=limits,
    )
    return Pair("ledger", sink, receiver, record)


async def kinesis_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = await http_receiver(stack, kinesis)
    sink = KinesisSink(await client(stack, "kinesis", receiver.url, limits), limits=limits)
    return Pair("kinesis", sink, receiver, sample)


async def content_log_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = await http_receiver(stack, logs)
    sink = ContentLogSink(
        await client(stack, "logs", receiver.url, limits), log_stream="task-1", limits=limits
    )
    return Pair("content_log", sink, receiver, log_event)


async def spans_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = await http_receiver(stack, otlp)
    resource = process_resource("gateway", version="1", instance_id="task-1")
    sink = SpanSink(
        otlp_exporter(receiver.url, timeout_s=0.6 * (limits.attempt_timeout_s or 0)), resource, limits=limits
    )
    return Pair("spans", sink, receiver, record)


async def emf_agent_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = LineReceiver()
    await receiver.start()
    stack.push_async_callback(receiver.stop)
    sink = AgentLineSink(f"tcp://127.0.0.1:{receiver.port}", limits=limits)
    return Pair("emf_agent", sink, receiver, line)


async def emf_file_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = PipeReceiver()
    await receiver.start()
    stack.callback(receiver.close)
    stack.push_async_callback(receiver.stop)
    sink = FileLineSink(receiver.write_fd, limits=replace(limits, tries=1, attempt_timeout_s=None))
    return Pair("emf_file", sink, receiver, line)


async def xray_daemon_pair(stack: AsyncExitStack, limits: Limits) -> Pair:
    receiver = UdpReceiver()
    await receiver.start()
    stack.push_async_callback(receiver.stop)
    sink = XrayDaemonSink(f"127.0.0.1:{receiver.port}", limits=limits)
    return Pair("xray_daemon", sink, receiver, record)


PAIRS = {
    "ledger": ledger_pair,
    "kinesis": kinesis_pair,
    "content_log": content_log_pair,
    "spans": spans_pair,
    "emf_agent": emf_agent_pair,
    "emf_file": emf_file_pair,
    "xray_daemon": xray_daemon_pair,
}
NOTICE = tuple(kind for kind in PAIRS if kind != "xray_daemon")
"""Those that notice that their receiver is gone: UDP does not."""


@pytest.fixture
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        kind, limits = request.param
        made = await PAIRS[kind](stack, limits)
        yield made
        await made.sink.flush(0)


def pairs(*kinds: str, limits: Limits = LIMITS) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", [(kind, limits) for kind in kinds], ids=kinds, indirect=True)


EVERY, NOTICING, WHERE_ALL_IS_WELL = pairs(*PAIRS), pairs(*NOTICE), pairs(*PAIRS, limits=PATIENT)


@WHERE_ALL_IS_WELL
async def test_delivers_each_item_once_when_all_is_well(pair: Pair) -> None:
    await pair.sink.start()
    for number in range(150):
        pair.sink.accept(pair.item(number))
    await pair.sink.flush(60)
    await eventually(lambda: len(pair.receiver.received) >= 150 or None)
    assert sorted(pair.receiver.received) == list(range(150))
    assert (pair.sink.counts.accepted, pair.sink.counts.delivered) == (150, 150)


@EVERY
async def test_holds_no_more_than_its_bound_and_counts_the_rest(pair: Pair) -> None:
    item = pair.item(1)
    for _ in range(5 * LIMITS.queued_items):
        pair.sink.accept(item)
    assert pair.sink.counts.pending <= LIMITS.queued_items
    assert pair.sink.counts.dropped >= 4 * LIMITS.queued_items
    assert pair.adds_up


@WHERE_ALL_IS_WELL
async def test_an_item_that_makes_no_sense_is_a_drop_and_costs_the_others_nothing(pair: Pair) -> None:
    await pair.sink.start()
    pair.sink.accept(pair.item(1))
    pair.sink.accept(object())
    pair.sink.accept(pair.item(2))
    await pair.sink.flush(60)
    await eventually(lambda: len(pair.receiver.received) >= 2 or None)
    assert sorted(pair.receiver.received) == [1, 2]
    assert (pair.sink.counts.delivered, pair.sink.counts.dropped) == (2, 1)


@EVERY
async def test_flush_meets_its_deadline_with_a_dead_receiver(pair: Pair) -> None:
    await pair.break_receiver()
    await pair.sink.start()
    for number in range(100):
        pair.sink.accept(pair.item(number))
    async with asyncio.timeout(LOST_S):
        await pair.sink.flush(DEADLINE_S)
    assert pair.sink.counts.pending == 0
    assert pair.adds_up
    if pair.kind in NOTICE:
        assert pair.sink.counts.dropped == 100


@pytest.mark.parametrize("mood", ["failing", "garbage", "silent"])
@pairs("ledger", "kinesis", "content_log", "spans")
async def test_flush_meets_its_deadline_with_a_receiver_that_is_ill(pair: Pair, mood: Mood) -> None:
    pair.receiver.mood = mood
    await pair.sink.start()
    for number in range(50):
        pair.sink.accept(pair.item(number))
    async with asyncio.timeout(LOST_S):
        await pair.sink.flush(DEADLINE_S)
    assert pair.sink.counts.pending == 0
    assert pair.adds_up


@NOTICING
async def test_what_waited_is_delivered_when_the_receiver_comes_back(pair: Pair) -> None:
    await pair.break_receiver()
    await pair.sink.start()
    for number in range(40):
        pair.sink.accept(pair.item(number))
    await asyncio.sleep(0.1)
    assert pair.sink.counts.delivered == 0
    await pair.receiver.start()
    await eventually(lambda: pair.sink.counts.delivered == 40 or None)
    await eventually(lambda: set(pair.receiver.received) == set(range(40)) or None)


@EVERY
async def test_goes_on_after_its_receiver_was_gone(pair: Pair) -> None:
    await pair.sink.start()
    pair.sink.accept(pair.item(1))
    await eventually(lambda: 1 in pair.receiver.received or None)
    await pair.receiver.stop()
    pair.sink.accept(pair.item(2))
    await asyncio.sleep(0.05)
    await pair.receiver.start()
    pair.sink.accept(pair.item(3))
    await eventually(lambda: 3 in pair.receiver.received or None)
    await pair.sink.flush(60)
    assert pair.adds_up


@EVERY
async def test_takes_nothing_after_its_flush(pair: Pair) -> None:
    await pair.sink.start()
    await pair.sink.flush(60)
    pair.sink.accept(pair.item(1))
    assert (pair.sink.counts.accepted, pair.sink.counts.dropped) == (1, 1)


@EVERY
async def test_a_sink_that_never_started_loses_its_items_and_says_so(pair: Pair) -> None:
    pair.sink.accept(pair.item(1))
    await pair.sink.flush(1)
    assert (pair.sink.counts.accepted, pair.sink.counts.dropped) == (1, 1)


@EVERY
async def test_accept_does_not_wait(pair: Pair) -> None:
    await pair.break_receiver()
    await pair.sink.start()
    item = pair.item(1)
    began = time.monotonic()
    for _ in range(1_000):
        pair.sink.accept(item)
    assert (
        time.monotonic() - began < 1_000 * LIMITS.linger_s
    )  # as long as the shortest wait for each would be
    await pair.sink.flush(0)
    assert pair.adds_up
