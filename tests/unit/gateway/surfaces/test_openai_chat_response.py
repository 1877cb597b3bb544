"""What clients read: validated by the openai SDK's own types and read by the SDK itself."""

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.chat import (
    BackendNote,
    ChatEvent,
    EventSkipped,
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from gateway.surfaces.openai_chat import OPENAI_CHAT
from gateway.surfaces.openai_chat_response import usage_object
from gateway.surfaces.surface import ReplyHeading
from gateway.wire.sse import SseDecoder
from llmplatform.errors import BackendModelFailed, BackendThrottled
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

HEADING = ReplyHeading("chatcmpl-1", 1_760_000_000, 'a "model"')
ASKED = ReplyHeading("chatcmpl-1", 1_760_000_000, "m", include_usage=True)
USAGE = TokenUsage(10, 5, 3, 2, 0, 1)
TRACE = "0198c0de000040008000000000000001"
STOP = Finished(FinishReason.STOP, "end_turn")
ANSWER: list[ChatEvent] = [
    ReasoningDelta("hm"),
    ReasoningDelta("m"),
    TextDelta("Hé"),
    TextDelta('llo "you"\n\x00\u2028'),
    ToolCallStarted(0, "call_1", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Oslo"}'),
    ToolCallStarted(1, "call_2", "now"),
    Finished(FinishReason.TOOL_CALLS, "tool_use"),
    UsageReported(USAGE),
    BackendNote(latency_ms=5, service_tier="priority"),
    EventSkipped("citation"),
]


def stream_of(
    events: Sequence[ChatEvent], heading: ReplyHeading = HEADING, usage: TokenUsage = USAGE, batch: int = 1
) -> bytes:
    encoder = OPENAI_CHAT.stream(heading)
    batches = [encoder.encode(events[start : start + batch]) for start in range(0, len(events), batch)]
    return b"".join(batches) + encoder.end(usage, UsageSource.REPORTED)


def body_of(events: Sequence[ChatEvent], usage: TokenUsage = USAGE) -> dict[str, Any]:
    encoder = OPENAI_CHAT.reply(HEADING)
    encoder.add(events)
    body: dict[str, Any] = orjson.loads(encoder.body(usage, UsageSource.REPORTED))
    return body


def data_of(stream: bytes) -> list[str]:
    """The data of each server-sent event."""
    assert stream.endswith(b"\n\n")
    return [event.removeprefix("data: ") for event in stream.decode().split("\n\n")[:-1]]


def chunks_of(stream: bytes) -> list[ChatCompletionChunk]:
    *chunks, done = data_of(stream)
    assert done == "[DONE]"
    return [ChatCompletionChunk.model_validate(json.loads(chunk), strict=True) for chunk in chunks]


# -- streams ----------------------------------------------------------------------------------------------


def test_every_chunk_is_one_of_the_sdks() -> None:
    for chunk in chunks_of(stream_of(ANSWER)):
        assert chunk.id == "chatcmpl-1"
        assert chunk.created == 1_760_000_000
        assert chunk.model == 'a "model"'
        assert chunk.object == "chat.completion.chunk"
        assert chunk.model_extra == {}
        assert len(chunk.choices) == 1


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_batches_do_not_change_the_stream(batch: int) -> None:
    assert stream_of(ANSWER, batch=batch) == stream_of(ANSWER)


@pytest.mark.parametrize("first", ANSWER[:5], ids=lambda event: type(event).__name__)
def test_the_role_stands_in_the_first_chunk_and_in_no_other(first: ChatEvent) -> None:
    roles = [chunk.choices[0].delta.role for chunk in chunks_of(stream_of([first, TextDelta("x"), STOP]))]
    assert roles[0] == "assistant"
    assert set(roles[1:]) == {None}


def test_an_empty_answer_still_has_a_role() -> None:
    first, last = chunks_of(stream_of([STOP]))
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert last.choices[0].finish_reason == "stop"


def test_events_that_mean_nothing_to_a_client_are_no_bytes() -> None:
    silent: list[ChatEvent] = [
        UsageReported(USAGE),
        BackendNote(5),
        EventSkipped("x"),
        StreamFailed(BackendThrottled("x")),
    ]
    assert OPENAI_CHAT.stream(ASKED).encode(silent) == b""


def test_the_sdk_collects_the_stream_into_the_unstreamed_reply() -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks_of(stream_of(ANSWER, ASKED)):
        state.handle_chunk(chunk)
    streamed = state.get_final_completion()
    whole = ChatCompletion.model_validate(body_of(ANSWER))
    ours, theirs = whole.choices[0], streamed.choices[0]
    assert theirs.finish_reason == ours.finish_reason == "tool_calls"
    assert theirs.message.content == ours.message.content == 'Héllo "you"\n\x00\u2028'
    assert (theirs.message.model_extra or {})["reasoning_content"] == "hmm"
    assert (ours.message.model_extra or {})["reasoning_content"] == "hmm"
    calls = [
        [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]  # type: ignore[union-attr]
        for message in (ours.message, theirs.message)
    ]
    assert calls[0] == calls[1] == [("call_1", "weather", '{"city":"Oslo"}'), ("call_2", "now", "{}")]
    assert streamed.usage == whole.usage


def test_usage_comes_last_and_only_when_asked_for() -> None:
    *others, last = chunks_of(stream_of(ANSWER, ASKED))
    assert all(chunk.usage is None for chunk in others)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.prompt_tokens == 15
    assert all(chunk.usage is None for chunk in chunks_of(stream_of(ANSWER)))
    assert all('"usage":null' in data for data in data_of(stream_of(ANSWER, ASKED))[:-2])


def test_the_service_tier_is_told_once_it_is_known() -> None:
    # The SDK's own collector looks for it in the first chunk only; a backend tells it at the end.
    assert chunks_of(stream_of(ANSWER, ASKED))[-1].service_tier == "priority"
    assert body_of(ANSWER)["service_tier"] == "priority"
    assert "service_tier" not in body_of([STOP])


def test_unknown_usage_is_null_in_the_stream() -> None:
    assert orjson.loads(data_of(stream_of([STOP], ASKED, NO_USAGE))[-2])["usage"] is None


def test_a_call_cut_off_by_the_limit_is_left_as_it_is() -> None:
    events: list[ChatEvent] = [ToolCallStarted(0, "c", "f"), Finished(FinishReason.LENGTH, "max_tokens")]
    assert b"{}" not in stream_of(events).replace(b'"delta":{}', b"")
    assert body_of(events)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == ""


def test_a_broken_stream_ends_with_an_error_and_never_as_done() -> None:
    encoder = OPENAI_CHAT.stream(HEADING)
    stream = encoder.encode([TextDelta("x")]) + encoder.failed(
        BackendModelFailed("the model failed", detail="out of memory"), trace_id=TRACE
    )
    assert b"[DONE]" not in stream
    assert json.loads(data_of(stream)[-1]) == {
        "error": {
            "message": "the model failed: out of memory",
            "type": "server_error",
            "param": None,
            "code": "backend_model_error",
            "trace_id": "0198c0de-0000-4000-8000-000000000001",
        }
    }


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=8))
def test_any_text_arrives_as_it_was(texts: list[str]) -> None:
    events: list[ChatEvent] = [*map(TextDelta, texts), STOP]
    chunks = chunks_of(stream_of(events))
    assert [chunk.choices[0].delta.content for chunk in chunks[:-1]] == texts
    assert body_of(events)["choices"][0]["message"]["content"] == "".join(texts)


