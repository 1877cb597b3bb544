"""A scripted AWS as a process of its own: `scripted_aws.py PORT ROWS LATENCY_MS PUTS_PER_S`.

It answers what the console and `watch apply` ask, each call after some time, over real sockets and in the
protocols that the real clients speak. `GET /calls` tells how often each operation was asked for and how often
it was throttled. What is in it: `world`, `ledger`, `tables`, `cloudwatch`, `services`.
"""

import asyncio
import re
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import uvloop
from cloudwatch import ScriptedCloudWatch, Throttled
from services import TRACES, XML_ANSWERS, ScriptedParameters, files, traces
from tables import ScriptedTables
from world import Requests


class ScriptedAws:
    """Answers and counts."""

    def __init__(self, rows: int, puts_per_s: float) -> None:
        started = datetime.now(UTC)
        self.calls: Counter[str] = Counter()
        self._tables = ScriptedTables(Requests(rows, started), started)
        self._parameters = ScriptedParameters()
        self._cloudwatch = ScriptedCloudWatch(started, puts_per_s)

    def answer(self, line: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Status and body for a request's first line, its X-Amz-Target, if any, and its body."""
        method, path, _ = line.split(" ", 2)
        service, _, operation = target.rpartition(".")
        if service:
            self.calls[operation] += 1
            return 200, self._json(service, operation, orjson.loads(body))
        if path[1:] in TRACES:
            self.calls[path[1:]] += 1
            return 200, traces(self._tables.rows, path[1:], orjson.loads(body))
        if path == "/calls":
            throttled = {f"{name} throttled": count for name, count in self._cloudwatch.throttled.items()}
            return 200, orjson.dumps({**self.calls, **throttled})
        if method == "GET":
            self.calls["ListObjects" if "list-type" in path else "GetObject"] += 1
            return 200, files(path)
        return self._form(body.decode())

    def _json(self, service: str, operation: str, asked: dict[str, Any]) -> bytes:
        if service.startswith("DynamoDB"):
            return self._tables.answer(operation, asked)
        if service == "AmazonSSM":
            return self._parameters.answer(operation, asked)
        assert operation == "GetResources", (service, operation)
        return orjson.dumps(
            self._cloudwatch.tagged(int(asked.get("PaginationToken") or 0), asked["ResourcesPerPage"])
        )

    def _form(self, body: str) -> tuple[int, bytes]:
        action = body.partition("Action=")[2].partition("&")[0]
        self.calls[action] += 1
        try:
            if action in XML_ANSWERS:
                inside = XML_ANSWERS[action](body)
            else:
                inside = self._cloudwatch.answer(action, body, asyncio.get_running_loop().time())
        except Throttled:
            return 400, _THROTTLED
        return 200, (
            f"<{action}Response><{action}Result>{inside}</{action}Result>"
            f"<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
        ).encode()


class Connection(asyncio.Protocol):
    """A client's requests, one after the other: a web framework would cost more than what is measured."""

    def __init__(self, aws: ScriptedAws, latency_s: float) -> None:
        self._aws = aws
        self._latency_s = latency_s
        self._received = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole, that long after it came; no other comes before its answer."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].decode("latin-1")
        length = _LENGTH.search(head)
        body = bytes(self._received[end + 4 :])
        if len(body) < (int(length[1]) if length else 0):
            return
        self._received.clear()
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._latency_s
        target = _TARGET.search(head)
        status, answer = self._aws.answer(head.partition("\r\n")[0], target[1] if target else "", body)
        loop.call_at(due_s, self._send, status, answer)

    def _send(self, status: int, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.writelines((_HEAD % (status, len(answer)), answer))


async def serve(port: int, rows: int, latency_ms: float, puts_per_s: float) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    aws = ScriptedAws(rows, puts_per_s)
    await loop.create_server(lambda: Connection(aws, latency_ms / 1_000), "127.0.0.1", port)
    await stopped.wait()


_LENGTH: Final = re.compile(r"\r\ncontent-length: (\d+)", re.IGNORECASE)
_TARGET: Final = re.compile(r"\r\nx-amz-target: ([\w.]+)", re.IGNORECASE)
_HEAD: Final = b"HTTP/1.1 %d OK\r\nx-amzn-RequestId: 1\r\nContent-Length: %d\r\n\r\n"
_THROTTLED: Final = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>ThrottlingException</Code>"
    b"<Message>Rate exceeded</Message></Error><RequestId>1</RequestId></ErrorResponse>"
)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
