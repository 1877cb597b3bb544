"""The other end of each sink: small real servers that can die, hang, talk nonsense and come back."""

import asyncio
import base64
import contextlib
import json
import os
import re
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Mood = Literal["well", "failing", "garbage", "silent"]
HANG_S = 30


class Receiver(ABC):
    """What a sink delivers to. `received` is the number in each item, as it arrived."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.received: list[int] = []
        self.port = 0

    @abstractmethod
    async def start(self) -> None:
        """Listen, on the same address each time."""

    @abstractmethod
    async def stop(self) -> None:
        """Be gone."""


class HttpReceiver(Receiver):
    """A server that hands each body to `answer`."""

    def __init__(self, answer: "Answer") -> None:
        super().__init__()
        self.requests = 0
        self._answer = answer
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = int(site.name.rpartition(":")[2]) or self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        self.requests += 1
        body = await request.content.read()  # `request.read` has a limit of its own
        match self.mood:
            case "failing":
                return web.Response(status=500, body=b'{"__type":"InternalServerError"}')
            case "garbage":
                return web.Response(body=b"\x00\xff{not an answer", content_type="application/x-amz-json-1.1")
            case "silent":
                await asyncio.sleep(HANG_S)
        return self._answer(self, request, body)


Answer = Callable[[HttpReceiver, web.BaseRequest, bytes], web.Response]


def json_answer(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(value).encode(), content_type="application/x-amz-json-1.1"
    )


def number_of(text: str) -> int:
    """The number in the request id of a test record."""
    found = re.search(r"8000-([0-9a-f]{12})", text)
    assert found is not None, text
    return int(found[1], 16)


def dynamodb(receiver: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
    assert request.headers["X-Amz-Target"] == "DynamoDB_20120810.BatchWriteItem"
    assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
    ((_, writes),) = json.loads(body)["RequestItems"].items()
    assert len(writes) <= 25
    receiver.received += [number_of(write["PutRequest"]["Item"]["request_id"]["S"]) for write in writes]
    return json_answer({"UnprocessedItems": {}})


def kinesis(receiver: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
    assert request.headers["X-Amz-Target"] == "Kinesis_20131202.PutRecords"
    records = json.loads(body)["Records"]
    assert len(records) <= 500
    receiver.received += [number_of(base64.b64decode(record["Data"]).decode()) for record in records]
    results = [{"SequenceNumber": str(at), "ShardId": "shardId-0"} for at in range(len(records))]
    return json_answer({"FailedRecordCount": 0, "Records": results})


def logs(receiver: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
    if request.headers["X-Amz-Target"] == "Logs_20140328.CreateLogStream":
        return json_answer({"__type": "ResourceAlreadyExistsException"}, status=400)
    assert request.headers["X-Amz-Target"] == "Logs_20140328.PutLogEvents"
    receiver.received += [number_of(event["message"]) for event in json.loads(body)["logEvents"]]
    return json_answer({})


def otlp(receiver: HttpReceiver, request: web.BaseRequest, body: bytes) -> web.Response:
    assert request.path == "/v1/traces"
    asked = ExportTraceServiceRequest.FromString(body)
    for resource_spans in asked.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                attributes = {pair.key: pair.value for pair in span.attributes}
                if span.kind == span.SPAN_KIND_SERVER:
                    receiver.received.append(number_of(attributes["llmplatform.request_id"].string_value))
    return web.Response(
        body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
    )


class LineReceiver(Receiver):
    """A CloudWatch agent's TCP port: reads lines, answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.lines: list[bytes] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._read, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.mood == "failing":
                return
            if self.mood == "garbage":
                writer.write(b"\x00\xffwho are you?\r\n" * 100)
            while line := await reader.readline():
                self.lines.append(line)
                self.received.append(number_of(line.decode()))
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class PipeReceiver(Receiver):
    """A log driver: whoever reads the other end of our standard output, or does not."""

    def __init__(self) -> None:
        super().__init__()
        self._read_fd, self.write_fd = os.pipe()
        self._thread: threading.Thread | None = None
        self._rest = b""
        os.set_blocking(self._read_fd, False)

    async def start(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._stopping = threading.Event()
        self._thread.start()

    async def stop(self) -> None:
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def fill(self) -> None:
        """Leave no room in the pipe, as a reader that stopped long ago does."""
        os.set_blocking(self.write_fd, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.write_fd, b"\n" * 65_536)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.write_fd, b"\n")
        os.set_blocking(self.write_fd, True)

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self.write_fd)

    def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                self._rest += os.read(self._read_fd, 1 << 16)
            except BlockingIOError:
                self._stopping.wait(0.005)
                continue
            *lines, self._rest = self._rest.split(b"\n")
            self.received += [number_of(line.decode()) for line in lines if line]


class UdpReceiver(Receiver):
    """An X-Ray daemon."""

    def __init__(self) -> None:
        super().__init__()
        self._transport: asyncio.DatagramTransport | None = None
        self.documents: list[dict[str, Any]] = []

    async def start(self) -> None:
        receiver = self

        class Daemon(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                del addr
                header, _, document = data.partition(b"\n")
                assert json.loads(header) == {"format": "json", "version": 1}
                receiver.documents.append(json.loads(document))
                receiver.received.append(number_of(document.decode()))

        loop = asyncio.get_running_loop()
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        listener.bind(("127.0.0.1", self.port))
        self._transport, _ = await loop.create_datagram_endpoint(Daemon, sock=listener)
        self.port = listener.getsockname()[1]

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
            await asyncio.sleep(0)
