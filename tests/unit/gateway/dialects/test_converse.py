"""What is asked of Converse, checked against botocore's model of the service, and how its faults are told."""

import json
from dataclasses import replace
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import pytest

from corpus.make_dialects import delta
from corpus.make_eventstream import encode_frame, event, exception
from gateway.chat import (
    ChatRequest,
    EventSkipped,
    Finished,
    FinishReason,
    ImagePart,
    JsonSchema,
    Message,
    NamedTool,
    StreamFailed,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    UsageReported,
)
from gateway.dialects.converse import ConverseDialect
from gateway.dialects.dialect import CallIdentity
from llmplatform.catalogue import Capability, ModelEntry
from llmplatform.errors import (
    BackendFault,
    BackendInternal,
    BackendModelFailed,
    BackendProtocolCorrupt,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    UnsupportedParameter,
)

DIALECT = ConverseDialect()
IDENTITY = CallIdentity("acme", "0192-req", "a" * 32, "b" * 16)
EVERYTHING: frozenset[Capability] = frozenset(
    {"tools", "vision", "json_schema", "reasoning", "seed", "penalties", "prompt_cache"}
)
PIXEL = "iVBORw0KGgo="
WEATHER = Tool("weather", "Tells it.", {"type": "object", "properties": {}}, strict=None)


def model(*capabilities: Capability, **fields: Any) -> ModelEntry:
    return ModelEntry(
        **{
            "model_id": "claude",
            "endpoint_type": "bedrock",
            "backend_model_id": "eu.anthropic.claude-sonnet-4-6",
            "dialect": "converse",
            "price_key": "p",
            "capabilities": frozenset(capabilities),
            **fields,
        }
    )


def user(*texts: str) -> Message:
    return Message("user", tuple(TextPart(text) for text in texts))


def asking(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest(model="claude", messages=messages or (user("hi"),), **fields)


def body_of(request: ChatRequest, entry: ModelEntry | None = None) -> Any:
    entry = entry or model(*EVERYTHING)
    DIALECT.check(request, entry)
    return json.loads(DIALECT.encode(request, entry, IDENTITY).body)


FULL = asking(
    Message("system", (TextPart("Be brief.", cache_ttl="1h"),)),
    Message("user", (TextPart("What is it?"), ImagePart("image/png", PIXEL))),
    Message(
        "assistant", (TextPart(""),), (ToolCall("t1", "weather", '{"a":1}'), ToolCall("t2", "weather", ""))
    ),
    Message("tool", (TextPart("sunny"),), tool_call_id="t1"),
    Message("tool", (TextPart("rain"),), tool_call_id="t2"),
    Message("user", (TextPart("and now", cache_ttl="5m"),)),
    max_tokens=300,
    temperature=0.5,
    top_p=0.9,
    stop=("END",),
    tools=(WEATHER,),
    tool_choice=NamedTool("weather"),
)


def test_the_body_is_one_that_the_service_model_knows() -> None:
    body = body_of(FULL)
    body["modelId"] = "m"
    body["system"][1]["cachePoint"].pop("ttl")  # newer than this botocore
    body["messages"][0]["content"][1]["image"]["source"]["bytes"] = b"x"
    loaded = botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    shape = botocore.model.ServiceModel(loaded).operation_model("ConverseStream").input_shape
    assert shape is not None
    report = botocore.validate.ParamValidator().validate(body, shape)
    assert not report.has_errors(), report.generate_report()


def test_turns_alternate_and_tool_results_are_one_user_turn() -> None:
    turns = body_of(FULL)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "t2", "name": "weather", "input": {}}},
    ]
    assert turns[2]["content"] == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "sunny"}]}},
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "rain"}]}},
        {"text": "and now"},
        {"cachePoint": {"type": "default"}},
    ]


