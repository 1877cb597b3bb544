"""What a reviewer tried to break: our own counting, clients that do not read, odd connections."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.chat import ChatRequest
from gateway.http.asgi import AsgiApp, Message, Receive, Scope, Send
from gateway.http.replying import StreamReply
from gateway.http.server import serve
from gateway.lifeline import Lifelines
from gateway.surfaces.openai_chat import OPENAI_CHAT
from gateway.tokenizers.tokenizer import Pieces
from gateway.tokenizing import Counters
from harness.gateway import GatewayUnderTest, running_gateway, small_catalogue
from harness.platform import eventually
from llmplatform.errors import BackendUnavailable
from llmplatform.invocation import Outcome
from sandbox.engines.scripted import Script
from sandbox.faults import Refuse

HELLO: Any = [{"role": "user", "content": "hello"}]
_LISTENING = "0A"


class HeldTokenizer:
    """Is done with anything once it is let go, in a thread."""

    name = "held"
    inline_bytes = 0

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def pieces(self, request: ChatRequest) -> Pieces:
        """Nothing to count, when a test wants it."""
        self.let_go.wait()
        return Pieces((), 7, exact=bool(request.messages))

    def count_text(self, text: str) -> int:
        """Never asked: there are no pieces."""
        raise NotImplementedError


class BrokenTokenizer(HeldTokenizer):
    """Fails on everything."""

    def pieces(self, request: ChatRequest) -> Pieces:
        """Fail."""
        raise OverflowError(f"{len(request.messages)} messages are too many")


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tokenizer that the next gateway counts every model with: put it in."""
    given: list[Any] = []
    monkeypatch.setattr(
        "harness.gateway.build_counters",
        lambda catalogue: Counters(
            dict.fromkeys(catalogue.models, given[0]), dict.fromkeys(catalogue.models, 4.0), {}
        ),
    )
    return given


async def ask(gateway: GatewayUnderTest, model: str, *, stream: bool) -> int:
    """Ask and read the whole reply; its status."""
    body = {"model": model, "messages": HELLO, "stream": stream}
    async with gateway.http() as client:
        return (await client.post("/v1/chat/completions", json=body)).status_code


@pytest.fixture
def held(tokenizer: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldTokenizer]:
    """That tokenizer, which counts once it is let go; its count is waited for."""
    monkeypatch.setattr("gateway.prompt_study._PATIENCE_S", 60.0)
    made = HeldTokenizer()
    tokenizer.append(made)
    yield made
    made.let_go.set()


@pytest.mark.parametrize("stream", [True, False])
async def test_latency_ends_with_the_reply_and_not_with_our_own_count(
    held: HeldTokenizer,
    stream: bool,  # noqa: FBT001
) -> None:
    async with running_gateway() as gateway:
        began = time.monotonic()
        assert await ask(gateway, "scripted-bedrock", stream=stream) == 200
        answered_ms = (time.monotonic() - began) * 1_000
        held.let_go.set()
        record = await gateway.record()
        assert record.counted_prompt_tokens == 7
        assert record.total_latency_ms <= answered_ms


async def test_a_retry_does_not_wait_for_our_own_count(held: HeldTokenizer) -> None:
    catalogue = small_catalogue(**{"scripted-bedrock": {"max_attempts": 2}})
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            faults=(Refuse(status=429, error_type="ThrottlingException", times=1),)
        )
        began = time.monotonic()
        assert await ask(gateway, "scripted-bedrock", stream=True) == 200
        answered_ms = (time.monotonic() - began) * 1_000
        held.let_go.set()
        first, second = (await gateway.record()).attempts
        assert second.reason == "retry"
        assert first.duration_ms <= answered_ms


@pytest.mark.parametrize("model", ["scripted-bedrock", "scripted-openai"])
async def test_a_tokenizer_that_fails_costs_exactness_and_no_reply(tokenizer: list[Any], model: str) -> None:
    tokenizer.append(BrokenTokenizer())
    async with running_gateway() as gateway:
        assert await ask(gateway, model, stream=True) == 200
        record = await gateway.record()
        assert record.outcome is Outcome.COMPLETED
        assert not record.counted_prompt_exact
        assert (record.counted_prompt_tokens or 0) > 0
        assert record.prompt_sha256 is not None


async def test_an_ill_model_does_not_use_up_the_retries_of_another() -> None:
    patient = {"max_attempts": 2}
    catalogue = small_catalogue(**{"scripted-bedrock": patient, "ill": patient})
    throttle = Refuse(status=429, error_type="ThrottlingException")
    async with running_gateway(catalogue=catalogue) as gateway:
        gateway.runtime.scripts["ill"] = Script(faults=(throttle,))
        for _ in range(30):
            assert await ask(gateway, "ill", stream=False) == 429
        gateway.runtime.scripts["scripted-bedrock"] = Script(
            faults=(Refuse(status=429, error_type="ThrottlingException", times=1),)
        )
        assert await ask(gateway, "scripted-bedrock", stream=False) == 200


