"""Bodies of Chat Completions: what is understood, what is refused, and that no refusal quotes a body."""

import base64
import json
import traceback
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.chat import (
    ChatRequest,
    EvaluationHints,
    ImagePart,
    JsonSchema,
    Message,
    NamedTool,
    TextPart,
    Tool,
    ToolCall,
)
from gateway.surfaces.openai_chat_request import MAX_CONTEXT_CHARS, decode_chat_request
from gateway.surfaces.openai_chat_schema import MAX_CONTEXTS, MAX_REFERENCE_CHARS, ONLY_DEFAULT
from llmplatform.errors import ClientFault, MalformedRequest, UnsupportedParameter

CANARY = "canary-in-the-prompt"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()
USER = {"role": "user", "content": "hello"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


def decode(**fields: Any) -> ChatRequest:
    return decode_chat_request(orjson.dumps({"model": "m", "messages": [USER], **fields}))


def decode_messages(*messages: Any) -> tuple[Message, ...]:
    return decode(messages=list(messages)).messages


def refusal(body: bytes) -> ClientFault:
    with pytest.raises(ClientFault) as caught:
        decode_chat_request(body)
    return caught.value


def refusal_of(**fields: Any) -> ClientFault:
    return refusal(orjson.dumps({"model": "m", "messages": [USER], **fields}))


def refusal_of_parts(*parts: Any, role: str = "user") -> ClientFault:
    return refusal_of(messages=[USER, {"role": role, "content": list(parts)}])


# -- what is understood -----------------------------------------------------------------------------------


def test_the_least_body_says_nothing_that_the_client_did_not() -> None:
    assert decode() == ChatRequest("m", (Message("user", (TextPart("hello"),)),))


def test_every_sampling_field_arrives() -> None:
    request = decode(
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        max_completion_tokens=7,
        temperature=2,
        top_p=0.5,
        stop=["a", "b"],
        seed=-1,
        frequency_penalty=-2,
        presence_penalty=2,
        parallel_tool_calls=False,
        reasoning_effort="high",
        logprobs=True,
        top_logprobs=3,
        logit_bias={"50256": -100},
        metadata={"team": "search"},
    )
    assert request == ChatRequest(
        "m",
        (Message("user", (TextPart("hello"),)),),
        stream=True,
        include_usage=True,
        max_tokens=7,
        temperature=2,
        top_p=0.5,
        stop=("a", "b"),
        seed=-1,
        frequency_penalty=-2,
        presence_penalty=2,
        parallel_tool_calls=False,
        reasoning_effort="high",
        logprobs=True,
        top_logprobs=3,
        logit_bias={"50256": -100},
        metadata={"team": "search"},
    )


def test_null_is_the_same_as_absent() -> None:
    nullable = set(_fields_of_request()) - {"model", "messages"}
    assert decode(**dict.fromkeys(nullable)) == decode()


def test_the_values_that_ask_for_nothing_are_taken() -> None:
    for name, values in ONLY_DEFAULT.items():
        for value in values:
            assert decode(**{name: value}) == decode()


def test_labels_that_change_no_answer_are_taken() -> None:
    assert decode(user="u", safety_identifier="s", prompt_cache_key="k") == decode()


def test_max_tokens_goes_by_either_name() -> None:
    assert decode(max_tokens=5).max_tokens == 5
    assert decode(max_tokens=5, max_completion_tokens=5).max_tokens == 5
    assert refusal_of(max_tokens=5, max_completion_tokens=6).param == "max_tokens"


def test_stop_may_be_one_string() -> None:
    assert decode(stop="END").stop == ("END",)
    assert decode(stop=[]).stop == ()


def test_roles_keep_their_order_and_developer_is_system() -> None:
    messages = decode_messages(
        {"role": "developer", "content": "be kind"},
        {"role": "system", "content": [{"type": "text", "text": "be brief"}], "name": "ops"},
        USER,
        {"role": "assistant", "content": "hi"},
    )
    assert messages == (
        Message("system", (TextPart("be kind"),)),
        Message("system", (TextPart("be brief"),), name="ops"),
        Message("user", (TextPart("hello"),)),
        Message("assistant", (TextPart("hi"),)),
    )


def test_images_come_as_data_urls() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "auto"}}
    (message,) = decode_messages({"role": "user", "content": [{"type": "text", "text": "what?"}, image]})
    assert message.parts == (TextPart("what?"), ImagePart("image/png", PNG))


