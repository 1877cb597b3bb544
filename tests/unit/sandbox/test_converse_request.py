from typing import Any

import pytest

from sandbox.converse_request import converse_request
from sandbox.refusals import Refusal

USER = {"role": "user", "content": [{"text": "hi"}]}
ASSISTANT = {"role": "assistant", "content": [{"text": "ho"}]}

TOOL = {"toolSpec": {"name": "rate", "inputSchema": {"json": {"type": "object"}}}}


def body(**changes: Any) -> dict[str, Any]:
    return {"messages": [USER], **changes}


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        body(messages=[ASSISTANT]),
        body(messages=[USER, USER]),
        body(messages=[{"role": "system", "content": [{"text": "x"}]}]),
        body(messages=[{"role": "user", "content": []}]),
        body(messages=[{"role": "user", "content": [{"text": " "}]}]),
        body(messages=[{"role": "user", "content": [{"text": 3}]}]),
        body(messages=[{"role": "user", "content": [{"words": "x"}]}]),
        body(messages=[{"role": "user", "content": [{"text": "a", "image": {}}]}]),
        body(surprise=1),
        body(inferenceConfig={"maxTokens": 0}),
        body(inferenceConfig={"maxTokens": True}),
        body(inferenceConfig={"temperature": 1.5}),
        body(inferenceConfig={"topP": -0.1}),
        body(inferenceConfig={"topK": 3}),
        body(inferenceConfig={"stopSequences": [""]}),
        body(requestMetadata={}),
        body(requestMetadata={str(i): "x" for i in range(17)}),
        body(requestMetadata={"k": "v" * 257}),
        body(requestMetadata={"": "v"}),
        body(requestMetadata={"k": "a|b"}),
        body(requestMetadata={"k": 3}),
        body(toolConfig={"tools": []}),
        body(toolConfig={"tools": [TOOL], "toolChoice": {"tool": {"name": "another"}}}),
        body(toolConfig={"tools": [{"toolSpec": {"name": "x"}}]}),
        body(outputConfig={"textFormat": {"type": "xml"}}),
    ],
)
def test_what_aws_would_not_take_is_a_validation_exception(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        converse_request("m", wrong, stream=False)
    assert (refused.value.status, refused.value.error_type) == (400, "ValidationException")


def test_a_body_that_is_no_object_is_a_serialization_exception() -> None:
    with pytest.raises(Refusal) as refused:
        converse_request("m", None, stream=False)
    assert refused.value.error_type == "SerializationException"


def test_a_traceparent_fits_into_the_metadata() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    converse_request("m", body(requestMetadata={"traceparent": traceparent}), stream=True)


def test_a_conversation_with_tools_keeps_its_order() -> None:
    use = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Rome"}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "sunny"}, {"json": {"c": 30}}]}}
    spec = {"name": "weather", "inputSchema": {"json": {"type": "object"}}}
    asked = converse_request(
        "m",
        {
            "system": [{"text": "be brief"}],
            "messages": [
                USER,
                {"role": "assistant", "content": [{"text": "let me see"}, use]},
                {"role": "user", "content": [result]},
            ],
            "inferenceConfig": {"maxTokens": 7, "stopSequences": ["x"]},
            "toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}},
        },
        stream=True,
    )
    assert [message["role"] for message in asked.messages] == ["system", "user", "assistant", "tool"]
    assert asked.messages[2]["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city":"Rome"}',
    }
    assert asked.messages[3]["content"] == 'sunny\n{"c":30}'
    assert (asked.max_tokens, asked.stop, asked.tool_choice) == (7, ("x",), "required")


def test_a_json_schema_reaches_the_engine_decoded() -> None:
    text_format = {
        "type": "json_schema",
        "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n"}},
    }
    asked = converse_request("m", body(outputConfig={"textFormat": text_format}), stream=False)
    assert asked.response_format is not None
    assert asked.response_format["json_schema"] == {"name": "n", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"tool": {"name": "rate"}}, {"type": "function", "function": {"name": "rate"}}),
        ({"any": {}}, "required"),
        ({"auto": {}}, "auto"),
    ],
)
def test_a_choice_of_tool_is_passed_on(choice: dict[str, Any], expected: object) -> None:
    asked = converse_request("m", body(toolConfig={"tools": [TOOL], "toolChoice": choice}), stream=False)
    assert asked.tool_choice == expected
