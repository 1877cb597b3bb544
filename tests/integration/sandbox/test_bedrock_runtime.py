"""boto3 drives the sandbox's Bedrock runtime: whatever it can read, AWS could have written."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, ConnectionClosedError, EventStreamError
from urllib3.exceptions import ProtocolError

from harness.platform import eventually
from sandbox.engines.engine import CacheDetail
from sandbox.engines.scripted import Script, ScriptedToolCall, ScriptedUsage
from sandbox.faults import (
    AnyFault,
    CorruptChecksum,
    Cut,
    EndEarly,
    Omit,
    Refuse,
    Stall,
    StreamError,
    StreamException,
    UnknownEvent,
)
from sandbox.runtime import SandboxRuntime

MODEL = "us.anthropic.claude-sandbox-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
MESSAGES = [{"role": "user", "content": [{"text": "hello there"}]}]
CLAUDE_BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "hello"}],
}


async def streamed(bedrock: Any, model: str = MODEL, **fields: Any) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        return list(bedrock.converse_stream(modelId=model, messages=MESSAGES, **fields)["stream"])

    return await asyncio.to_thread(read)


async def converse(bedrock: Any, model: str = MODEL, **fields: Any) -> Any:
    return await asyncio.to_thread(bedrock.converse, modelId=model, messages=MESSAGES, **fields)


async def read_until_error(bedrock: Any, model: str = MODEL) -> tuple[list[Any], Exception]:
    """What a stream gave before it failed, and how it failed."""

    def read() -> tuple[list[Any], Exception]:
        events = []
        stream = bedrock.converse_stream(modelId=model, messages=MESSAGES)["stream"]
        try:
            for event in stream:
                events.append(event)  # noqa: PERF402 - kept when the next one raises
        except (EventStreamError, ProtocolError, ChecksumMismatch) as error:
            return events, error
        finally:
            stream.close()
        raise AssertionError("the stream ended without an error")

    return await asyncio.to_thread(read)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [next(iter(event)) for event in events]


def text(events: list[dict[str, Any]]) -> str:
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    return "".join(delta.get("text", "") for delta in deltas)


async def test_a_stream_has_aws_order_and_usage_after_the_stop(runtime: SandboxRuntime, bedrock: Any) -> None:
    details = (CacheDetail(ttl="5m", tokens=3), CacheDetail(ttl="1h", tokens=4))
    usage = ScriptedUsage(input_tokens=10, cache_read_tokens=5, cache_write_tokens=7, cache_details=details)
    runtime.scripts[MODEL] = Script(pieces=("zwei", " Wörter"), usage=usage, latency_ms=321)
    events = await streamed(bedrock)
    assert kinds(events) == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert text(events) == "zwei Wörter"
    assert events[-1]["metadata"]["metrics"] == {"latencyMs": 321}
    assert events[-1]["metadata"]["usage"] == {
        "inputTokens": 10,
        "outputTokens": 2,
        "totalTokens": 24,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 7,
    }


async def test_a_whole_answer_equals_the_streamed_one(runtime: SandboxRuntime, bedrock: Any) -> None:
    call = ScriptedToolCall(name="weather", arguments='{"city": "Rome"}', piece_characters=3)
    runtime.scripts[MODEL] = Script(text="let me see", reasoning_tokens=2, tool_calls=(call,))
    tools = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}
    whole, events = await converse(bedrock, toolConfig=tools), await streamed(bedrock, toolConfig=tools)
    reasoning, said, used = whole["output"]["message"]["content"]
    assert reasoning["reasoningContent"]["reasoningText"]["text"] == "hmm hmm "
    assert said == {"text": text(events)} == {"text": "let me see"}
    assert used["toolUse"]["input"] == {"city": "Rome"}
    pieces = [
        event["contentBlockDelta"]["delta"]["toolUse"]["input"]
        for event in events
        if "toolUse" in event.get("contentBlockDelta", {}).get("delta", {})
    ]
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == {"city": "Rome"}
    starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
    assert [start["contentBlockIndex"] for start in starts] == [2]
    assert whole["stopReason"] == events[-2]["messageStop"]["stopReason"] == "tool_use"
    assert whole["usage"] == events[-1]["metadata"]["usage"]


@pytest.mark.parametrize("model", [MODEL, PROFILE, "amazon.nova-lite-v1:0", "scripted"])
async def test_any_kind_of_model_id_is_recorded_as_it_was_meant(
    runtime: SandboxRuntime, bedrock: Any, model: str
) -> None:
    await converse(bedrock, model, requestMetadata={"tenant": "acme"})
    call = runtime.calls[-1]
    assert (call.model, call.operation, call.ended) == (model, "converse", "completed")
    assert call.request_metadata == {"tenant": "acme"}
    assert call.signed
    assert call.finished_s is not None
    assert call.finished_s >= call.started_s


async def test_claude_is_invoked_whole_and_streamed(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(text="hi you", usage=ScriptedUsage(input_tokens=9))

    def both() -> tuple[Any, list[Any]]:
        body = json.dumps(CLAUDE_BODY)
        whole = json.loads(bedrock.invoke_model(modelId=MODEL, body=body)["body"].read())
        stream = bedrock.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"]
        return whole, [json.loads(event["chunk"]["bytes"]) for event in stream]

    whole, chunks = await asyncio.to_thread(both)
    assert whole["content"] == [{"type": "text", "text": "hi you"}]
    assert whole["usage"]["input_tokens"] == 9
    assert chunks[0]["message"]["usage"]["input_tokens"] == 9
    assert [chunk["delta"]["text"] for chunk in chunks if chunk["type"] == "content_block_delta"] == [
        "hi ",
        "you",
    ]
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (9, 2)


@pytest.mark.parametrize(
    ("model", "body", "where"),
    [
        ("amazon.titan-text-lite-v1", {"inputText": "x"}, "outputText"),
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "x"}, "generation"),
    ],
)
async def test_other_families_are_invoked_in_their_own_shape(
    runtime: SandboxRuntime, bedrock: Any, model: str, body: dict[str, Any], where: str
) -> None:
    runtime.scripts[model] = Script(text="a b c")

    def both() -> tuple[str, str]:
        whole = bedrock.invoke_model(modelId=model, body=json.dumps(body))["body"].read()
        stream = bedrock.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))["body"]
        chunks = [json.loads(event["chunk"]["bytes"]) for event in stream]
        assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 3
        return whole.decode(), "".join(chunk[where] for chunk in chunks)

    whole, streamed_text = await asyncio.to_thread(both)
    assert streamed_text == "a b c"
    assert "a b c" in whole


async def test_tokens_are_counted_for_both_kinds_of_input(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(usage=ScriptedUsage(input_tokens=42))
    for asked in ({"converse": {"messages": MESSAGES}}, {"invokeModel": {"body": json.dumps(CLAUDE_BODY)}}):
        counted = await asyncio.to_thread(bedrock.count_tokens, modelId=MODEL, input=asked)
        assert counted["inputTokens"] == 42
    assert runtime.calls[-1].billed is None


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (429, "ThrottlingException"),
        (429, "ModelNotReadyException"),
        (424, "ModelErrorException"),
        (400, "ValidationException"),
        (503, "ServiceUnavailableException"),
        (500, "InternalServerException"),
        (403, "AccessDeniedException"),
        (408, "ModelTimeoutException"),
    ],
)
async def test_each_error_before_the_stream_is_its_own_exception(
    runtime: SandboxRuntime, bedrock: Any, status: int, error_type: str
) -> None:
    runtime.scripts[MODEL] = Script(faults=(Refuse(status=status, error_type=error_type),))
    for operation in (converse, streamed):
        with pytest.raises(ClientError) as failed:
            await operation(bedrock)
        assert type(failed.value) is getattr(bedrock.exceptions, error_type)
        assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    call = runtime.calls[-1]
    assert (call.ended, call.status, call.error_type, call.billed) == ("refused", status, error_type, None)


async def test_a_retrying_client_gets_through_after_the_first_throttles(
    runtime: SandboxRuntime, make_client: Any
) -> None:
    throttle = Refuse(status=429, error_type="ThrottlingException", times=2)
    runtime.scripts[MODEL] = Script(text="at last", faults=(throttle,))
    patient = make_client("bedrock-runtime", runtime.url, attempts=4)
    answer = await converse(patient)
    assert answer["output"]["message"]["content"] == [{"text": "at last"}]
    assert [call.ended for call in runtime.calls] == ["refused", "refused", "completed"]


@pytest.mark.parametrize(
    "exception_type",
    [
        "internalServerException",
        "modelStreamErrorException",
        "validationException",
        "throttlingException",
        "serviceUnavailableException",
    ],
)
async def test_each_exception_inside_the_stream_keeps_its_name(
    runtime: SandboxRuntime, bedrock: Any, exception_type: str
) -> None:
    fields = {"originalStatusCode": 500, "originalMessage": "out of memory"}
    fault = StreamException(
        exception_type=exception_type, after_events=3, message="mid-stream", fields=fields
    )
    runtime.scripts[MODEL] = Script(faults=(fault,))
    events, error = await read_until_error(bedrock)
    assert kinds(events) == ["messageStart", "contentBlockDelta", "contentBlockDelta"]
    assert isinstance(error, EventStreamError)
    assert error.response["Error"] == {"Code": exception_type, "Message": "mid-stream"}
    assert runtime.calls[-1].ended == "faulted"


async def test_an_error_frame_carries_its_code_in_headers(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(faults=(StreamError(code="Gone", message="lost", after_events=1),))
    events, error = await read_until_error(bedrock)
    assert kinds(events) == ["messageStart"]
    assert isinstance(error, EventStreamError)
    assert error.response["Error"] == {"Code": "Gone", "Message": "lost"}


@pytest.mark.parametrize("prelude", [True, False])
async def test_a_corrupt_checksum_is_noticed_at_its_frame(
    runtime: SandboxRuntime,
    bedrock: Any,
    prelude: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    runtime.scripts[MODEL] = Script(faults=(CorruptChecksum(frame=2, prelude=prelude),))
    events, error = await read_until_error(bedrock)
    assert len(events) == 2
    assert isinstance(error, ChecksumMismatch)


@pytest.mark.parametrize(
    ("cut", "complete"),
    [
        (Cut(after_events=3), 3),
        (Cut(after_events=0), 0),
        (Cut(after_bytes=20), 0),
        (Cut(after_events=2, reset=True), None),  # an RST may overtake what was sent
    ],
)
async def test_a_cut_connection_is_a_protocol_error(
    runtime: SandboxRuntime, bedrock: Any, cut: AnyFault, complete: int | None
) -> None:
    runtime.scripts[MODEL] = Script(faults=(cut,))
    events, error = await read_until_error(bedrock)
    assert isinstance(error, ProtocolError)
    assert complete is None or len(events) == complete
    assert runtime.calls[-1].ended == "faulted"


async def test_an_unstreamed_answer_can_be_cut_too(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(faults=(Cut(after_events=0),))
    with pytest.raises(ConnectionClosedError):
        await converse(bedrock)


async def test_a_stream_can_end_early_and_say_nothing(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(faults=(EndEarly(after_events=4),))
    assert "messageStop" not in kinds(await streamed(bedrock))
    runtime.scripts[MODEL] = Script(faults=(Omit(event_types=("metadata",)),))
    assert kinds(await streamed(bedrock))[-1] == "messageStop"
    assert [call.ended for call in runtime.calls] == ["faulted", "completed"]


async def test_a_stall_holds_the_stream_and_lets_it_go_on(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(token_count=3, faults=(Stall(after_events=2, seconds=0.3),))
    started = time.monotonic()
    assert kinds(await streamed(bedrock))[-1] == "metadata"
    assert time.monotonic() - started >= 0.3


async def test_an_unknown_event_is_skipped_by_who_knows_how(runtime: SandboxRuntime, bedrock: Any) -> None:
    runtime.scripts[MODEL] = Script(token_count=2, faults=(UnknownEvent(after_events=1),))
    events = [event for event in await streamed(bedrock) if "SDK_UNKNOWN_MEMBER" not in event]
    assert text(events) == "the quick "
    assert kinds(events)[-1] == "metadata"


@pytest.mark.parametrize("sizes", [(1,), (3, 11), (4096,)])
async def test_writes_of_any_size_give_the_same_events(
    runtime: SandboxRuntime, bedrock: Any, sizes: tuple[int, ...]
) -> None:
    runtime.scripts[MODEL] = Script(text="süß und 漢字", write_sizes=sizes)
    events = await streamed(bedrock)
    assert text(events) == "süß und 漢字"
    assert kinds(events)[-1] == "metadata"


async def test_a_wrong_secret_and_an_unknown_field_are_refused(
    runtime: SandboxRuntime, make_client: Any, bedrock: Any
) -> None:
    impostor = make_client("bedrock-runtime", runtime.url, secret="wrong")
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        await converse(impostor)
    with pytest.raises(bedrock.exceptions.ValidationException):
        await converse(bedrock, requestMetadata={"k": "a|b"})


async def test_the_whole_generation_is_billed_when_the_client_leaves(runtime: SandboxRuntime) -> None:
    runtime.scripts[MODEL] = Script(token_count=500, interval_ms=20, usage=ScriptedUsage(input_tokens=3))
    url = f"{runtime.url}/model/{MODEL}/converse-stream"
    body = json.dumps({"messages": MESSAGES}).encode()
    signed = AWSRequest("POST", url, data=body)
    SigV4Auth(Credentials("sandbox", "sandbox"), "bedrock", "us-east-1").add_auth(signed)
    async with aiohttp.ClientSession() as session:
        async with session.post(url, data=body, headers=dict(signed.headers)) as response:
            assert await response.content.read(50)
            assert (runtime.calls_in_flight, runtime.open_connections) == (1, 1)
            response.close()
        await eventually(lambda: not (runtime.calls_in_flight or runtime.open_connections) or None)
    call = runtime.calls[-1]
    assert call.ended == "client_closed"
    assert call.events_sent < 100
    assert call.billed is not None
    assert (call.billed.input_tokens, call.billed.output_tokens) == (3, 500)


async def test_scripts_and_calls_are_arranged_over_http(runtime: SandboxRuntime, bedrock: Any) -> None:
    script = {"text": "by wire", "faults": [{"kind": "stall", "after_events": 0, "seconds": 0.01}]}
    async with aiohttp.ClientSession(runtime.url) as session:
        async with session.put(f"/_sandbox/scripts/{MODEL}", json=script) as put:
            assert put.status == 204
        async with session.put(f"/_sandbox/scripts/{MODEL}", json={"txt": 1}) as wrong:
            assert wrong.status == 400
        assert text(await streamed(bedrock)) == "by wire"
        async with session.get("/_sandbox/calls") as listed:
            (call,) = await listed.json()
        assert (call["model"], call["ended"], call["billed"]["output_tokens"]) == (MODEL, "completed", 2)
        assert "authorization" not in call["headers"]
        async with session.delete("/_sandbox/calls"), session.delete("/_sandbox/scripts"):
            assert len(runtime.calls) == len(runtime.scripts) == 0


async def test_two_hundred_paced_streams_keep_their_pace(runtime: SandboxRuntime) -> None:
    runtime.scripts[MODEL] = Script(token_count=20, interval_ms=20)
    url = f"{runtime.url}/model/{MODEL}/converse-stream"
    body = json.dumps({"messages": MESSAGES}).encode()
    signed = AWSRequest("POST", url, data=body)
    SigV4Auth(Credentials("sandbox", "sandbox"), "bedrock", "us-east-1").add_auth(signed)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> int:
            async with session.post(url, data=body, headers=dict(signed.headers)) as response:
                return len(await response.read())

        sizes = await asyncio.gather(*(one() for _ in range(200)))
    assert min(sizes) > 0
    assert all(call.ended == "completed" and call.events_sent == 24 for call in runtime.calls)
