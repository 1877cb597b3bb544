"""Takes log lines as the CloudWatch agent does, and does with them what CloudWatch would.

Lines come over TCP (the agent's port is 25888) or from a process's output (`accept_line`). Metrics of
those in the embedded metric format go to CloudWatch, every line goes to Logs, and what CloudWatch would
have rejected is counted, kept and told. What is extracted and why is `emf_extraction`'s, how it gets
there `cloudwatch_delivery`'s.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Final

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.aws.tables import GATEWAY_LOGS
from sandbox.cloudwatch_delivery import CloudWatchDelivery
from sandbox.emf_extraction import MAX_EVENT_BYTES, Datum, Rejection, extract

logger = logging.getLogger(__name__)

AGENT_PORT: Final = 25888
MAX_KEPT_REJECTIONS: Final = 1_000
LAST_FLUSH_WITHIN_S: Final = 5.0


class EmfIntake:
    """Where lines go in; `serve_emf` makes one.

    `lines` counts them. `rejections` are the latest, `rejected` counts them all by kind. What the
    delivery had to drop is told by the delivery.
    """

    def __init__(self, delivery: CloudWatchDelivery, *, group: str, stream: str) -> None:
        self.delivery = delivery
        self.port = 0
        self.lines = 0
        self.rejections: deque[Rejection] = deque(maxlen=MAX_KEPT_REJECTIONS)
        self.rejected: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.BaseTransport] = set()
        self._group = group
        self._stream = stream

    @property
    def address(self) -> str:
        """What `AWS_EMF_AGENT_ENDPOINT` wants."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def listening(self) -> bool:
        """Whether it can be reached."""
        return self._server is not None

    async def listen(self) -> None:
        """Let clients in, on the same port as before where there was one."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Lines(self), "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def hang_up(self) -> None:
        """Go away as an agent that dies does: nobody is let in, and who was there is cut off."""
        self.close()
        for connection in list(self._connections):
            if isinstance(connection, asyncio.Transport):
                connection.abort()

    def close(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def joined(self, connection: asyncio.BaseTransport) -> None:
        """Take note of a client."""
        self._connections.add(connection)

    def left(self, connection: asyncio.BaseTransport) -> None:
        """Take note that one is gone."""
        self._connections.discard(connection)

    def accept_line(self, line: bytes) -> None:
        """Take one line, with or without its newline. Never waits."""
        line = line.rstrip(b"\r\n")
        if not line:
            return
        self.lines += 1
        now_ms = time.time_ns() // 1_000_000
        extraction = extract(line, now_ms)
        group = extraction.log_group or self._group
        for rejection in extraction.rejections:
            self._reject(rejection, group, now_ms)
        for datum in extraction.datums:
            self.delivery.add_datum(datum)
        if len(line) <= MAX_EVENT_BYTES:
            self.delivery.add_line(group, extraction.log_stream or self._stream, now_ms, line)

    async def flush(self) -> None:
        """Put all that waits now instead of soon."""
        await self.delivery.flush()

    def _reject(self, rejection: Rejection, group: str, now_ms: int) -> None:
        """Tell of it as CloudWatch does: by a metric of the log group."""
        self.rejections.append(rejection)
        self.rejected[rejection.kind] += 1
        logger.warning("EMF rejected (%s): %s at %s", rejection.kind, rejection.reason, rejection.where)
        name = "EMFParsingErrors" if rejection.kind == "parsing" else "EMFValidationErrors"
        of_group = (("LogGroupName", group),)
        self.delivery.add_datum(Datum("AWS/Logs", name, of_group, "None", 60, now_ms, (1.0,)))


class _Lines(asyncio.Protocol):
    """One connection: cuts what comes into lines; the rest of a line that is too long is not kept."""

    def __init__(self, intake: EmfIntake) -> None:
        self._intake = intake
        self._rest = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._intake.joined(transport)

    def data_received(self, data: bytes) -> None:
        """Hand over the lines that are whole now."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._intake.accept_line(bytes(self._rest) + piece)
            self._rest.clear()
        self._rest += rest[: MAX_EVENT_BYTES + 1 - len(self._rest)]

    def connection_lost(self, _error: Exception | None) -> None:
        """Hand over a last line that had no newline."""
        if self._transport is not None:
            self._intake.left(self._transport)
        self._intake.accept_line(bytes(self._rest))


@contextlib.asynccontextmanager
async def serve_emf(
    session: aioboto3.Session,
    *,
    endpoint_url: str | None = None,
    port: int = 0,
    group: str = GATEWAY_LOGS.name,
    stream: str = "gateway",
) -> AsyncIterator[EmfIntake]:
    """Listen on loopback until the block ends, then put what waits, once.

    `port` 0 chooses one, `AGENT_PORT` is where EMF clients look. Lines go to `group` and `stream` unless
    they name their own (`LogGroupName` and `LogStreamName` in `_aws`).
    """
    async with (
        session.client("cloudwatch", endpoint_url=endpoint_url) as cloudwatch,
        session.client("logs", endpoint_url=endpoint_url) as logs,
    ):
        delivery = CloudWatchDelivery(cloudwatch, logs)
        intake = EmfIntake(delivery, group=group, stream=stream)
        intake.port = port
        await intake.listen()
        flusher = asyncio.create_task(delivery.flush_for_ever(), name="emf-flush")
        try:
            yield intake
        finally:
            intake.close()
            flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flusher
            with contextlib.suppress(BotoCoreError, ClientError, OSError, TimeoutError):
                await asyncio.wait_for(intake.flush(), LAST_FLUSH_WITHIN_S)
