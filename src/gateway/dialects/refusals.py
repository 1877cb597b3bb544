"""What a dialect does not honour gets a 400 that names the parameter: never silence.

A dialect says in a table which features it can carry and which of them the model must have as a capability;
what the table does not name is refused. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from gateway.chat import ChatRequest, ImagePart, Message
from llmplatform.catalogue import Capability, ModelEntry
from llmplatform.errors import UnsupportedParameter

Feature = Literal[
    "cache_point",
    "frequency_penalty",
    "image",
    "json_object",
    "json_schema",
    "logit_bias",
    "logprobs",
    "name",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "strict_tool",
    "tool_choice",
    "tools",
    "tool_turn",
]
"""What a request may ask for beyond text, length and sampling."""

Honoured = Mapping[Feature, Capability | None]
"""The features that a dialect carries, each with the capability that the model must have, or None."""


def refusal(param: str, why: str) -> UnsupportedParameter:
    """The error that says that `param` cannot be honoured, and why."""
    return UnsupportedParameter(f"{param}: {why}", param=param)


def check_features(request: ChatRequest, model: ModelEntry, honoured: Honoured) -> None:
    """Raise UnsupportedParameter for the first feature that the request asks for and nobody here carries."""
    for feature, param in _asked_for(request):
        if feature not in honoured:
            raise refusal(param, f"the backend of model {model.model_id!r} cannot do this")
        capability = honoured[feature]
        if capability is not None and capability not in model.capabilities:
            raise refusal(param, f"model {model.model_id!r} does not support this")


def _asked_for(request: ChatRequest) -> Iterator[tuple[Feature, str]]:
    """Each feature that the request asks for and its parameter; a penalty of 0 asks for nothing."""
    for feature in _asked_for_by_name(request):
        yield feature, feature
    if request.top_logprobs is not None:
        yield "logprobs", "top_logprobs"
    if request.response_format is not None:
        yield "json_object" if request.response_format == "json_object" else "json_schema", "response_format"
    for index, tool in enumerate(request.tools):
        if tool.strict:
            yield "strict_tool", f"tools[{index}].function.strict"
    for index, message in enumerate(request.messages):
        yield from _asked_for_by(message, f"messages[{index}]")


def _asked_for_by_name(request: ChatRequest) -> list[Feature]:
    """The features that are named as their parameters are."""
    given: tuple[tuple[Feature, bool], ...] = (
        ("seed", request.seed is not None),
        ("frequency_penalty", bool(request.frequency_penalty)),
        ("presence_penalty", bool(request.presence_penalty)),
        ("logprobs", request.logprobs),
        ("logit_bias", bool(request.logit_bias)),
        ("reasoning_effort", request.reasoning_effort is not None),
        ("tools", bool(request.tools)),
        ("tool_choice", request.tool_choice is not None),
        ("parallel_tool_calls", request.parallel_tool_calls is False),
    )
    return [feature for feature, asked in given if asked]


def _asked_for_by(message: Message, path: str) -> Iterator[tuple[Feature, str]]:
    if message.role == "tool" or message.tool_calls:
        yield "tool_turn", path
    elif message.name is not None:
        yield "name", f"{path}.name"
    for part in message.parts:
        if isinstance(part, ImagePart):
            yield "image", f"{path}.content"
        elif part.cache_ttl is not None:
            yield "cache_point", f"{path}.content"
