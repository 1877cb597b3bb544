"""What holds for every backend: each carrier with each dialect, over real sockets."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from gateway.backends.aws import AwsRuntime
from gateway.backends.backend import Backend, BackendCall
from gateway.backends.bedrock import BedrockBackend
from gateway.backends.http import open_session
from gateway.backends.sagemaker import SageMakerBackend
from gateway.chat import (
    ChatEvent,
    ChatRequest,
    EventSkipped,
    Finished,
    ImagePart,
    Message,
    StreamFailed,
    TextDelta,
    TextPart,
    UsageReported,
)
from gateway.dialects.dialect import CallIdentity
from gateway.dialects.registry import DIALECTS
from harness.platform import eventually
from llmplatform.aws.sigv4 import Credentials
from llmplatform.catalogue import ModelEntry
from llmplatform.clock import SystemClock
from llmplatform.errors import (
    BackendFault,
    BackendInternal,
    BackendModelFailed,
    BackendProtocolCorrupt,
    BackendRejected,
    BackendThrottled,
    BackendTimedOut,
    BackendUnavailable,
    BackendUnreachable,
)
from llmplatform.usage import NO_USAGE, TokenUsage
from sandbox.calls import Call
from sandbox.engines.engine import CacheDetail
from sandbox.engines.scripted import Script, ScriptedUsage
from sandbox.faults import (
    AnyFault,
    ContainerError,
    CorruptChecksum,
    Cut,
    EndEarly,
    Refuse,
    Stall,
    StreamError,
    StreamException,
    UnknownEvent,
)
from sandbox.runtime import SandboxRuntime, serve_runtime
from sandbox.signing import DUMMY_ACCESS_KEY, DUMMY_SECRET_KEY

IDENTITY = CallIdentity("acme", "0192-request", "a" * 32, "b" * 16)
TEXT = "Grüß dich, 日本 🙂 and so on"


@dataclass(frozen=True)
class Keys:
    """Credentials that never change."""

    secret: str = DUMMY_SECRET_KEY

    def current(self) -> Credentials:
        return Credentials(DUMMY_ACCESS_KEY, self.secret, "session-token")


@dataclass(frozen=True)
class Wire:
    """One carrier with one dialect, and the name under which the sandbox speaks it."""

    dialect: str
    backend_model_id: str

    @property
    def endpoint_type(self) -> str:
        return "bedrock" if self.dialect == "converse" else "sagemaker"

    def model(self, **fields: Any) -> ModelEntry:
        return ModelEntry.model_validate(
            {
                "model_id": "m",
                "endpoint_type": self.endpoint_type,
                "backend_model_id": self.backend_model_id,
                "dialect": self.dialect,
                "price_key": "p",
                "capabilities": ["vision"],
                **fields,
            }
        )


CONVERSE = Wire("converse", "eu.vendor.model-v1:0")
OPENAI = Wire("openai_chat", "vllm")
SAGEMAKER = [OPENAI, Wire("openai_chat", "an-lmi-chat"), Wire("lmi", "an-lmi"), Wire("tgi", "a-tgi")]
WIRES = [CONVERSE, *SAGEMAKER]


@pytest.fixture(params=WIRES, ids=lambda wire: f"{wire.dialect}-{wire.backend_model_id}")
def wire(request: pytest.FixtureRequest) -> Wire:
    found: Wire = request.param
    return found


@pytest.fixture(params=[CONVERSE, OPENAI], ids=lambda wire: wire.endpoint_type)
def carrier(request: pytest.FixtureRequest) -> Wire:
    """One dialect of each carrier: for what has nothing to do with dialects."""
    found: Wire = request.param
    return found


@pytest.fixture
async def runtime() -> AsyncIterator[SandboxRuntime]:
    async with serve_runtime() as served:
        yield served


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


def backend(session: aiohttp.ClientSession, wire: Wire, url: str, keys: Keys | None = None) -> Backend:
    made = BedrockBackend if wire.endpoint_type == "bedrock" else SageMakerBackend
    aws = AwsRuntime(wire.endpoint_type, "eu-central-1", url, keys or Keys(), SystemClock())
    return made(session, aws, DIALECTS)


def asking(*, stream: bool = True, text: str = "hi") -> ChatRequest:
    return ChatRequest("m", (Message("user", (TextPart(text),)),), stream=stream, max_tokens=500)


async def answer(opened: Backend, model: ModelEntry, request: ChatRequest | None = None) -> list[ChatEvent]:
    events: list[ChatEvent] = []
    async with opened.open(BackendCall(request or asking(), model, IDENTITY)) as reply:
        while some := await reply.read():
            events += some
        assert not await reply.read()
    return events


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def usage_of(events: list[ChatEvent]) -> TokenUsage:
    usage = NO_USAGE
    for event in events:
        if isinstance(event, UsageReported):
            usage = usage.merged(event.usage)
    return usage


def failure_of(events: list[ChatEvent]) -> BackendFault:
    (failed,) = [event for event in events if isinstance(event, StreamFailed)]
    assert events[-1] is failed
    return failed.fault


def scripted(runtime: SandboxRuntime, wire: Wire, *faults: AnyFault, **fields: Any) -> None:
    runtime.scripts[wire.backend_model_id] = Script(**{"text": TEXT, "faults": faults, **fields})


# -- answers ----------------------------------------------------------------------------------------------


async def test_a_stream_says_and_costs_what_the_unstreamed_reply_does(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    reported = ScriptedUsage(
        input_tokens=11,
        output_tokens=6,
        cache_read_tokens=100,
        cache_write_tokens=50 if wire is CONVERSE else None,
        cache_details=(CacheDetail("5m", 30), CacheDetail("1h", 20)) if wire is CONVERSE else (),
    )
    scripted(runtime, wire, usage=reported)
    opened = backend(session, wire, runtime.url)
    streamed = await answer(opened, wire.model())
    whole = await answer(opened, wire.model(), asking(stream=False))
    assert text_of(streamed) == text_of(whole) == TEXT
    assert usage_of(streamed) == usage_of(whole)
    assert usage_of(streamed).output_tokens == 6
    if wire is CONVERSE:
        assert usage_of(streamed) == TokenUsage(11, 6, 100, 50, 20)
    assert [e.reason for e in streamed if isinstance(e, Finished)] == ["stop"]
    assert runtime.calls[0].operation.endswith("stream")
    assert not runtime.calls[1].operation.endswith("stream")
    assert runtime.open_connections == 1, "the second call used the first one's connection"


async def test_characters_and_lines_may_be_split_anywhere(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(runtime, wire, part_sizes=(1, 2, 3, 5), write_sizes=(7, 1, 64, 3))
    assert text_of(await answer(backend(session, wire, runtime.url), wire.model())) == TEXT


async def test_what_arrives_is_handed_on_without_waiting_for_more(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(runtime, wire, Stall(after_events=3, seconds=120))
    call = BackendCall(asking(), wire.model(), IDENTITY)
    async with asyncio.timeout(60), backend(session, wire, runtime.url).open(call) as reply:
        events: list[ChatEvent] = []
        while not text_of(events):
            events += await reply.read()


async def test_a_model_that_cannot_stream_answers_in_one_piece(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(runtime, wire)
    events = await answer(backend(session, wire, runtime.url), wire.model(streaming=False))
    assert text_of(events) == TEXT
    assert not runtime.calls[-1].operation.endswith("stream")


async def test_who_calls_is_written_down_and_never_in_a_traceparent_header(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    await answer(backend(session, wire, runtime.url), wire.model())
    call = runtime.calls[-1]
    assert "traceparent" not in call.headers
    if wire is CONVERSE:
        assert call.request_metadata == {
            "trace_id": "a" * 32,
            "tenant_id": "acme",
            "request_id": "0192-request",
        }
        return
    assert call.headers["x-amzn-sagemaker-inference-id"] == "a" * 32
    assert call.headers["x-amzn-sagemaker-custom-attributes"] == (
        f"traceparent=00-{'a' * 32}-{'b' * 16}-01;tenant_id=acme;request_id=0192-request"
    )


@pytest.mark.parametrize(
    "model_id",
    [
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
    ],
)
async def test_ids_and_arns_arrive_as_they_are_and_the_signature_holds(
    model_id: str, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    events = await answer(backend(session, CONVERSE, runtime.url), CONVERSE.model(backend_model_id=model_id))
    assert not any(isinstance(event, StreamFailed) for event in events)
    assert runtime.calls[-1].model == model_id
    assert runtime.calls[-1].signed


async def test_inference_components_and_targets_are_headers(
    runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    model = OPENAI.model(inference_component="adapter-7", target_model="llama.tar.gz")
    await answer(backend(session, OPENAI, runtime.url), model)
    headers = runtime.calls[-1].headers
    assert headers["x-amzn-sagemaker-inference-component"] == "adapter-7"
    assert headers["x-amzn-sagemaker-target-model"] == "llama.tar.gz"


async def test_megabytes_of_image_are_sent(
    carrier: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    image = Message("user", (ImagePart("image/png", "A" * 3_000_000),))
    events = await answer(
        backend(session, carrier, runtime.url), carrier.model(), replace(asking(), messages=(image,))
    )
    assert text_of(events)


# -- faults before the stream -----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "refused",
    [
        (429, "ThrottlingException", BackendThrottled),
        (429, "ModelNotReadyException", BackendUnavailable),
        (424, "ModelError", BackendModelFailed),
        (400, "ValidationException", BackendRejected),
        (500, "InternalFailure", BackendInternal),
        (503, "ServiceUnavailable", BackendUnavailable),
    ],
)
async def test_a_refusal_before_the_stream_is_a_fault_of_its_class(
    carrier: Wire,
    runtime: SandboxRuntime,
    session: aiohttp.ClientSession,
    stream: bool,  # noqa: FBT001
    refused: tuple[int, str, type[BackendFault]],
) -> None:
    status, error_type, kind = refused
    scripted(runtime, carrier, Refuse(status=status, error_type=error_type, message="CANARY"))
    with pytest.raises(kind) as raised:
        await answer(backend(session, carrier, runtime.url), carrier.model(), asking(stream=stream))
    fault = raised.value
    assert (fault.status, fault.error_type, fault.detail) == (status, error_type, "CANARY")
    assert "CANARY" not in str(fault)


async def test_wrong_credentials_are_a_refusal(
    carrier: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(BackendRejected) as raised:
        await answer(backend(session, carrier, runtime.url, Keys("wrong")), carrier.model())
    assert raised.value.error_type == "InvalidSignatureException"


async def test_nobody_there(carrier: Wire, session: aiohttp.ClientSession) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(BackendUnreachable):  # hangs up before the reply
        await answer(backend(session, carrier, url), carrier.model())
    server.close()
    await server.wait_closed()
    with pytest.raises(BackendUnreachable):  # does not even listen
        await answer(backend(session, carrier, url), carrier.model())


async def test_what_is_no_http_is_corrupt(carrier: Wire, session: aiohttp.ClientSession) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"EHLO\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(BackendProtocolCorrupt) as raised:
            await answer(backend(session, carrier, url), carrier.model())
    assert raised.value.__cause__ is None


# -- faults inside the stream -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "exception_type", "kind"),
    [
        (CONVERSE, "throttlingException", BackendThrottled),
        (CONVERSE, "serviceUnavailableException", BackendUnavailable),
        (CONVERSE, "internalServerException", BackendInternal),
        (CONVERSE, "modelStreamErrorException", BackendModelFailed),
        (CONVERSE, "validationException", BackendRejected),
        (OPENAI, "ModelStreamError", BackendModelFailed),
        (OPENAI, "InternalStreamFailure", BackendInternal),
    ],
    indirect=["wire"],
    ids=str,
)
async def test_each_exception_inside_a_stream_keeps_its_class_and_what_came_before(
    wire: Wire,
    runtime: SandboxRuntime,
    session: aiohttp.ClientSession,
    exception_type: str,
    kind: type[BackendFault],
) -> None:
    scripted(runtime, wire, StreamException(exception_type=exception_type, after_events=4, message="CANARY"))
    events = await answer(backend(session, wire, runtime.url), wire.model())
    fault = failure_of(events)
    assert type(fault) is kind
    assert (fault.error_type, fault.detail) == (exception_type, "CANARY")
    assert text_of(events) == "Grüß dich, 日本 "[: len(text_of(events))]
    assert len(text_of(events)) > 5


async def test_unmodelled_errors_and_unknown_events(
    carrier: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(
        runtime, carrier, UnknownEvent(after_events=2), StreamError(code="InternalError", after_events=3)
    )
    events = await answer(backend(session, carrier, runtime.url), carrier.model())
    assert EventSkipped("somethingNew") in events
    assert type(failure_of(events)) is BackendInternal


@pytest.mark.parametrize("wire", SAGEMAKER, ids=lambda wire: wire.backend_model_id)
async def test_a_container_that_fails_midway(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(runtime, wire, ContainerError(after_events=3))
    events = await answer(backend(session, wire, runtime.url), wire.model())
    assert type(failure_of(events)) is BackendModelFailed
    assert text_of(events)


@pytest.mark.parametrize(
    "fault",
    [
        Cut(after_events=4),
        Cut(after_events=4, reset=True),
        Cut(after_bytes=1_400),
        EndEarly(after_events=4),
        CorruptChecksum(frame=4),
        CorruptChecksum(frame=4, prelude=True),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{getattr(fault, 'reset', '')}{getattr(fault, 'prelude', '')}",
)
async def test_a_stream_that_breaks_ends_in_a_failure_and_keeps_what_came(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession, fault: AnyFault
) -> None:
    scripted(runtime, wire, fault, text=TEXT * 5)
    events = await answer(backend(session, wire, runtime.url), wire.model())
    assert type(failure_of(events)) is BackendProtocolCorrupt
    if not getattr(fault, "reset", False):  # a reset may overtake what was sent
        assert text_of(events)
    assert (TEXT * 5).startswith(text_of(events))
    # Where the body itself ended well, its connection may serve again.
    await eventually(lambda: runtime.open_connections <= (not isinstance(fault, Cut)) or None)


# -- timeouts ---------------------------------------------------------------------------------------------


async def timed_out(opened: Backend, model: ModelEntry, request: ChatRequest | None = None) -> str:
    """Which timeout it was, one under a second: the others, and the scripts, would take far longer."""
    with pytest.raises(BackendTimedOut) as raised:
        async with asyncio.timeout(60):
            await answer(opened, model, request)
    return raised.value.phase


def limits(**seconds: float) -> dict[str, float]:
    return {"connect_s": 120, "first_token_s": 120, "idle_s": 120, "total_s": 120, **seconds}


@pytest.mark.parametrize(
    ("phase", "script"),
    [
        ("first_token", {"header_delay_ms": 120_000}),
        ("first_token", {"ttft_ms": 120_000}),
        ("idle", {"faults": (Stall(after_events=3, seconds=120),)}),
        ("total", {"interval_ms": 300, "text": None, "token_count": 400}),
        ("total", {"header_delay_ms": 120_000}),
        ("total", {"faults": (Stall(after_events=3, seconds=120),)}),
    ],
)
async def test_each_timeout_fires_by_itself(
    carrier: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession, phase: str, script: Any
) -> None:
    scripted(runtime, carrier, **script)
    model = carrier.model(timeouts=limits(**{f"{phase}_s": 0.4}))
    assert await timed_out(backend(session, carrier, runtime.url), model) == phase
    await eventually(lambda: runtime.calls[-1].ended == "client_closed" or None)


async def test_a_connection_that_is_not_made_in_time(carrier: Wire, session: aiohttp.ClientSession) -> None:
    async def never_shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1_000):
            pass
        writer.close()

    async with await asyncio.start_server(never_shake_hands, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        model = carrier.model(timeouts=limits(connect_s=0.4))
        assert await timed_out(backend(session, carrier, url), model) == "connect"


async def test_an_unstreamed_reply_has_until_the_total_timeout(
    carrier: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(runtime, carrier, header_delay_ms=600)
    opened = backend(session, carrier, runtime.url)
    patient = carrier.model(timeouts=limits(first_token_s=0.2, idle_s=0.2))
    assert text_of(await answer(opened, patient, asking(stream=False))) == TEXT
    hurried = carrier.model(timeouts=limits(total_s=0.3))
    assert await timed_out(opened, hurried, asking(stream=False)) == "total"


# -- leaving ----------------------------------------------------------------------------------------------


def last_call(runtime: SandboxRuntime) -> Call:
    return runtime.calls[-1]


async def test_leaving_after_the_first_token_closes_the_connection(
    wire: Wire, runtime: SandboxRuntime, session: aiohttp.ClientSession
) -> None:
    scripted(runtime, wire, interval_ms=50, text=None, token_count=400)
    call = BackendCall(asking(), wire.model(), IDENTITY)
    async with backend(session, wire, runtime.url).open(call) as reply:
        assert await reply.read()
    await eventually(
        lambda: (last_call(runtime).ended == "client_closed" and runtime.open_connections == 0) or None
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [{"header_delay_ms": 120_000}, {"ttft_ms": 120_000}])
async def test_a_cancellation_before_the_first_token_closes_the_connection(
    carrier: Wire,
    runtime: SandboxRuntime,
    session: aiohttp.ClientSession,
    stream: bool,  # noqa: FBT001
    script: Any,
) -> None:
    scripted(runtime, carrier, **script)
    opened = backend(session, carrier, runtime.url)
    task = asyncio.create_task(answer(opened, carrier.model(), asking(stream=stream)))
    await eventually(lambda: runtime.calls_in_flight == 1 or None)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(
        lambda: (last_call(runtime).ended == "client_closed" and runtime.open_connections == 0) or None
    )


async def test_mid_stream_throttles_leak_no_connection(carrier: Wire, runtime: SandboxRuntime) -> None:
    exception_type = "throttlingException" if carrier is CONVERSE else "ModelStreamError"
    scripted(runtime, carrier, StreamException(exception_type=exception_type, after_events=3))
    async with open_session(max_connections=10) as session:
        opened, model = backend(session, carrier, runtime.url), carrier.model()
        for _ in range(10):
            async with asyncio.timeout(60):  # a pool of leaked connections would have none left to give
                replies = await asyncio.gather(*(answer(opened, model) for _ in range(20)))
            assert all(failure_of(events) for events in replies)
            assert runtime.open_connections <= 10
    await eventually(lambda: runtime.open_connections == 0 or None)


async def test_the_pool_serves_after_a_storm_of_cancellations(carrier: Wire, runtime: SandboxRuntime) -> None:
    scripted(runtime, carrier, header_delay_ms=20, ttft_ms=20, interval_ms=20, text=None, token_count=20)
    moments = random.Random(7)
    async with open_session(max_connections=4) as session:
        opened, model = backend(session, carrier, runtime.url), carrier.model()

        async def left_at_some_moment() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(moments.uniform(0, 0.4)):
                    await answer(opened, model)

        for _ in range(4):
            await asyncio.gather(*(left_at_some_moment() for _ in range(25)))
        async with asyncio.timeout(60):
            replies = await asyncio.gather(*(answer(opened, model) for _ in range(8)))
    assert all(text_of(events) for events in replies)
    await eventually(lambda: runtime.open_connections == 0 or None)
