"""Lines to a pipe or an agent, spans to a collector or a daemon: what arrives, and that nothing waits."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from contract.receivers import HttpReceiver, LineReceiver, UdpReceiver, otlp
from corpus.invocations import attempt, record
from gateway.sinks.spans import SpanSink
from gateway.sinks.xray_daemon import XrayDaemonSink
from harness.platform import eventually
from llmplatform.emf import encode_invocation
from llmplatform.errors import ConfigFault
from llmplatform.invocation import Outcome
from llmplatform.process.lines import AgentLineSink, FileLineSink, parse_agent_endpoint
from llmplatform.process.tracing import otlp_exporter, process_resource


async def test_a_full_pipe_does_not_hold_up_the_event_loop() -> None:
    read_fd, write_fd = os.pipe()
    sink = FileLineSink(write_fd)
    await sink.start()
    for number in range(2_000):
        sink.accept(encode_invocation(record(number)))
    await asyncio.sleep(0.5)  # a loop that is held up by a pipe that nobody reads never comes back
    assert sink.counts.pending == 2_000
    await sink.flush(0.1)
    assert sink.counts.dropped == 2_000
    os.close(read_fd)
    os.close(write_fd)


def test_a_process_ends_although_nobody_reads_its_lines() -> None:
    program = """
import asyncio
from llmplatform.process.lines import FileLineSink
async def main():
    sink = FileLineSink(1)
    await sink.start()
    for _ in range(1000):
        sink.accept(b"x" * 1000)
    await asyncio.sleep(0.5)
    await sink.flush(0.2)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.wait(timeout=60) == 0


async def test_a_reader_that_went_away_costs_drops_only() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    sink = FileLineSink(write_fd)
    await sink.start()
    sink.accept(b"{}")
    await sink.flush(2)
    assert (sink.counts.delivered, sink.counts.dropped) == (0, 1)
    os.close(write_fd)


async def test_lines_arrive_whole_and_in_order() -> None:
    agent = LineReceiver()
    await agent.start()
    sink = AgentLineSink(f"tcp://127.0.0.1:{agent.port}")
    await sink.start()
    lines = [encode_invocation(record(number)) for number in range(300)]
    for line in lines:
        sink.accept(line)
    await sink.flush(60)
    await eventually(lambda: len(agent.lines) >= 300 or None)
    assert agent.lines == [line + b"\n" for line in lines]
    await agent.stop()


def test_a_line_that_is_none_or_too_long_is_dropped() -> None:
    sink = AgentLineSink("tcp://127.0.0.1:1")
    sink.accept(b"two\nlines")
    sink.accept(b"x" * 1_000_001)
    assert sink.counts.dropped == 2


@pytest.mark.parametrize("endpoint", ["udp://host:1", "host:25888", "tcp://", "tcp://host:port", ""])
def test_an_agent_endpoint_that_makes_no_sense_stops_the_start(endpoint: str) -> None:
    with pytest.raises(ConfigFault, match="tcp://host:port"):
        parse_agent_endpoint(endpoint)


def test_an_agent_endpoint_may_leave_out_the_port() -> None:
    assert parse_agent_endpoint("tcp://cwagent") == ("cwagent", 25888)
    assert parse_agent_endpoint("tcp://127.0.0.1:9000") == ("127.0.0.1", 9000)


async def test_spans_go_out_as_otlp() -> None:
    receiver = HttpReceiver(otlp)
    await receiver.start()
    resource = process_resource("gateway", version="1", instance_id="task-1")
    sink = SpanSink(otlp_exporter(receiver.url + "/"), resource)
    await sink.start()
    sink.accept(record(3, trace_kept="head"))
    await sink.flush(60)
    assert receiver.received == [3]
    await receiver.stop()


async def test_segments_are_those_of_xray() -> None:
    daemon = UdpReceiver()
    await daemon.start()
    sink = XrayDaemonSink(f"127.0.0.1:{daemon.port}")
    await sink.start()
    failed = attempt(outcome=Outcome.BACKEND_FAILED, error_type="throttlingException", duration_ms=10.0)
    sink.accept(record(5, attempts=(failed, attempt(started_ms=20.0)), trace_kept="head"))
    await sink.flush(60)
    await eventually(lambda: daemon.documents or None)
    (segment,) = daemon.documents
    assert segment["trace_id"] == "1-7d5f1c0a-9b3e4d218c6f0a1b2c3d4e5f"
    assert segment["id"] == "00f067aa0ba902b7"
    assert segment["end_time"] - segment["start_time"] == pytest.approx(1.2345678, abs=1e-4)
    assert segment["annotations"]["tenant_id"] == "acme"
    first, second = segment["subsegments"]
    assert (first["fault"], first["annotations"]["error_type"]) == (True, "throttlingException")
    assert second["start_time"] - segment["start_time"] == pytest.approx(0.02, abs=1e-4)
    assert len({segment["id"], first["id"], second["id"]}) == 3
    assert json.dumps(segment).isascii()
    await daemon.stop()