# -- whole replies ----------------------------------------------------------------------------------------


def test_a_reply_is_one_of_the_sdks() -> None:
    body = body_of([TextDelta("Hel"), TextDelta("lo"), STOP])
    reply = ChatCompletion.model_validate_json(orjson.dumps(body), strict=True)
    assert reply.model_extra == {}
    assert reply.choices[0].message.content == "Hello"
    assert reply.choices[0].message.tool_calls is None
    assert reply.choices[0].finish_reason == "stop"
    assert "reasoning_content" not in body["choices"][0]["message"]
    assert body["system_fingerprint"] is None


def test_content_is_null_beside_tool_calls_and_empty_without_them() -> None:
    called = body_of([ToolCallStarted(0, "c", "f"), Finished(FinishReason.TOOL_CALLS, "tool_use")])
    assert called["choices"][0]["message"]["content"] is None
    assert body_of([STOP])["choices"][0]["message"]["content"] == ""


# -- usage ------------------------------------------------------------------------------------------------


def test_cached_tokens_count_as_prompt() -> None:
    assert body_of([STOP])["usage"] == {
        "prompt_tokens": 15,
        "completion_tokens": 5,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "x_usage_source": "reported",
    }


def test_unknown_figures_are_null_and_never_zero() -> None:
    assert usage_object(NO_USAGE, UsageSource.UNKNOWN) is None
    usage = usage_object(TokenUsage(output_tokens=7), UsageSource.ESTIMATED)
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (None, 7, None)
    assert usage.prompt_tokens_details.cached_tokens is None
    assert usage.x_usage_source == "estimated"


# -- the SDK reads what we write --------------------------------------------------------------------------


def sdk_reading(status: int, content: bytes, content_type: str) -> openai.OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers={"content-type": content_type})

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(
        api_key="k", base_url="http://gateway.invalid/v1", http_client=transport, max_retries=0
    )


def test_the_sdk_passes_over_pings_and_its_stream_helper_reads_to_the_end() -> None:
    encoder = OPENAI_CHAT.stream(ASKED)
    content = b"".join(OPENAI_CHAT.ping + encoder.encode([event]) for event in [*ANSWER[2:4], STOP])
    content += OPENAI_CHAT.ping + encoder.end(USAGE, UsageSource.DRAINED)
    with (
        sdk_reading(200, content, "text/event-stream; charset=utf-8") as client,
        client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        reply = stream.get_final_completion()
    assert reply.choices[0].message.content == 'Héllo "you"\n\x00\u2028'
    assert reply.usage is not None
    assert reply.usage.total_tokens == 20


def test_the_sdk_raises_what_broke_a_stream() -> None:
    encoder = OPENAI_CHAT.stream(HEADING)
    content = encoder.encode([TextDelta("x")]) + encoder.failed(BackendThrottled("slow down"), trace_id=TRACE)
    with sdk_reading(200, content, "text/event-stream") as client:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        assert next(stream).choices[0].delta.content == "x"
        with pytest.raises(openai.APIError) as caught:
            next(stream)
    assert caught.value.code == "backend_throttled"
    assert caught.value.message == "slow down"


def test_a_ping_is_no_event() -> None:
    assert list(SseDecoder().feed(OPENAI_CHAT.ping)) == []
