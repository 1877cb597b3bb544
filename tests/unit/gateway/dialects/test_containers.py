"""What is asked of containers, and how their faults are told: OpenAI chat, LMI and TGI."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.chat import (
    ChatRequest,
    EventSkipped,
    Finished,
    ImagePart,
    JsonSchema,
    Message,
    NamedTool,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from gateway.dialects.dialect import CallIdentity
from gateway.dialects.registry import DIALECTS
from gateway.dialects.transcript import PROMPT_FORMATS, prompt_format, render_transcript
from llmplatform.catalogue import DialectName, ModelEntry
from llmplatform.errors import (
    BackendFault,
    BackendModelFailed,
    BackendProtocolCorrupt,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    ConfigFault,
    UnsupportedParameter,
)
from llmplatform.usage import TokenUsage

IDENTITY = CallIdentity("acme", "req", "a" * 32, "b" * 16)
LOOK_UP = Tool("look_up", None, {"type": "object"}, strict=True)
TALK = (
    Message("system", (TextPart("Be brief."),)),
    Message("user", (TextPart("Hi"),)),
    Message("assistant", (TextPart("Yes?"),)),
    Message("user", (TextPart("Bye"),)),
)


def model(dialect: DialectName, *capabilities: str, **fields: Any) -> ModelEntry:
    return ModelEntry.model_validate(
        {
            "model_id": "llama",
            "endpoint_type": "sagemaker",
            "backend_model_id": "llama-endpoint",
            "dialect": dialect,
            "price_key": "p",
            "capabilities": capabilities,
            **fields,
        }
    )


def asking(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": "llama", "messages": TALK, "max_tokens": 64, **fields})


def body_of(request: ChatRequest, entry: ModelEntry) -> Any:
    dialect = DIALECTS[entry.dialect]
    dialect.check(request, entry)
    return json.loads(dialect.encode(request, entry, IDENTITY).body)


def failure(dialect: DialectName, data: bytes) -> BackendFault:
    decoder = DIALECTS[dialect].stream_decoder()
    *_, last = decoder.feed(data)
    assert isinstance(last, StreamFailed)
    assert list(decoder.finish()) == []
    return last.fault


# -- OpenAI chat ------------------------------------------------------------------------------------------


def test_openai_body_has_everything_and_no_model() -> None:
    request = asking(
        messages=(
            *TALK[:2],
            Message("assistant", (), (ToolCall("c1", "look_up", '{"q":1}'),)),
            Message("tool", (TextPart("found"),), tool_call_id="c1"),
            Message("user", (TextPart("see"), ImagePart("image/png", "AAAA")), name="bob"),
        ),
        stream=True,
        temperature=0.3,
        top_p=0.8,
        stop=("END",),
        seed=0,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        logit_bias={"5": -1},
        tools=(LOOK_UP,),
        tool_choice=NamedTool("look_up"),
        parallel_tool_calls=False,
        response_format=JsonSchema("a", {"type": "object"}, strict=True),
        reasoning_effort="low",
    )
    body = body_of(request, model("openai_chat", "tools", "vision", "json_schema", "reasoning"))
    assert body == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"q":1}'}}
                ],
            },
            {"role": "tool", "content": "found", "tool_call_id": "c1"},
            {
                "role": "user",
                "name": "bob",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
        ],
        "max_tokens": 64,
        "temperature": 0.3,
        "top_p": 0.8,
        "stop": ["END"],
        "seed": 0,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "logit_bias": {"5": -1},
        "reasoning_effort": "low",
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
        },
        "tools": [
            {
                "type": "function",
                "function": {"name": "look_up", "parameters": {"type": "object"}, "strict": True},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def test_a_backend_that_cannot_stream_is_not_asked_to() -> None:
    for dialect in ("openai_chat", "lmi", "tgi"):
        assert "stream" not in body_of(asking(stream=True), model(dialect, streaming=False))


def test_a_role_preamble_is_no_content() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    assert list(DIALECTS["openai_chat"].stream_decoder().feed(chunk)) == []


def test_running_counts_are_not_final_and_only_the_last_of_a_read_is_told() -> None:
    chunks = b"".join(
        b'data: {"choices":[{"delta":{"content":"a"}}],'
        b'"usage":{"prompt_tokens":5,"completion_tokens":%d}}\n\n' % count
        for count in (1, 2, 3)
    )
    *texts, usage = DIALECTS["openai_chat"].stream_decoder().feed(chunks)
    assert texts == [TextDelta("a")] * 3
    assert usage == UsageReported(TokenUsage(5, 3), final=False)


def test_usage_beside_the_finish_reason_is_final() -> None:
    chunk = (
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'
    )
    finished, usage = DIALECTS["openai_chat"].stream_decoder().feed(chunk)
    assert isinstance(finished, Finished)
    assert usage == UsageReported(TokenUsage(5, 1), final=True)


def test_reasoning_is_told_once_though_vllm_may_name_it_twice() -> None:
    chunk = b'data: {"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}\n\n'
    assert list(DIALECTS["openai_chat"].stream_decoder().feed(chunk)) == [ReasoningDelta("hm")]


def test_a_whole_tool_call_in_one_delta() -> None:
    chunk = (
        b'data: {"choices":[{"delta":{"tool_calls":'
        b'[{"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
    )
    assert list(DIALECTS["openai_chat"].stream_decoder().feed(chunk)) == [
        ToolCallStarted(0, "c", "f"),
        ToolCallDelta(0, "{}"),
    ]


def test_an_object_of_another_kind_is_skipped_and_told() -> None:
    assert list(DIALECTS["openai_chat"].stream_decoder().feed(b'data: {"object":"ping"}\n\n')) == [
        EventSkipped("chunk")
    ]


@pytest.mark.parametrize(
    ("data", "kind", "status", "error_type"),
    [
        (
            b'data: {"error":{"message":"CANARY","type":"BadRequestError","code":400}}\n\n',
            BackendRejected,
            400,
            "BadRequestError",
        ),
        (
            b'data: {"error":{"message":"CANARY","type":"x","code":500}}\n\ndata: [DONE]\n\n',
            BackendModelFailed,
            500,
            "x",
        ),
        (b'{"error":"CANARY","code":424}\n', BackendModelFailed, 424, None),
        (b'data: {"object":"error","message":"CANARY","code":429}\n\n', BackendThrottled, 429, None),
        (b'data: {"error":{"message":"CANARY","code":"odd"}}\n\n', BackendModelFailed, 424, None),
    ],
)
def test_openai_errors_inside_a_stream(
    data: bytes, kind: type[BackendFault], status: int, error_type: str | None
) -> None:
    fault = failure("openai_chat", data)
    assert type(fault) is kind
    assert (fault.status, fault.error_type, fault.detail) == (status, error_type, "CANARY")
    assert "CANARY" not in str(fault)


def test_openai_done_without_a_finish_reason_is_no_answer() -> None:
    decoder = DIALECTS["openai_chat"].stream_decoder()
    decoder.feed(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n')
    (failed,) = decoder.finish()
    assert isinstance(failed, StreamFailed)
    assert isinstance(failed.fault, BackendProtocolCorrupt)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"choices":[]}', b"\xff", b'{"error":"x"}'])
@pytest.mark.parametrize("dialect", ["converse", "openai_chat", "lmi", "tgi"])
def test_a_whole_reply_that_is_no_answer_fails(dialect: DialectName, body: bytes) -> None:
    assert isinstance(DIALECTS[dialect].decode_reply(body)[-1], StreamFailed)


# -- LMI and TGI ------------------------------------------------------------------------------------------


def test_lmi_body() -> None:
    entry = model("lmi", "penalties", additional_request_fields={"parameters": {"top_k": 4}})
    body = body_of(asking(stream=True, temperature=0.5, seed=7, presence_penalty=0.2, stop=("X",)), entry)
    assert body == {
        "inputs": "Be brief.\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: Bye\n\nAssistant:",
        "parameters": {
            "details": True,
            "return_full_text": False,
            "max_new_tokens": 64,
            "do_sample": True,
            "temperature": 0.5,
            "seed": 7,
            "presence_penalty": 0.2,
            "stop_sequences": ["X", "\n\nUser:"],
            "stop": ["X", "\n\nUser:"],
            "top_k": 4,
        },
        "stream": True,
    }


def test_tgi_body() -> None:
    entry = model("tgi", additional_request_fields={"prompt_format": "llama3"}, max_output_tokens=99)
    body = body_of(asking(max_tokens=None, temperature=0, top_p=0.5), entry)
    assert body["parameters"] == {
        "details": True,
        "return_full_text": False,
        "max_new_tokens": 99,
        "do_sample": False,
        "stop": ["<|eot_id|>"],
    }
    assert set(body) == {"inputs", "parameters"}
    assert body["inputs"].endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")


def test_prompt_formats() -> None:
    assert render_transcript(TALK[1:2], PROMPT_FORMATS["chatml"]) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert render_transcript(TALK[1:2], PROMPT_FORMATS["llama3"]) == (
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    with pytest.raises(ConfigFault, match="prompt_format"):
        prompt_format("nonsense")


@pytest.mark.parametrize("dialect", ["lmi", "tgi"])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": (LOOK_UP,)}, "tools"),
        ({"response_format": "json_object"}, "response_format"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"logprobs": True}, "logprobs"),
        ({"frequency_penalty": 1.0}, "frequency_penalty"),
        ({"messages": (Message("user", (ImagePart("image/png", ""),)),)}, "messages[0].content"),
        ({"messages": (Message("tool", (TextPart("x"),), tool_call_id="t"),)}, "messages[0]"),
        ({"max_tokens": None}, "max_tokens"),
    ],
)
def test_a_text_prompt_carries_no_more_than_text(dialect: DialectName, fields: Any, param: str) -> None:
    entry = model(dialect, "tools", "vision", "json_schema", "reasoning")
    with pytest.raises(UnsupportedParameter) as refused:
        DIALECTS[dialect].check(replace(asking(), **fields), entry)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "data",
    [
        b'{"token":{"id":-1,"text":"","log_prob":-1},"generated_text":"","details":{"finish_reason":"error"}}\n',
        b'{"error":"CANARY","code":424}\n',
        b'{"error":{"message":"CANARY","type":"x","code":424}}\n',
    ],
)
def test_lmi_says_at_http_200_that_it_failed(data: bytes) -> None:
    fault = failure("lmi", b'{"token":{"id":5,"text":"a"}}\n' + data)
    assert type(fault) is BackendModelFailed
    assert fault.status == 424


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [
        ("generation", BackendModelFailed),
        ("incomplete_generation", BackendModelFailed),
        ("overloaded", BackendUnavailable),
        ("validation", BackendRejected),
    ],
)
def test_tgi_error_objects(error_type: str, kind: type[BackendFault]) -> None:
    fault = failure("tgi", f'data:{{"error":"CANARY","error_type":"{error_type}"}}\n\n'.encode())
    assert type(fault) is kind
    assert (fault.error_type, fault.detail) == (error_type, "CANARY")
    assert "CANARY" not in str(fault)


def test_special_tokens_are_not_said() -> None:
    data = (
        b'data:{"token":{"id":2,"text":"</s>","special":true},"generated_text":"",'
        b'"details":{"finish_reason":"eos_token","generated_tokens":1}}\n\n'
    )
    finished, usage = DIALECTS["tgi"].stream_decoder().feed(data)
    assert isinstance(finished, Finished)
    assert isinstance(usage, UsageReported)
    assert usage.usage.output_tokens == 1
