from typing import Any

import pytest

from sandbox.engines.engine import GenerationRequest
from sandbox.engines.forced_tool import SHORT_TEXT, bounded, forced_tool


def asked(choice: object, *names: str) -> GenerationRequest:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"of": name}}} for name in names]
    return GenerationRequest(model="m", messages=[], tools=tools, tool_choice=choice)


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def test_a_named_tool_is_forced_and_so_is_the_only_one_where_some_tool_is() -> None:
    for request in (asked(named("b"), "a", "b"), asked("required", "b")):
        tool = forced_tool(request)
        assert tool is not None
        assert (tool.name, tool.schema) == ("b", {"of": "b"})


@pytest.mark.parametrize(
    "request_", [asked("auto", "a"), asked(None), asked("required", "a", "b"), asked(named("c"), "a")]
)
def test_nothing_is_forced_where_the_model_may_choose(request_: GenerationRequest) -> None:
    assert forced_tool(request_) is None


def test_only_a_text_without_an_end_is_given_one() -> None:
    free = {"type": "string", "description": "why"}
    ended = [{"type": "string", "maxLength": 5}, {"type": "string", "enum": ["a"]}, {"type": "integer"}]
    schema = {
        "type": "object",
        "properties": {"free": free, "several": {"anyOf": [free, *ended]}},
        "required": ["free"],
    }
    assert bounded(schema) == {
        "type": "object",
        "properties": {
            "free": {**free, "pattern": SHORT_TEXT},
            "several": {"anyOf": [{**free, "pattern": SHORT_TEXT}, *ended]},
        },
        "required": ["free"],
    }