def test_cache_marks_are_kept_on_parts_and_on_messages() -> None:
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    plain = {"type": "text", "text": "b"}
    messages = decode_messages(
        {"role": "system", "content": [marked, plain]},
        {"role": "user", "content": "c", "cache_control": {"type": "ephemeral"}},
        {"role": "user", "content": [plain, plain], "cache_control": {"type": "ephemeral"}},
    )
    assert [message.parts for message in messages] == [
        (TextPart("a", "1h"), TextPart("b")),
        (TextPart("c", "5m"),),
        (TextPart("b"), TextPart("b", "5m")),
    ]


def test_tool_calls_and_their_answers() -> None:
    messages = decode_messages(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
    )
    assert messages[1] == Message("assistant", (), (ToolCall("call_1", "weather", '{"city":"Oslo"}'),))
    assert messages[2] == Message("tool", (TextPart("rain"),), tool_call_id="call_1")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    bare = {**CALL, "function": {"name": "now", "arguments": ""}}
    (message,) = decode_messages({"role": "assistant", "tool_calls": [bare]})
    assert message.tool_calls[0].arguments == "{}"


def test_a_message_of_a_reply_can_be_sent_back_whole() -> None:
    (message,) = decode_messages(
        {
            "role": "assistant",
            "content": "hi",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
            "reasoning_content": "hmm",
        }
    )
    assert message == Message("assistant", (TextPart("hi"),))


def test_refusals_of_the_assistant_are_its_text() -> None:
    messages = decode_messages(
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": None, "refusal": "never"},
        {"role": "assistant", "content": ""},
    )
    assert [message.parts for message in messages] == [
        (TextPart("no"),),
        (TextPart("never"),),
        (TextPart(""),),
    ]


def test_tools_and_the_choice_of_one() -> None:
    strict = {"name": "now", "description": "the time", "strict": True}
    request = decode(
        tools=[WEATHER, {"type": "function", "function": strict}],
        tool_choice={"type": "function", "function": {"name": "now"}},
    )
    assert request.tools == (
        Tool("weather", None, {"type": "object"}),
        Tool("now", "the time", {"type": "object", "properties": {}}, strict=True),
    )
    assert request.tool_choice == NamedTool("now")
    assert decode(tools=[WEATHER], tool_choice="required").tool_choice == "required"
    assert decode(tool_choice="none").tool_choice == "none"


def test_response_formats() -> None:
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    assert decode(response_format=wanted).response_format == JsonSchema("answer", schema, None, strict=True)
    assert decode(response_format={"type": "json_object"}).response_format == "json_object"
    assert decode(response_format={"type": "text"}).response_format is None


def test_hints_for_evaluation() -> None:
    hints = {"reference": "r", "contexts": ["a", "b"], "skip": True}
    assert decode(x_evaluation=hints).evaluation == EvaluationHints("r", ("a", "b"), skip=True)
    assert decode(x_evaluation={}).evaluation == EvaluationHints()


def test_of_a_key_given_twice_the_last_counts() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":"hello"}],"model":"b"}'
    assert decode_chat_request(body).model == "b"


# -- what the SDK sends -----------------------------------------------------------------------------------


def sent_by_sdk(**arguments: Any) -> bytes:
    """The body that the openai SDK makes of a call."""
    bodies: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.content)
        return httpx2.Response(418, json={})

    client = openai.OpenAI(
        api_key="k",
        base_url="http://gateway.invalid/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
        max_retries=0,
    )
    with client, pytest.raises(openai.APIStatusError):
        client.chat.completions.create(**{"model": "m", "messages": [USER], **arguments})
    return bodies[0]


