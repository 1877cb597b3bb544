"""The schemas of the OpenAPI document."""

from typing import Any

import msgspec

from gateway.surfaces.openai_chat_request import decode_chat_request
from gateway.surfaces.openai_chat_schema import (
    ONLY_DEFAULT,
    ChatCompletion,
    ChatCompletionRequest,
    request_schema,
    response_schema,
)


def test_schemas_hold_no_references() -> None:
    for schema in (request_schema(), response_schema()):
        assert b"$ref" not in msgspec.json.encode(schema)
        assert schema["type"] == "object"


def test_the_request_schema_names_every_field() -> None:
    schema = request_schema()
    assert set(schema["properties"]) == set(ChatCompletionRequest.__struct_fields__)
    assert schema["required"] == ["model", "messages"]
    assert schema["additionalProperties"] is False


def test_examples_are_true() -> None:
    for example in request_schema()["examples"]:
        decode_chat_request(msgspec.json.encode(example))
    for reply in response_schema()["examples"]:
        assert msgspec.convert(reply, ChatCompletion).usage is not None


def test_each_parameter_that_is_not_honoured_says_so() -> None:
    properties: dict[str, Any] = request_schema()["properties"]
    silent = {
        name for name, field in properties.items() if "Only the default" in field.get("description", "")
    }
    assert silent == set(ONLY_DEFAULT)
