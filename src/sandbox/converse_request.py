"""Bedrock Converse bodies, checked the way the service checks them, as engine requests.

What the service refuses is refused here with its own error type; messages name the field and quote
no content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sandbox.engines.engine import GenerationRequest
from sandbox.refusals import Refusal

METADATA_MAX_PAIRS = 16
METADATA_MAX_CHARACTERS = 256
_METADATA_TEXT = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]*")
_BODY_FIELDS = frozenset(
    {
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "guardrailConfig",
        "additionalModelRequestFields",
        "promptVariables",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "performanceConfig",
        "serviceTier",
        "outputConfig",
    }
)
_INFERENCE_FIELDS = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_CONTENT_FIELDS = frozenset(
    {
        "text",
        "image",
        "document",
        "video",
        "audio",
        "toolUse",
        "toolResult",
        "guardContent",
        "cachePoint",
        "reasoningContent",
        "citationsContent",
        "searchResult",
    }
)


def invalid(message: str) -> Refusal:
    """Make Bedrock's ValidationException."""
    return Refusal(400, "ValidationException", message)


def converse_request(model: str, body: Any, *, stream: bool) -> GenerationRequest:
    """Translate a Converse body. Raises Refusal for what AWS would not take."""
    if not isinstance(body, dict):
        raise Refusal(400, "SerializationException", "The request body is not a JSON object")
    _demand_known(body, _BODY_FIELDS, "")
    _check_metadata(body.get("requestMetadata"))
    messages = _messages(body.get("system"), body.get("messages"))
    inference = _object(body, "inferenceConfig")
    _check_inference(inference)
    tools, tool_choice = _tools(_object(body, "toolConfig"))
    return GenerationRequest(
        model=model,
        messages=messages,
        max_tokens=inference.get("maxTokens"),
        stop=tuple(inference.get("stopSequences") or ()),
        temperature=inference.get("temperature"),
        top_p=inference.get("topP"),
        seed=_object(body, "additionalModelRequestFields").get("seed"),
        tools=tools,
        tool_choice=tool_choice,
        response_format=_response_format(_object(body, "outputConfig")),
        stream=stream,
    )


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise invalid(f"{name} must be an object")
    return found


def _demand_known(found: Iterable[str], known: frozenset[str], where: str) -> None:
    for name in found:
        if name not in known:
            raise invalid(
                f"The model returned the following errors: {where}{name}: Extra inputs are not permitted"
            )


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not 1 <= len(metadata) <= METADATA_MAX_PAIRS:
        raise invalid(f"requestMetadata must have between 1 and {METADATA_MAX_PAIRS} pairs")
    for key, value in metadata.items():
        if not 1 <= len(key) <= METADATA_MAX_CHARACTERS or not _METADATA_TEXT.fullmatch(key):
            raise invalid("requestMetadata has a key of a forbidden length or character")
        if not isinstance(value, str) or len(value) > METADATA_MAX_CHARACTERS:
            raise invalid(
                f"requestMetadata.{key} must be text of at most {METADATA_MAX_CHARACTERS} characters"
            )
        if not _METADATA_TEXT.fullmatch(value):
            raise invalid(f"requestMetadata.{key} has a forbidden character")


def _check_inference(inference: Mapping[str, Any]) -> None:
    _demand_known(inference, _INFERENCE_FIELDS, "inferenceConfig.")
    max_tokens = inference.get("maxTokens")
    if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
        raise invalid("inferenceConfig.maxTokens must be an integer of at least 1")
    for name in ("temperature", "topP"):
        value = inference.get(name)
        if value is not None and (type(value) not in {int, float} or not 0 <= value <= 1):
            raise invalid(f"inferenceConfig.{name} must be between 0 and 1")
    stops = inference.get("stopSequences", [])
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise invalid("inferenceConfig.stopSequences must be a list of non-empty text")


