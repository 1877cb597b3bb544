"""Rows in == requests sent: one ledger record and one EMF line each, with one outcome, whatever happens."""

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest

from gateway.bootstrap import SURFACES
from gateway.chat import ChatRequest
from gateway.surfaces.openai_chat import OpenAiChatSurface
from gateway.surfaces.openai_chat_response import ChatCompletionStream
from gateway.surfaces.surface import ReplyHeading
from harness.gateway import GatewayUnderTest, running_gateway, small_catalogue
from harness.held import hold
from llmplatform.invocation import Outcome
from llmplatform.process.logging import JsonFormatter
from sandbox.engines.scripted import Script
from sandbox.faults import ContainerError, CorruptChecksum, Cut, EndEarly, Refuse, Stall, StreamException

ROUTE = "/v1/chat/completions"
CANARY = "kanarienvogel-7f3a"
MAX_BODY_BYTES = 4_096
BODY_TIMEOUT_S = 0.5
"""Of the gateway for bodies that are too slow; the other one has the time that a body takes."""

# What a model of the mix does, by its name; all else is answered.
FAULTY: dict[str, tuple[str, Script]] = {
    "throttled": ("bedrock", Script(faults=(Refuse(status=429, error_type="ThrottlingException"),))),
    "invalid": ("bedrock", Script(faults=(Refuse(status=400, error_type="ValidationException"),))),
    "down": ("bedrock", Script(faults=(Cut(after_events=0),))),
    "breaks": ("bedrock", Script(faults=(StreamException(exception_type="modelStreamErrorException"),))),
    "breaks-late": (
        "bedrock",
        Script(
            interval_ms=1, faults=(StreamException(exception_type="throttlingException", after_events=6),)
        ),
    ),
    "corrupt": ("bedrock", Script(interval_ms=1, faults=(CorruptChecksum(frame=4),))),
    "cut": ("sagemaker", Script(interval_ms=1, faults=(Cut(after_events=4, reset=True),))),
    "ends-early": ("sagemaker", Script(interval_ms=1, faults=(EndEarly(after_events=4),))),
    "container": ("sagemaker", Script(interval_ms=1, faults=(ContainerError(after_events=4),))),
    "stalls": ("sagemaker", Script(interval_ms=1, faults=(Stall(after_events=3, seconds=30),))),
}
HEALTHY = ("scripted-bedrock", "scripted-openai", "scripted-lmi", "scripted-tgi")
TOO_SLOW = "too slow"
Send = Callable[[], Awaitable[None]]


