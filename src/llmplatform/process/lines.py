"""Writes EMF lines where CloudWatch finds them: to a file descriptor, or to an agent over TCP.

Standard output is a pipe that its reader may stop reading, so a thread writes to it and the event loop
never does. `AWS_EMF_AGENT_ENDPOINT` names an agent as the EMF client libraries have it.
"""

import asyncio
import os
import select
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from llmplatform.emf import MAX_EVENT_BYTES
from llmplatform.errors import ConfigFault, TelemetryFault
from llmplatform.process.batching import BatchingSink, Limits, Receipt
from llmplatform.process.thread import DaemonThread

DEFAULT_AGENT_PORT: Final = 25888

# CloudWatch's own advice is to send within 5 s, or alarms see half a minute.
LINE_LIMITS: Final = Limits(
    queued_items=50_000,
    queued_bytes=64 * 1024 * 1024,
    batch_items=500,
    batch_bytes=MAX_EVENT_BYTES + 1,
    linger_s=0.2,
    attempt_timeout_s=5.0,
)
# A blocked write cannot be taken back: wait for it, and let the queue in front of it overflow.
_FILE_LIMITS: Final = Limits(
    queued_items=50_000,
    queued_bytes=64 * 1024 * 1024,
    batch_items=500,
    batch_bytes=MAX_EVENT_BYTES + 1,
    linger_s=0.2,
    tries=1,
    attempt_timeout_s=None,
)


class _LineSink(BatchingSink[bytes, bytes]):
    """Takes lines without their newline."""

    def _encode(self, item: bytes) -> tuple[bytes, int]:
        if len(item) > MAX_EVENT_BYTES or b"\n" in item:
            raise TelemetryFault("not one line of at most 1 MB")
        return item + b"\n", len(item) + 1


class FileLineSink(_LineSink):
    """Delivers lines to a file descriptor, standard output by default."""

    def __init__(self, fd: int = 1, *, limits: Limits = _FILE_LIMITS, name: str = "emf") -> None:
        super().__init__(name, limits)
        self._fd = fd
        self._thread: DaemonThread | None = None

    async def _open(self) -> None:
        self._thread = DaemonThread("emf-writer")

    async def _close(self) -> None:
        if self._thread is not None:
            self._thread.stop()

    async def _deliver(self, batch: Sequence[bytes]) -> Receipt[bytes]:
        if self._thread is None:
            raise TelemetryFault("the line sink is not started")
        data = b"".join(batch)
        await self._thread.run(lambda: _write_all(self._fd, data))
        return Receipt()


class AgentLineSink(_LineSink):
    """Delivers lines to a CloudWatch agent at `tcp://host:port`.

    The agent acknowledges nothing: delivered is what the kernel took on a connection that stood.
    """

    def __init__(self, endpoint: str, *, limits: Limits = LINE_LIMITS, name: str = "emf") -> None:
        super().__init__(name, limits)
        self._host, self._port = parse_agent_endpoint(endpoint)
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _deliver(self, batch: Sequence[bytes]) -> Receipt[bytes]:
        writer = await self._connected()
        try:
            writer.write(b"".join(batch))
            await writer.drain()
        except BaseException:
            writer.transport.abort()
            self._connection = None
            raise
        return Receipt()

    async def _connected(self) -> asyncio.StreamWriter:
        if self._connection is not None:
            reader, writer = self._connection
            if not reader.at_eof() and not writer.is_closing():
                return writer
            writer.transport.abort()
        self._connection = None
        reader, writer = await asyncio.open_connection(self._host, self._port)
        # `drain` is to return when the kernel has it all, not when our buffer is half empty.
        writer.transport.set_write_buffer_limits(high=0)
        self._connection = reader, writer
        return writer

    async def _close(self) -> None:
        if self._connection is not None:
            _, writer = self._connection
            writer.close()
            await writer.wait_closed()


def line_sink(agent_endpoint: str | None, *, fd: int = 1) -> FileLineSink | AgentLineSink:
    """Where a deployment's lines go: to the agent that its environment names, else to a file descriptor."""
    return AgentLineSink(agent_endpoint) if agent_endpoint else FileLineSink(fd)


def parse_agent_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of `tcp://host:port`. Raises ConfigFault for anything else."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme != "tcp" or not host:
        raise ConfigFault("AWS_EMF_AGENT_ENDPOINT: expected tcp://host:port")
    return host, port or DEFAULT_AGENT_PORT


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # whoever shares the descriptor made it non-blocking
            select.select([], [fd], [])