def _messages(system: Any, messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise invalid("messages must not be empty")
    translated: list[dict[str, Any]] = []
    if system is not None:
        if not isinstance(system, list):
            raise invalid("system must be a list")
        texts = [block["text"] for block in system if isinstance(block, dict) and "text" in block]
        translated.append({"role": "system", "content": "\n".join(texts)})
    previous = "assistant"
    for position, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in {"user", "assistant"}:
            raise invalid(f"messages.{position}.role must be user or assistant")
        if position == 0 and role != "user":
            raise invalid(
                "A conversation must start with a user message. Try again with a conversation "
                "that starts with a user message."
            )
        if role == previous:
            raise invalid(
                "A conversation must alternate between user and assistant roles. Make sure the "
                "conversation alternates between user and assistant roles and try again."
            )
        previous = role
        translated += _message(role, message.get("content"), f"messages.{position}.content")
    return translated


def _message(role: str, content: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not content:
        raise invalid(
            f"The content field in the Message object at {where.removesuffix('.content')} is empty."
        )
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for position, block in enumerate(content):
        place = f"{where}.{position}"
        if not isinstance(block, dict) or len(block) != 1:
            raise invalid(f"{place} must have exactly one member")
        _demand_known(block, _CONTENT_FIELDS, f"{place}.")
        match block:
            case {"text": str(text)}:
                if not text.strip():
                    raise invalid(f"The text field in the ContentBlock object at {place} is blank.")
                texts.append(text)
            case {"toolUse": {"toolUseId": str(call_id), "name": str(name), "input": given}}:
                function = {"name": name, "arguments": msgspec.json.encode(given).decode()}
                calls.append({"id": call_id, "type": "function", "function": function})
            case {"toolResult": {"toolUseId": str(call_id), "content": list(parts)}}:
                results.append({"role": "tool", "tool_call_id": call_id, "content": _result_text(parts)})
            case {"text": _} | {"toolUse": _} | {"toolResult": _}:
                raise invalid(f"{place} is malformed")
    if not texts and not calls:
        return results or [{"role": role, "content": ""}]
    message: dict[str, Any] = {"role": role, "content": "\n".join(texts)}
    if calls:
        message["tool_calls"] = calls
    return [*results, message]


def _result_text(parts: list[Any]) -> str:
    known = [part for part in parts if isinstance(part, dict)]
    texts = [part["text"] for part in known if "text" in part]
    texts += [msgspec.json.encode(part["json"]).decode() for part in known if "json" in part]
    return "\n".join(texts)


def _tools(config: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    if not config:
        return [], None
    tools = config.get("tools")
    if not isinstance(tools, list) or not tools:
        raise invalid("toolConfig.tools must not be empty")
    translated: list[dict[str, Any]] = []
    for position, tool in enumerate(tools):
        match tool:
            case {"toolSpec": {"name": str(name), "inputSchema": {"json": dict(schema)}} as spec}:
                function = {"name": name, "description": spec.get("description", ""), "parameters": schema}
                translated.append({"type": "function", "function": function})
            case {"cachePoint": _} | {"systemTool": _}:
                pass
            case _:
                raise invalid(f"toolConfig.tools.{position} is malformed")
    match config.get("toolChoice"):
        case None | {"auto": {}}:
            choice: Any = "auto"
        case {"any": {}}:
            choice = "required"
        case {"tool": {"name": str(name)}}:
            if all(tool["function"]["name"] != name for tool in translated):
                raise invalid("toolConfig.toolChoice.tool.name is not the name of a tool in toolConfig.tools")
            choice = {"type": "function", "function": {"name": name}}
        case _:
            raise invalid("toolConfig.toolChoice is malformed")
    return translated, choice


def _response_format(output: Mapping[str, Any]) -> dict[str, Any] | None:
    match output.get("textFormat"):
        case None:
            return None
        case {"type": "json_schema", "structure": {"jsonSchema": {"schema": str(schema)} as definition}}:
            try:
                decoded = msgspec.json.decode(schema)
            except msgspec.DecodeError:
                raise invalid("outputConfig.textFormat.structure.jsonSchema.schema is not JSON") from None
            named = {"name": definition.get("name", "output"), "schema": decoded}
            return {"type": "json_schema", "json_schema": named}
        case _:
            raise invalid("outputConfig.textFormat is malformed")