class Mix:
    """Every way in which a request may go, each sent once by its method; `expected` is what it must leave."""

    def __init__(self, gateway: GatewayUnderTest, hasty: GatewayUnderTest, client: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.hasty = hasty
        self.client = client
        self.statuses: Counter[int] = Counter()
        self.ids: list[str] = []

    def body(self, model: str, *, stream: bool) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}

    async def _post(self, *, status: int | None = None, **options: Any) -> httpx.Response:
        reply = await self.client.post(ROUTE, **options)
        self.statuses[reply.status_code] += 1
        self.ids.append(reply.headers["x-request-id"])
        if status is not None:
            assert reply.status_code == status
        return reply

    async def answered(self, model: str, *, stream: bool) -> None:
        reply = await self._post(status=200, json=self.body(model, stream=stream))
        assert not stream or reply.text.endswith("data: [DONE]\n\n")

    async def failed(self, model: str, *, stream: bool) -> None:
        reply = await self._post(json=self.body(model, stream=stream))
        assert "[DONE]" not in reply.text
        error = reply.text.rsplit("data: ", 1)[-1]
        assert json.loads(error)["error"]["code"].startswith("backend_")

    async def left(self, model: str, *, after: int, stream: bool) -> None:
        if after == 0:
            body = json.dumps(self.body(model, stream=stream)).encode()
            await self.raw(f"content-length: {len(body)}", body, wait=False)
            return
        async with self.client.stream("POST", ROUTE, json=self.body(model, stream=stream)) as reply:
            async for line in reply.aiter_lines():
                after -= line.startswith("data: ")
                if not after:
                    break

    async def refused(self, status: int, **options: Any) -> None:
        await self._post(status=status, **options)

    async def raw(self, head: str, sent: bytes, *, wait: bool, to: GatewayUnderTest | None = None) -> None:
        """A body that does not come as it should, on a connection of its own."""
        gateway = to or self.gateway
        port = httpx.URL(gateway.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
            f"{head}\r\n\r\n".encode()
            + sent
        )
        await writer.drain()
        if wait:
            status = (await reader.readline()).split()[1]
            self.statuses[int(status)] += 1
        else:
            await asyncio.sleep(0.1)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    def kinds(self) -> dict[str, tuple[Outcome, Send]]:
        """Every kind of request, with the outcome that it must have."""
        ok, left, failed, refused = (
            Outcome.COMPLETED,
            Outcome.CLIENT_CANCELLED,
            Outcome.BACKEND_FAILED,
            Outcome.REFUSED,
        )
        kinds: dict[str, tuple[Outcome, Send]] = {}
        for stream in (False, True):
            for model in HEALTHY:
                kinds[f"{model} {stream}"] = ok, _later(self.answered, model, stream=stream)
            for model in FAULTY:
                # A fault inside a stream of frames does not strike a reply in one piece.
                if stream or model in {"throttled", "invalid", "down"}:
                    kinds[f"{model} {stream}"] = failed, _later(self.failed, model, stream=stream)
            for model in ("slow-bedrock", "slow-openai"):
                kinds[f"left {model} {stream}"] = left, _later(self.left, model, after=0, stream=stream)
        for model in ("paced-bedrock", "paced-openai"):
            kinds[f"left {model}"] = left, _later(self.left, model, after=2, stream=True)
        body = self.body("scripted-bedrock", stream=True)
        bearer = "authorization"
        kinds |= {
            "malformed": (refused, _later(self.refused, 400, content=b'{"model": ')),
            "not text": (refused, _later(self.refused, 400, content=b"\xff\xfe\x00")),
            "empty": (refused, _later(self.refused, 400, content=b"")),
            "unknown field": (refused, _later(self.refused, 400, json={**body, "best_of": 3})),
            "unknown model": (refused, _later(self.refused, 404, json={**body, "model": "gone"})),
            "not allowed": (refused, _later(self.refused, 404, json={**body, "model": "private"})),
            "other tenant": (
                refused,
                _later(self.refused, 403, json=body, headers={"x-tenant-id": "globex"}),
            ),
            "no key": (refused, _later(self.refused, 401, json=body, headers={bearer: ""})),
            "bad key": (refused, _later(self.refused, 401, json=body, headers={bearer: "Bearer x"})),
            "too large": (refused, _later(self.refused, 413, content=b"x" * (MAX_BODY_BYTES + 1))),
            "too large, undeclared": (refused, _later(self._chunked)),
            TOO_SLOW: (
                refused,
                _later(self.raw, "content-length: 900", b'{"model"', wait=True, to=self.hasty),
            ),
            "left in the body": (left, _later(self.raw, "content-length: 900", b'{"model"', wait=False)),
        }
        return kinds

    async def _chunked(self) -> None:
        piece = b"%x\r\n" % (MAX_BODY_BYTES + 1) + b"x" * (MAX_BODY_BYTES + 1) + b"\r\n0\r\n\r\n"
        await self.raw("transfer-encoding: chunked", piece, wait=True)


def _later(method: Callable[..., Awaitable[None]], *arguments: Any, **options: Any) -> Send:
    return lambda: method(*arguments, **options)


@pytest.mark.parametrize("seed", [1, 20_261_123])
async def test_each_request_of_a_random_mix_leaves_one_row_and_one_line(seed: int) -> None:
    allowed = frozenset({*HEALTHY, *FAULTY, "slow-bedrock", "slow-openai", "paced-bedrock", "paced-openai"})
    models: dict[str, Any] = {
        **{
            name: {
                "endpoint_type": kind,
                "dialect": "converse" if kind == "bedrock" else "openai_chat",
                "timeouts": {"idle_s": 0.3},
            }
            for name, (kind, _) in FAULTY.items()
        },
        "slow-bedrock": {},
        "slow-openai": {"endpoint_type": "sagemaker", "dialect": "openai_chat"},
        "paced-bedrock": {},
        "paced-openai": {"endpoint_type": "sagemaker", "dialect": "openai_chat"},
        "private": {},
    }
    catalogue = small_catalogue(**models)
    # Nobody who leaves has the whole answer by then: what is read on for its usage is cut.
    limits = {"max_body_bytes": MAX_BODY_BYTES, "drain_s": 0.5}
    async with (
        running_gateway(
            catalogue=catalogue, settings=limits, max_in_flight=1_000, allowed_models=allowed
        ) as gateway,
        running_gateway(settings={"body_timeout_s": BODY_TIMEOUT_S}) as hasty,
        httpx.AsyncClient(
            base_url=gateway.url, headers={"authorization": f"Bearer {gateway.key}"}, timeout=60
        ) as client,
    ):
        scripts = gateway.runtime.scripts
        for name, (_, script) in FAULTY.items():
            scripts[name] = script
        for name in ("slow-bedrock", "slow-openai"):
            hold(gateway.runtime, name, Script(token_count=2))
        for name in ("paced-bedrock", "paced-openai"):
            hold(gateway.runtime, name, Script(token_count=100, interval_ms=1), pieces=50)
        gateway.add_tenant("globex")
        mix = Mix(gateway, hasty, client)
        kinds = mix.kinds()
        dice = random.Random(seed)
        # Each kind at least once, then as the dice fall.
        chosen = [*kinds, *dice.choices(list(kinds), k=120 - len(kinds))]
        dice.shuffle(chosen)
        at_once = asyncio.Semaphore(30)

        async def send(kind: str) -> None:
            async with at_once:
                try:
                    await kinds[kind][1]()
                except AssertionError as error:
                    raise AssertionError(f"{kind}: {error}") from error

        await asyncio.gather(*(send(kind) for kind in chosen))
        slow = chosen.count(TOO_SLOW)
        await gateway.record(len(chosen) - slow)
        await hasty.record(slow)
        await asyncio.sleep(0.1)
        records = [*gateway.records.items, *hasty.records.items]
        assert len(records) == len(chosen)
        assert Counter(r.outcome for r in records) == Counter(kinds[kind][0] for kind in chosen)
        assert len({record.request_id for record in records}) == len(chosen)
        assert set(mix.ids) <= {record.request_id for record in records}
        _check_lines([*gateway.lines.items, *hasty.lines.items], records)
        seen = Counter(r.http_status for r in records if r.outcome is not Outcome.CLIENT_CANCELLED)
        assert seen == mix.statuses
        for one in (gateway, hasty):
            assert one.gateway.in_flight.total == 0
            assert not one.gateway.lifelines.active