def test_bodies_of_the_sdk_are_understood() -> None:
    class Answer(BaseModel):
        text: str

    tool = openai.pydantic_function_tool(Answer)
    request = decode_chat_request(
        sent_by_sdk(
            stream=True,
            stream_options={"include_usage": True},
            tools=[tool],
            tool_choice="auto",
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": Answer.model_json_schema(), "strict": True},
            },
            metadata={"a": "b"},
            extra_body={"x_evaluation": {"reference": "r"}},
        )
    )
    assert request.stream
    assert request.include_usage
    assert request.tools[0].name == "Answer"
    assert request.tools[0].strict is True
    assert isinstance(request.response_format, JsonSchema)
    assert request.evaluation == EvaluationHints("r")


def _fields_of_request() -> Iterator[str]:
    """The parameters of Chat Completions, as the SDK names them."""
    yield from openai.types.chat.completion_create_params.CompletionCreateParamsBase.__annotations__
    yield "stream"


@pytest.mark.parametrize("name", sorted(set(_fields_of_request()) - {"model", "messages"}))
def test_every_parameter_of_the_sdk_is_known_and_never_taken_in_silence(name: str) -> None:
    fault = refusal_of(**{name: {"no": ["such", "value"]}})
    assert (fault.param or "").startswith(name)
    assert fault.param != name or fault.specific_code != "unknown_parameter"


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [USER, {"content": "x"}]}, "messages[1].role"),
        ({"messages": [USER, {"role": CANARY, "content": "x"}]}, "messages[1].role"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [USER, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"messages": [USER, {"role": "user", "content": []}]}, "messages[1].content"),
        ({"messages": [USER, {"role": "user", "content": "x", "odd": CANARY}]}, "messages[1].odd"),
        ({"messages": [USER, {"role": "user", "content": "x", CANARY + " ": 1}]}, "messages[1]"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "tool", "content": "x", "tool_call_id": CANARY}]},
            "messages[0].tool_call_id",
        ),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "7"}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"odd": 1}}, "stream_options.odd"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {CANARY: 1}}, "logit_bias"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k": 5}}, "metadata"),
        ({"reasoning_effort": CANARY}, "reasoning_effort"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "not a name"}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": CANARY}, "tool_choice"),
        ({"tool_choice": {"type": CANARY}}, "tool_choice.type"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "no"}}},
            "tool_choice.function.name",
        ),
        ({"response_format": {"type": CANARY}}, "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        ({"x_evaluation": {"reference": "r" * (MAX_REFERENCE_CHARS + 1)}}, "x_evaluation.reference"),
        ({"x_evaluation": {"contexts": [""] * (MAX_CONTEXTS + 1)}}, "x_evaluation.contexts"),
        ({"x_evaluation": {"contexts": ["c" * MAX_CONTEXT_CHARS, "c"]}}, "x_evaluation.contexts"),
        ({"x_evaluation": {"skip": "yes"}}, "x_evaluation.skip"),
        ({"unheard_of": CANARY}, "unheard_of"),
        ({"max_tokens ": 5}, None),
    ],
)
def test_a_malformed_field_is_named_by_its_path(fields: dict[str, Any], param: str | None) -> None:
    body = {"model": "m", "messages": [USER], **fields}
    fault = refusal(_dumps_any_int(body))
    assert isinstance(fault, MalformedRequest)
    assert fault.param == param
    assert (param or "the body") in str(fault)
    assert CANARY not in str(fault)


def test_messages_say_what_would_be_right() -> None:
    assert str(refusal_of(model=5)) == "Invalid request: 'model' must be a string."
    assert str(refusal_of(max_tokens=0)) == "Invalid request: 'max_tokens' must be an integer >= 1."
    assert str(refusal_of(user=5)) == "Invalid request: 'user' must be a string or null."
    assert str(refusal_of(reasoning_effort="huge")).endswith("high, xhigh, max.")
    assert str(MAX_REFERENCE_CHARS) in str(refusal_of(x_evaluation={"reference": "r" * 40_000}))
    assert str(refusal_of(logit_bias={CANARY: 1})).startswith("Invalid request: 'logit_bias' has a key that")
    assert refusal_of(odd=1).specific_code == "unknown_parameter"
    assert refusal(b'{"model":"m"}').specific_code == "missing_required_parameter"