async def test_an_error_is_the_last_thing_that_is_sent_whatever_ping_was_due() -> None:
    sent: list[str] = []

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async with Lifelines(drain_s=1, max_drains=1).watch(_never) as lifeline:
        reply = StreamReply(OPENAI_CHAT, send, "0" * 32, lifeline, ping_s=0.02, stall_s=60)
        time.sleep(0.03)  # noqa: ASYNC251 - the loop is busy
        reply._timer.cancel()
        reply._tick()  # in the same turn of the loop as the backend's fault
        await reply.fail(BackendUnavailable("not available"))
        await asyncio.sleep(0.01)
        reply.close()
    assert sent == ["http.response.start", "http.response.body"]


async def test_a_ping_that_nobody_takes_ends_with_its_request() -> None:
    async with Lifelines(drain_s=1, max_drains=1).watch(_never) as lifeline:
        reply = StreamReply(OPENAI_CHAT, _blocked, "0" * 32, lifeline, ping_s=0.01, stall_s=60)
        await asyncio.sleep(0.05)
        ping = reply._ping_task
        assert ping is not None
        reply.close()
        await asyncio.wait({ping}, timeout=60)
        assert ping.done()


async def _never() -> Message:
    await asyncio.Event().wait()
    return {}


async def _blocked(_: Message) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def served(app: AsgiApp, *, grace_s: float = 0.0) -> AsyncIterator[int]:
    """Serves an application as the process does, and ends as it does; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nothing = lambda: None  # noqa: E731
    serving = asyncio.create_task(
        serve(app, host="127.0.0.1", port=port, grace_s=grace_s, on_stop=nothing, on_grace_over=nothing)
    )
    await _answers(port)
    try:
        yield port
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await serving


async def _answers(port: int) -> None:
    """Wait until the server takes connections, and until it has let go of the one that it took for this."""
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            await asyncio.sleep(0.01)
        writer.write_eof()
        await reader.read()
        writer.close()


async def test_a_client_that_never_reads_is_hung_up_on_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.server._UNREAD_S", 1.0)
    answered: list[int] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 8_000_000, "more_body": True})
        answered.append(_held_by_us(scope["server"][1]))
        # Given up, as a request is whose client has stalled: closing waits for what is buffered.

    async with served(app) as port:
        with _silent_client(port):
            await eventually(lambda: answered or None)
            assert answered == [1]
            await eventually(lambda: _held_by_us(port) == 0 or None)


async def test_a_request_that_outlives_the_grace_still_closes_its_record() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        asked.set()
        try:
            await receive()
            await receive()
        finally:
            await asyncio.sleep(0.05)  # what is known of a prompt is waited for
            closed.set()

    async with served(app) as port:
        client = _silent_client(port)
        await asyncio.wait_for(asked.wait(), 60)
    client.close()
    assert closed.is_set()


def _held_by_us(port: int) -> int:
    """Connections to a port of ours of which the server's end is open; one that was closed has no inode."""
    ends = (line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
    return sum(
        int(end[1].rpartition(":")[2], 16) == port and end[3] != _LISTENING and end[9] != "0" for end in ends
    )


def _silent_client(port: int) -> socket.socket:
    """Asks, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", port))
    client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{")
    return client


async def _echo(_: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body[:100]})


H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"content-length: 11\r\n", b"hello again"),
        (b"transfer-encoding: chunked\r\n", b"6\r\nhello \r\n5\r\nagain\r\n0\r\n\r\n"),
    ],
)
async def test_a_request_that_offers_http2_keeps_its_body(
    framing: bytes,
    body: bytes,
    apart: bool,  # noqa: FBT001
) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\n" + H2C + framing + b"\r\n"
    async with served(_echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):  # and the connection is good for another
            writer.write(head)
            if apart:
                await asyncio.sleep(0.05)
            writer.write(body)
            answer = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 60)
            assert b" 200 " in answer.partition(b"\r\n")[0]
            assert b"hello again" in answer
        writer.close()


async def test_a_head_without_end_is_refused() -> None:
    async with served(_echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 60_000)
        await asyncio.sleep(0.05)
        writer.write(b"a" * 6_000)
        assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_large_body_and_many_requests_are_not_taken_for_a_head() -> None:
    async with served(_echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for size in (300_000, *[10] * 2_000):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + b"a" * size)
            answer = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 60)
            assert b"x-length: %d" % size in answer
        writer.close()


async def test_everybody_on_a_lost_connection_hears_of_it() -> None:
    asked, heard = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        heard.set()

    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    async with served(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request * 2)
        await asyncio.wait_for(asked.wait(), 60)
        writer.transport.abort()
        await asyncio.wait_for(heard.wait(), 60)