def test_system_turns_keep_their_cache_points() -> None:
    body = body_of(FULL)
    assert body["system"] == [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["messages"][0]["content"][1] == {"image": {"format": "png", "source": {"bytes": PIXEL}}}


def test_limits_sampling_and_identity_are_sent() -> None:
    body = body_of(FULL, model(*EVERYTHING, service_tier="priority"))
    assert body["inferenceConfig"] == {
        "maxTokens": 300,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }
    assert body["requestMetadata"] == {
        "trace_id": "a" * 32,
        "tenant_id": "acme",
        "request_id": "0192-req",
    }
    assert body["serviceTier"] == {"type": "priority"}


def test_what_the_client_leaves_out_is_left_out_but_for_the_models_own_limit() -> None:
    assert "inferenceConfig" not in body_of(asking())
    assert body_of(asking(), model(max_output_tokens=9))["inferenceConfig"] == {"maxTokens": 9}
    assert body_of(asking(temperature=0.0))["inferenceConfig"] == {"temperature": 0}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        (NamedTool("weather"), {"tool": {"name": "weather"}}),
        (None, None),
    ],
)
def test_tool_choice(choice: ToolChoice | None, sent: Any) -> None:
    config = body_of(asking(tools=(WEATHER,), tool_choice=choice))["toolConfig"]
    assert config.get("toolChoice") == sent
    assert config["tools"][0]["toolSpec"]["inputSchema"] == {"json": WEATHER.parameters}


def test_tool_choice_none_leaves_the_tools_out_or_is_refused() -> None:
    assert "toolConfig" not in body_of(asking(tools=(WEATHER,), tool_choice="none"))
    with pytest.raises(UnsupportedParameter) as refused:
        body_of(replace(FULL, tool_choice="none"))
    assert refused.value.param == "tool_choice"


def test_a_response_schema_constrains_the_model_itself() -> None:
    wanted = JsonSchema("answer", {"type": "object"}, "An answer.")
    assert body_of(asking(response_format=wanted))["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {
                "jsonSchema": {"name": "answer", "schema": '{"type":"object"}', "description": "An answer."}
            },
        }
    }