@pytest.mark.parametrize("name", ONLY_DEFAULT)
def test_parameters_that_no_backend_honours_are_refused_by_name(name: str) -> None:
    fault = refusal_of(**{name: {"a": CANARY}})
    assert isinstance(fault, UnsupportedParameter)
    assert fault.param == name
    assert CANARY not in str(fault)


@pytest.mark.parametrize("value", [2, 0, True, 1.0, "1"])
def test_one_choice_is_all_there_is(value: object) -> None:
    assert isinstance(refusal_of(n=value), UnsupportedParameter)


@pytest.mark.parametrize(
    ("part", "param", "kind"),
    [
        ({"type": CANARY}, ".type", MalformedRequest),
        ({"type": "text"}, ".text", MalformedRequest),
        ({"type": "text", "text": 5}, ".text", MalformedRequest),
        (
            {"type": "text", "text": "x", "prompt_cache_breakpoint": {}},
            ".prompt_cache_breakpoint",
            MalformedRequest,
        ),
        (
            {"type": "text", "text": "x", "cache_control": {"type": CANARY}},
            ".cache_control.type",
            MalformedRequest,
        ),
        ({"type": "input_audio", "input_audio": {"data": CANARY}}, ".type", UnsupportedParameter),
        ({"type": "file", "file": {"file_id": CANARY}}, ".type", UnsupportedParameter),
        ({"type": "image_url", "image_url": {"url": CANARY}}, ".image_url.url", MalformedRequest),
        (
            {"type": "image_url", "image_url": {"url": "https://h.invalid"}},
            ".image_url.url",
            UnsupportedParameter,
        ),
        (
            {"type": "image_url", "image_url": {"url": "", "detail": []}},
            ".image_url.detail",
            MalformedRequest,
        ),
        (
            {"type": "image_url", "image_url": {"url": "", "detail": "low"}},
            ".image_url.detail",
            UnsupportedParameter,
        ),
    ],
)
def test_parts_are_refused_by_their_path(part: dict[str, Any], param: str, kind: type[ClientFault]) -> None:
    fault = refusal_of_parts({"type": "text", "text": "x"}, part)
    assert type(fault) is kind
    assert fault.param == f"messages[1].content[1]{param}"
    assert CANARY not in str(fault)


def test_only_users_show_images() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert refusal_of_parts(image, role="system").param == "messages[1].content[0].type"


def test_a_cache_mark_on_a_message_needs_text_at_its_end() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    message = {"role": "user", "content": [image], "cache_control": {"type": "ephemeral"}}
    assert refusal_of(messages=[message]).param == "messages[0].cache_control"


def test_a_tool_answers_an_earlier_call_not_a_later_one() -> None:
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    fault = refusal_of(messages=[answer, {"role": "assistant", "tool_calls": [CALL]}])
    assert fault.param == "messages[0].tool_call_id"


@pytest.mark.parametrize("arguments", ["[1]", "{", "5", '"x"', '{"a":' * 300 + "1" + "}" * 300])
def test_arguments_of_earlier_calls_are_json_objects(arguments: str) -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    fault = refusal_of(messages=[{"role": "assistant", "tool_calls": [call]}])
    assert fault.param == "messages[0].tool_calls[0].function.arguments"


@pytest.mark.parametrize("depth", [126, 129, 253])
def test_schemas_are_taken_only_as_deep_as_they_can_be_written(depth: int) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = {"a": nested}
    good = {"type": "function", "function": {"name": "good", "parameters": {}}}
    deep = {"type": "function", "function": {"name": "deep", "parameters": nested}}
    if depth < 128:
        assert len(decode(tools=[good, deep]).tools) == 2
    else:
        body = _dumps_any_int({"model": "m", "messages": [USER], "tools": [good, deep]})
        assert refusal(body).param == "tools[1].function.parameters"


