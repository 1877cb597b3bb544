"""The application driven as servers drive it that tell of a client's leaving in different ways.

A server of ASGI 2.3 swallows what is sent to a client that has left, one of 2.4 raises OSError; `receive`
says `http.disconnect` on either, possibly late. Whichever it is: one record, with the right outcome.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.http.asgi import Message
from harness.gateway import GatewayUnderTest, running_gateway
from llmplatform.invocation import Outcome
from sandbox.engines.scripted import Script

BEDROCK, OPENAI = "scripted-bedrock", "scripted-openai"
VERSIONS = pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
MODELS = pytest.mark.parametrize("model", [BEDROCK, OPENAI])
EITHER_WAY = pytest.mark.parametrize("stream", [False, True])


class Client:
    """One request as a server of `spec_version` hands it over; `leaves_after` so many body messages.

    `tells` is whether `receive` says that the client has left; else only `send` shows it.
    """

    def __init__(
        self,
        gateway: GatewayUnderTest,
        model: str,
        *,
        spec_version: str,
        stream: bool,
        leaves_after: int | None = None,
        tells: bool = True,
    ) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self._app = gateway.gateway.app
        self._raises = spec_version == "2.4"
        self._leaves_after = leaves_after
        self._tells = tells
        self._asked = False
        self._body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
        ).encode()
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {gateway.key}".encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }

    async def ask(self) -> None:
        """Hand the request to the application and wait for its return."""
        if self._leaves_after == 0:
            asyncio.get_running_loop().call_later(0.1, self.left.set)
        async with asyncio.timeout(60):
            await self._app(self._scope, self._receive, self._send)

    @property
    def body(self) -> bytes:
        """What had arrived when the client left."""
        return b"".join(message.get("body", b"") for message in self.sent)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.left.wait()
        if not self._tells:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.left.is_set():
            if self._raises:
                raise OSError("the client has left")
            return
        self.sent.append(message)
        bodies = sum(one["type"] == "http.response.body" for one in self.sent)
        if self._leaves_after and bodies >= self._leaves_after:
            self.left.set()
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self.left.set()  # a server says so once the response is complete, too


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway() as running:
        script = Script(token_count=15, ttft_ms=250, interval_ms=10)
        running.runtime.scripts[BEDROCK] = running.runtime.scripts[OPENAI] = script
        yield running


async def only_record(gateway: GatewayUnderTest) -> Any:
    """The one record there is, after time enough for a second one."""
    record = await gateway.record()
    await asyncio.sleep(0.05)
    assert len(gateway.records.items) == len(gateway.lines.items) == 1
    assert gateway.gateway.in_flight.total == 0
    assert not gateway.gateway.lifelines.active
    assert gateway.gateway.lifelines.drains == 0
    return record


@VERSIONS
@MODELS
@EITHER_WAY
async def test_a_client_that_stays_has_its_reply(
    gateway: GatewayUnderTest,
    spec_version: str,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    client = Client(gateway, model, spec_version=spec_version, stream=stream)
    await client.ask()
    assert client.sent[0]["status"] == 200
    assert client.body.endswith(b"data: [DONE]\n\n") is stream
    record = await only_record(gateway)
    assert (record.outcome, record.usage.output_tokens) == (Outcome.COMPLETED, 15)


@VERSIONS
@MODELS
@EITHER_WAY
async def test_a_client_that_leaves_before_the_first_token(
    gateway: GatewayUnderTest,
    spec_version: str,
    model: str,
    stream: bool,  # noqa: FBT001
) -> None:
    client = Client(gateway, model, spec_version=spec_version, stream=stream, leaves_after=0)
    await client.ask()
    record = await only_record(gateway)
    assert record.outcome is Outcome.CLIENT_CANCELLED
    assert client.sent == []
    assert record.http_status is None or spec_version == "2.3"


@VERSIONS
@MODELS
@pytest.mark.parametrize("tells", [True, False])
async def test_a_client_that_leaves_in_mid_stream(
    gateway: GatewayUnderTest,
    spec_version: str,
    model: str,
    tells: bool,  # noqa: FBT001
) -> None:
    client = Client(gateway, model, spec_version=spec_version, stream=True, leaves_after=3, tells=tells)
    await client.ask()
    record = await only_record(gateway)
    assert b"[DONE]" not in client.body
    if tells or spec_version == "2.4":
        assert record.outcome is Outcome.CLIENT_CANCELLED
    else:
        # Nobody told us: as far as anyone here can know, the reply arrived.
        assert record.outcome is Outcome.COMPLETED
    if model == BEDROCK:
        assert record.usage.output_tokens == 15


@pytest.mark.parametrize("spec_version", ["2.4"])
@MODELS
async def test_a_whole_reply_that_nobody_takes(
    gateway: GatewayUnderTest, spec_version: str, model: str
) -> None:
    client = Client(gateway, model, spec_version=spec_version, stream=False, leaves_after=0, tells=False)
    await client.ask()
    record = await only_record(gateway)
    assert (record.outcome, record.usage.output_tokens) == (Outcome.CLIENT_CANCELLED, 15)


@VERSIONS
async def test_an_error_that_nobody_takes_is_on_the_record(
    gateway: GatewayUnderTest, spec_version: str
) -> None:
    client = Client(gateway, "no-such-model", spec_version=spec_version, stream=True)
    client.left.set()
    await client.ask()
    record = await only_record(gateway)
    assert (record.outcome, record.error_code) == (Outcome.REFUSED, "model_not_found")