@pytest.mark.parametrize(
    ("backend_model_id", "effort", "sent"),
    [
        (
            "global.anthropic.claude-opus-4-6-v1",
            "high",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "low",
            {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
        ),
        ("anthropic.claude-haiku-5-5", "none", {"thinking": {"type": "disabled"}}),
        (
            "us.amazon.nova-2-lite-v1:0",
            "medium",
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
        ),
        ("openai.gpt-oss-120b-1:0", "low", {"reasoning_effort": "low"}),
    ],
)
def test_reasoning_effort_is_said_in_the_familys_words(backend_model_id: str, effort: str, sent: Any) -> None:
    body = body_of(asking(reasoning_effort=effort), model("reasoning", backend_model_id=backend_model_id))
    assert body["additionalModelRequestFields"] == sent


def test_a_thinking_budget_stays_under_the_answers_limit() -> None:
    haiku = model("reasoning", backend_model_id="anthropic.claude-haiku-4-5-20251001-v1:0")
    fields = body_of(asking(reasoning_effort="high", max_tokens=3_000), haiku)["additionalModelRequestFields"]
    assert fields["thinking"]["budget_tokens"] == 1_500
    with pytest.raises(UnsupportedParameter):
        body_of(asking(reasoning_effort="high", max_tokens=1_024), haiku)


def test_operator_fields_are_laid_over_the_body() -> None:
    extra = {
        "performanceConfig": {"latency": "optimized"},
        "additionalModelRequestFields": {"top_k": 5},
    }
    body = body_of(asking(seed=3), model("seed", additional_request_fields=extra))
    assert body["performanceConfig"] == {"latency": "optimized"}
    assert body["additionalModelRequestFields"] == {"seed": 3, "top_k": 5}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"seed": 0}, "seed"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"presence_penalty": 0.1}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"5": 1.0}}, "logit_bias"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"tools": (WEATHER,)}, "tools"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"response_format": "json_object"}, "response_format"),
        ({"response_format": JsonSchema("a", {})}, "response_format"),
        ({"temperature": 1.5}, "temperature"),
        ({"messages": (Message("user", (ImagePart("image/png", PIXEL),)),)}, "messages[0].content"),
        ({"messages": (Message("user", (TextPart("a", "5m"),)),)}, "messages[0].content"),
        ({"messages": (Message("user", (TextPart("a"),), name="bob"),)}, "messages[0].name"),
        ({"messages": (user("a"), Message("tool", (TextPart("a"),), tool_call_id="x"))}, "messages[1]"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(fields: Any, param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        DIALECT.check(replace(asking(), **fields), model())
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (Message("system", (ImagePart("image/png", PIXEL),)), "messages[0].content"),
        (Message("tool", (TextPart("x"),)), "messages[0].tool_call_id"),
        (
            Message("assistant", (), (ToolCall("t", "weather", "[1]"),)),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_turns_that_converse_has_no_form_for_are_refused(message: Message, param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        DIALECT.check(asking(message), model(*EVERYTHING))
    assert refused.value.param == param


def test_what_asks_for_nothing_is_not_refused() -> None:
    DIALECT.check(
        asking(frequency_penalty=0.0, presence_penalty=0.0, logit_bias={}, parallel_tool_calls=True), model()
    )


@pytest.mark.parametrize(
    ("exception_type", "kind", "status"),
    [
        ("throttlingException", BackendThrottled, 429),
        ("serviceUnavailableException", BackendUnavailable, 503),
        ("internalServerException", BackendInternal, 500),
        ("modelStreamErrorException", BackendModelFailed, 424),
        ("validationException", BackendRejected, 400),
        ("someNewException", BackendInternal, None),
    ],
)
def test_each_in_stream_exception_is_its_own_fault(
    exception_type: str, kind: type[BackendFault], status: int | None
) -> None:
    decoder = DIALECT.stream_decoder()
    events = decoder.feed(delta(0, {"text": "so far"}) + exception(exception_type, "the prompt was CANARY"))
    assert events[0] == TextDelta("so far")
    assert isinstance(events[1], StreamFailed)
    fault = events[1].fault
    assert type(fault) is kind
    assert (fault.error_type, fault.status) == (exception_type, status)
    assert fault.detail == "the prompt was CANARY"
    assert "CANARY" not in str(fault)
    assert "CANARY" not in repr(fault)
    assert decoder.finish() == []


def test_an_unmodelled_error_is_a_fault_too() -> None:
    frame = encode_frame(
        {":error-code": "InternalFailure", ":error-message": "oops", ":message-type": "error"}, b""
    )
    (failed,) = DIALECT.stream_decoder().feed(frame)
    assert isinstance(failed, StreamFailed)
    assert isinstance(failed.fault, BackendInternal)
    assert failed.fault.detail == "oops"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
        ("a_new_one", FinishReason.STOP),
    ],
)
def test_stop_reasons(raw: str, reason: FinishReason) -> None:
    assert DIALECT.stream_decoder().feed(event("messageStop", {"stopReason": raw})) == [Finished(reason, raw)]


@pytest.mark.parametrize("raw", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_fails_after_its_usage_was_told(raw: str) -> None:
    usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
    stream = event("messageStop", {"stopReason": raw}) + event("metadata", {"usage": usage})
    reported, failed = DIALECT.stream_decoder().feed(stream)
    assert isinstance(reported, UsageReported)
    assert isinstance(failed, StreamFailed)
    assert isinstance(failed.fault, BackendModelFailed)
    assert failed.fault.error_type == raw
    decoder = DIALECT.stream_decoder()
    assert decoder.feed(event("messageStop", {"stopReason": raw})) == []
    assert isinstance(decoder.finish()[0], StreamFailed)


def test_unknown_events_and_delta_kinds_are_skipped_and_told() -> None:
    stream = event("brandNew", {"x": 1}) + delta(0, {"citation": {"title": "t"}}) + delta(0, {"text": "a"})
    assert DIALECT.stream_decoder().feed(stream) == [
        EventSkipped("brandNew"),
        EventSkipped("contentBlockDelta"),
        TextDelta("a"),
    ]


@pytest.mark.parametrize(
    "frame",
    [
        encode_frame({":event-type": "messageStop", ":message-type": "event"}, b"{"),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": 5}}),
        delta(4, {"toolUse": {"input": "{"}}),
    ],
)
def test_events_that_make_no_sense_are_corrupt(frame: bytes) -> None:
    (failed,) = DIALECT.stream_decoder().feed(frame)
    assert isinstance(failed, StreamFailed)
    assert isinstance(failed.fault, BackendProtocolCorrupt)


def test_good_frames_before_damage_are_kept_and_the_damage_is_told_at_once() -> None:
    good = delta(0, {"text": "a"})
    first, failed = DIALECT.stream_decoder().feed(good + good[:-1] + bytes((good[-1] ^ 1,)))
    assert first == TextDelta("a")
    assert isinstance(failed, StreamFailed)