def test_integers_that_cannot_be_written_are_refused() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"maximum": 10**30}}}
    body = {"model": "m", "messages": [USER], "response_format": schema}
    assert refusal(_dumps_any_int(body)).param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"model":"\xff"}',
        b'{"model":"\\ud800"}',
        b'{"model":"\\udc00x"}',
        b'{"model":"m","temperature":NaN}',
        b'{"model":"m","temperature":Infinity}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}]} trailing',
        b'{"n":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"tools":[{"type":"function","function":{"name":"f","parameters":' + b'{"a":' * 50_000,
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    fault = refusal(body)
    assert isinstance(fault, MalformedRequest)
    assert fault.specific_code == "invalid_json"


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"5"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert "the body must be an object" in str(refusal(body))


@pytest.mark.parametrize("number", [b"1e999", b"1" + b"0" * 5_000, b"-" + b"9" * 400 + b".5"])
def test_numbers_out_of_range_are_refused(number: bytes) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],'
    assert refusal(body + b'"temperature":%s}' % number).param == "temperature"
    assert refusal(body + b'"logit_bias":{"1":%s}}' % number).param == "logit_bias"


# -- properties -------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    sorted({*_fields_of_request(), "role", "content", "type", "text", "image_url", "url", "function", "name"})
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [CANARY, "user", "assistant", "tool", "text", "function", "auto", "image_url", "", "data:"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.just("x-odd"), inner, max_size=5),
    max_leaves=20,
)


def assert_clean(body: bytes) -> None:
    """Either understood or refused as a fault that, its traceback included, quotes nothing."""
    fault: ClientFault | None = None
    try:
        decode_chat_request(body)
    except (MalformedRequest, UnsupportedParameter) as error:
        fault = error
    if fault is not None:
        assert fault.__cause__ is None
        assert fault.__context__ is None
        assert CANARY not in repr(fault)
        assert CANARY not in "".join(traceback.format_exception(fault))


@given(st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_json_is_understood_or_refused(fields: dict[str, Any]) -> None:
    assert_clean(_dumps_any_int({"model": "m", "messages": [USER], **fields}))


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=5) | st.just(USER), max_size=4))
def test_any_messages_are_understood_or_refused(messages: list[Any]) -> None:
    assert_clean(_dumps_any_int({"model": "m", "messages": messages}))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body: bytes) -> None:
    assert_clean(body)


@given(st.data())
def test_a_damaged_body_is_understood_or_refused(data: st.DataObject) -> None:
    body = bytearray(
        orjson.dumps(
            {
                "model": "m",
                "messages": [{"role": "user", "content": [{"type": "text", "text": CANARY}]}],
                "tools": [WEATHER],
            }
        )
    )
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    assert_clean(bytes(body))


@pytest.mark.parametrize("path", ["role", "type", "reasoning_effort", "utf8"])
def test_what_a_parser_would_quote_is_not_carried_along(path: str) -> None:
    bodies = {
        "role": {"model": "m", "messages": [{"role": CANARY}]},
        "type": {"model": "m", "messages": [{"role": "user", "content": [{"type": CANARY}]}]},
        "reasoning_effort": {"model": "m", "messages": [USER], "reasoning_effort": CANARY},
        "utf8": {"model": CANARY, "messages": [USER]},
    }
    body = orjson.dumps(bodies[path])
    assert_clean(body.replace(b"canary", b"\xffcanary") if path == "utf8" else body)


def test_a_request_shows_no_text_of_its_own() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": CANARY, "parameters": {"x": CANARY}}}
    request = decode(
        messages=[{"role": "user", "content": CANARY}],
        tools=[tool],
        metadata={"k": CANARY},
        x_evaluation={"reference": CANARY, "contexts": [CANARY]},
    )
    assert CANARY not in repr(request)


def _dumps_any_int(value: Any) -> bytes:
    """JSON as a client might write it: orjson would refuse integers over 64 bits."""
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "user", "content": "x"}] * 4_097, "messages"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}] * 1_025}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}] * 1_024}] * 17, "messages"),
    ],
)
def test_a_body_of_countless_small_pieces_is_refused(messages: list[Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        decode_chat_request(orjson.dumps({"model": "m", "messages": messages}))
    assert refused.value.param == param