def _check_lines(lines: Iterable[bytes], records: Iterable[Any]) -> None:
    """One line a record, saying the same."""
    by_id = {}
    count = 0
    for line in lines:
        told = json.loads(line)
        by_id[told["request_id"]] = told
        count += 1
    expected = list(records)
    assert count == len(by_id) == len(expected)
    for record in expected:
        told = by_id[record.request_id]
        assert (told["outcome"], told["tenant_id"]) == (record.outcome, record.tenant_id)
        assert told["request_count"] == 1
        assert told["request_failed"] == int(record.failed)
        if record.tenant_id == "_unknown":
            assert told["model_id"] == "_unknown"


# -- a bug of ours ----------------------------------------------------------------------------------------


class FailsToDecode(OpenAiChatSurface):
    """A surface with a bug."""

    def decode(self, body: bytes) -> ChatRequest:
        raise ValueError(f"{CANARY} in {body.decode()}")


class BrokenStream(ChatCompletionStream):
    """An encoder with a bug that strikes in mid-stream."""

    def encode(self, events: Any) -> bytes:
        if any("4" in getattr(event, "text", "") for event in events):
            raise ValueError(f"{CANARY}: {events}")
        return super().encode(events)


class FailsToEncode(OpenAiChatSurface):
    """Another one."""

    def stream(self, heading: ReplyHeading) -> ChatCompletionStream:
        return BrokenStream(heading)


class Captured(logging.Handler):
    """What the product's own formatter makes of everything that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter("gateway"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterable[Captured]:
    captured = Captured()
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(captured)
    yield captured
    root.removeHandler(captured)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_of_ours_is_a_500_a_row_and_nobodys_words(
    monkeypatch: pytest.MonkeyPatch,
    logged: Captured,
    stream: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setitem(SURFACES, ROUTE, FailsToDecode())
    async with running_gateway() as gateway, gateway.http() as client:
        body = {
            "model": "scripted-bedrock",
            "messages": [{"role": "user", "content": CANARY}],
            "stream": stream,
        }
        reply = await client.post(ROUTE, json=body)
        assert reply.status_code == 500
        error = reply.json()["error"]
        assert error["code"] == "internal_error"
        assert error["trace_id"] == reply.headers["x-trace-id"]
        assert CANARY not in reply.text
        record = await gateway.record()
        assert (record.outcome, record.http_status, record.error_code) == (
            Outcome.REFUSED,
            500,
            "internal_error",
        )
        assert record.failed
        assert record.trace_kept
        assert CANARY not in repr(record)
        assert all(CANARY.encode() not in line for line in gateway.lines.items)
        assert any("ValueError" in line for line in logged.lines)
        assert all(CANARY not in line for line in logged.lines)
        assert (await client.get("/healthz")).status_code == 200


async def test_a_bug_in_mid_stream_is_an_error_event_and_a_row(
    monkeypatch: pytest.MonkeyPatch, logged: Captured
) -> None:
    monkeypatch.setitem(SURFACES, ROUTE, FailsToEncode())
    async with running_gateway() as gateway, gateway.http() as client:
        gateway.runtime.scripts["scripted-bedrock"] = Script(pieces=("1", "2", "3", "4", "5"), interval_ms=50)
        body = {"model": "scripted-bedrock", "messages": [{"role": "user", "content": "go"}], "stream": True}
        reply = await client.post(ROUTE, json=body)
        assert '"content":"1"' in reply.text
        assert "[DONE]" not in reply.text
        error = json.loads(reply.text.rstrip().rsplit("data: ", 1)[-1])["error"]
        assert (error["code"], error["trace_id"]) == ("internal_error", reply.headers["x-trace-id"])
        assert CANARY not in reply.text
        record = await gateway.record()
        assert record.error_code == "internal_error"
        assert record.failed
        assert gateway.gateway.in_flight.total == 0
        assert all(CANARY not in line for line in logged.lines)
