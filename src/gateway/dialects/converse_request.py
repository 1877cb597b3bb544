"""Amazon Bedrock Converse: a request as the body of Converse and ConverseStream.

Decisions that a reader of the API reference would ask about:
- A JSON schema goes into `outputConfig.textFormat`, which constrains the model itself (user guide,
  "Get validated JSON results from models", since February 2026), not into a forced tool. Bare JSON mode
  (`json_object`) does not exist there and is refused.
- Converse has no tool choice `none`: the tools are left out instead, which Bedrock allows only while the
  conversation holds no tool turn; else it is refused.
- All system turns go into `system`, wherever they stood. Tool results are a user turn. Neighbouring turns
  of one role become one, because Converse wants them to alternate.
Replies are `converse`'s. Pure.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.chat import ChatRequest, ImagePart, JsonSchema, Message, NamedTool, Tool, ToolCall
from gateway.dialects.dialect import CallIdentity
from gateway.dialects.operator_fields import with_operator_fields
from gateway.dialects.reasoning import reasoning_fields
from gateway.dialects.refusals import Honoured, check_features, refusal
from llmplatform.catalogue import ModelEntry

Block = dict[str, Any]

_HONOURED: Final[Honoured] = {
    "cache_point": "prompt_cache",
    "frequency_penalty": "penalties",
    "image": "vision",
    "json_schema": "json_schema",
    "presence_penalty": "penalties",
    "reasoning_effort": "reasoning",
    "seed": "seed",
    "strict_tool": "json_schema",
    "tool_choice": "tools",
    "tool_turn": "tools",
    "tools": "tools",
}
_MAX_SAMPLING: Final = 1.0


def check_converse(request: ChatRequest, model: ModelEntry) -> None:
    """Raise UnsupportedParameter for the first field that Converse or the model cannot honour."""
    check_features(request, model, _HONOURED)
    if request.temperature is not None and request.temperature > _MAX_SAMPLING:
        raise refusal("temperature", "Bedrock takes 0 to 1")
    if request.reasoning_effort is not None:
        reasoning_fields(request.reasoning_effort, model, _max_tokens(request, model))
    if request.tool_choice == "none" and any(m.tool_calls or m.role == "tool" for m in request.messages):
        raise refusal("tool_choice", "Bedrock cannot forbid tools once the conversation has tool turns")
    for index, message in enumerate(request.messages):
        _check_message(message, f"messages[{index}]")


def encode_converse(request: ChatRequest, model: ModelEntry, identity: CallIdentity) -> bytes:
    """The body of Converse and of ConverseStream, which is the same."""
    body: Block = {"messages": _turns(request.messages)}
    system = [
        block
        for m in request.messages
        if m.role == "system"
        for block in _content(m)
        if _says_something(block)
    ]
    if system:
        body["system"] = system
    max_tokens = _max_tokens(request, model)
    inference = {
        "maxTokens": max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": request.stop or None,
    }
    if given := {name: value for name, value in inference.items() if value is not None}:
        body["inferenceConfig"] = given
    if request.tools and request.tool_choice != "none":
        body["toolConfig"] = _tool_config(request)
    if isinstance(request.response_format, JsonSchema):
        body["outputConfig"] = {"textFormat": _text_format(request.response_format)}
    if extra := _additional_fields(request, model, max_tokens):
        body["additionalModelRequestFields"] = extra
    if model.service_tier is not None:
        body["serviceTier"] = {"type": model.service_tier}
    body["requestMetadata"] = {
        "trace_id": identity.trace_id,
        "tenant_id": identity.tenant_id,
        "request_id": identity.request_id,
    }
    if model.additional_request_fields:
        body = with_operator_fields(body, model.additional_request_fields)
    return msgspec.json.encode(body)


def _max_tokens(request: ChatRequest, model: ModelEntry) -> int | None:
    return request.max_tokens if request.max_tokens is not None else model.max_output_tokens


def _check_message(message: Message, path: str) -> None:
    if message.role in {"system", "assistant"} and any(isinstance(p, ImagePart) for p in message.parts):
        raise refusal(f"{path}.content", f"Bedrock takes no image in a turn of the {message.role}")
    if message.role == "tool" and message.tool_call_id is None:
        raise refusal(f"{path}.tool_call_id", "Bedrock needs the call that a tool result answers")
    for index, call in enumerate(message.tool_calls):
        try:
            is_object = isinstance(msgspec.json.decode(call.arguments or "{}"), dict)
        except msgspec.DecodeError:
            is_object = False
        if not is_object:
            param = f"{path}.tool_calls[{index}].function.arguments"
            raise refusal(param, "Bedrock takes only a JSON object")


def _turns(messages: Sequence[Message]) -> list[Block]:
    """The conversation as alternating turns."""
    turns: list[Block] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        content = _content(message)
        if message.role == "tool":
            content = [_tool_result(message, content)]
        else:
            content += [_tool_use(call) for call in message.tool_calls]
        # Bedrock refuses blank text; clients send it beside tool calls. A turn of nothing else keeps it, and
        # Bedrock's own refusal.
        content = [block for block in content if _says_something(block)] or content[:1]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        else:
            turns.append({"role": role, "content": content})
    return turns


def _content(message: Message) -> list[Block]:
    blocks: list[Block] = []
    for part in message.parts:
        if isinstance(part, ImagePart):
            image_format = part.media_type.removeprefix("image/")
            blocks.append({"image": {"format": image_format, "source": {"bytes": part.base64}}})
            continue
        blocks.append({"text": part.text})
        if part.cache_ttl is not None:
            # Five minutes is the default; models that know only this one refuse the field.
            ttl = {} if part.cache_ttl == "5m" else {"ttl": part.cache_ttl}
            blocks.append({"cachePoint": {"type": "default", **ttl}})
    return blocks


def _says_something(block: Block) -> bool:
    text = block.get("text")
    return text is None or bool(text.strip())


def _tool_use(call: ToolCall) -> Block:
    arguments = msgspec.Raw((call.arguments or "{}").encode())
    return {"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments}}


def _tool_result(message: Message, content: list[Block]) -> Block:
    return {"toolResult": {"toolUseId": message.tool_call_id, "content": content}}


def _tool_config(request: ChatRequest) -> Block:
    config: Block = {"tools": [{"toolSpec": _tool_spec(tool)} for tool in request.tools]}
    if request.tool_choice == "auto":
        config["toolChoice"] = {"auto": {}}
    elif request.tool_choice == "required":
        config["toolChoice"] = {"any": {}}
    elif isinstance(request.tool_choice, NamedTool):
        config["toolChoice"] = {"tool": {"name": request.tool_choice.name}}
    return config


def _tool_spec(tool: Tool) -> Block:
    spec: Block = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict:
        spec["strict"] = True
    return spec


def _text_format(wanted: JsonSchema) -> Block:
    schema: Block = {"name": wanted.name, "schema": msgspec.json.encode(wanted.schema).decode()}
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}


def _additional_fields(request: ChatRequest, model: ModelEntry, max_tokens: int | None) -> Block:
    fields: Block = {
        name: value
        for name, value in (
            ("seed", request.seed),
            ("frequency_penalty", request.frequency_penalty or None),
            ("presence_penalty", request.presence_penalty or None),
        )
        if value is not None
    }
    if request.reasoning_effort is not None:
        fields |= reasoning_fields(request.reasoning_effort, model, max_tokens)
    return fields
