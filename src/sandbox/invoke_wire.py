"""Bedrock InvokeModel: the bodies that each model family has for itself.

Anthropic's messages, Titan's text, and for every other family the shape that Llama has. A streamed
answer is the model's own JSON in ``chunk`` events; the last one carries the invocation metrics.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from sandbox.converse_request import invalid
from sandbox.converse_response import padding
from sandbox.engines.engine import (
    Answer,
    Batch,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolInputDelta,
    Usage,
)
from sandbox.eventstream import json_event_frame

_METRICS = "amazon-bedrock-invocationMetrics"
_ANTHROPIC_FIELDS = frozenset(
    {
        "anthropic_version",
        "anthropic_beta",
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
_TITAN_REASONS = {"end_turn": "FINISH", "max_tokens": "LENGTH", "stop_sequence": "STOP_CRITERIA_MET"}
_LLAMA_REASONS = {"max_tokens": "length"}


class InvokeFamily(Protocol):
    """One family's bodies: the request read, the answer written whole or in chunks."""

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body. Raises Refusal for what the family would not take."""

    def response(self, answer: Answer) -> dict[str, Any]:
        """Make the whole answer."""

    def chunks(self, event: GenerationEvent, state: dict[str, int]) -> list[dict[str, Any]]:
        """Make the chunks of one event; ``state`` is the stream's own scratch pad."""


class InvokeStreamEncoder:
    """Frames of one streamed answer of a family."""

    def __init__(self, family: InvokeFamily, usage: Callable[[], Usage | None]) -> None:
        self._family = family
        self._usage = usage
        self._state: dict[str, int] = {}

    def start(self) -> list[bytes]:
        """No frame leaves before the model has said something."""
        return []

    def encode(self, batch: Batch) -> list[bytes]:
        """Frames of events that are due together."""
        if batch and "input_tokens" not in self._state and (usage := self._usage()) is not None:
            self._state["input_tokens"] = usage.input_tokens
        chunks = [chunk for event in batch for chunk in self._family.chunks(event, self._state)]
        return [chunk_frame(msgspec.json.encode(chunk)) for chunk in chunks]


def chunk_frame(model_bytes: bytes) -> bytes:
    """Make the frame around a piece of the model's own bytes."""
    return json_event_frame("chunk", {"bytes": b64encode(model_bytes).decode(), "p": padding()})


def family_of(model: str) -> InvokeFamily:
    """Return the family that a model id (or profile, or ARN) names."""
    if "anthropic." in model:
        return Anthropic()
    if "amazon.titan" in model:
        return Titan()
    return Llama()


class Anthropic:
    """Anthropic's messages, version ``bedrock-2023-05-31``."""

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body."""
        fields = _fields(body)
        for name in fields:
            if name not in _ANTHROPIC_FIELDS:
                raise invalid(f"{name}: Extra inputs are not permitted")
        for name in ("anthropic_version", "max_tokens", "messages"):
            if name not in fields:
                raise invalid(f"{name}: Field required")
        if type(fields["max_tokens"]) is not int or fields["max_tokens"] < 1:
            raise invalid("max_tokens: Input should be greater than or equal to 1")
        messages = list(fields["messages"])
        if not messages or messages[0].get("role") != "user":
            raise invalid("messages: first message must use the user role")
        if system := fields.get("system"):
            messages.insert(0, {"role": "system", "content": system})
        tools = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
            for tool in fields.get("tools", ())
            if "input_schema" in tool
        ]
        return GenerationRequest(
            model=model,
            messages=messages,
            max_tokens=fields["max_tokens"],
            stop=tuple(fields.get("stop_sequences") or ()),
            temperature=fields.get("temperature"),
            top_p=fields.get("top_p"),
            tools=tools,
            stream=stream,
        )

    def response(self, answer: Answer) -> dict[str, Any]:
        """Make the whole message."""
        finished = answer.done()
        content: list[dict[str, Any]] = []
        if answer.reasoning:
            content.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        for call in answer.tool_calls:
            tool_input = msgspec.json.decode(call.json or "{}")
            content.append({"type": "tool_use", "id": call.call_id, "name": call.name, "input": tool_input})
        return {
            **_anthropic_message(),
            "content": content,
            "stop_reason": finished.stop_reason,
            "stop_sequence": finished.stop_sequence,
            "usage": _anthropic_usage(finished),
        }

    def chunks(self, event: GenerationEvent, state: dict[str, int]) -> list[dict[str, Any]]:
        """Make Anthropic's stream events."""
        chunks: list[dict[str, Any]] = []
        if "block" not in state:
            state["block"] = -1
            so_far = {"input_tokens": state.get("input_tokens", 0), "output_tokens": 1}
            message = {**_anthropic_message(), "content": [], "usage": so_far}
            chunks.append({"type": "message_start", "message": message})
        match event:
            case TextDelta():
                chunks += _opened(state, {"type": "text", "text": ""})
                chunks.append(_block_delta(state, {"type": "text_delta", "text": event.text}))
            case ReasoningDelta():
                chunks += _opened(state, {"type": "thinking", "thinking": ""})
                chunks.append(_block_delta(state, {"type": "thinking_delta", "thinking": event.text}))
            case ToolCallStart():
                chunks += _closed(state)
                tool = {"type": "tool_use", "id": event.call_id, "name": event.name, "input": {}}
                chunks += _opened(state, tool)
            case ToolInputDelta():
                delta = {"type": "input_json_delta", "partial_json": event.json}
                chunks.append(_block_delta(state, delta))
            case ToolCallEnd():
                chunks += _closed(state)
            case Finished():
                chunks += _closed(state)
                why = {"stop_reason": event.stop_reason, "stop_sequence": event.stop_sequence}
                chunks.append({"type": "message_delta", "delta": why, "usage": _anthropic_usage(event)})
                chunks.append({"type": "message_stop", _METRICS: _metrics(event)})
        return chunks


class Titan:
    """Amazon Titan text."""

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body."""
        fields = _fields(body)
        config = fields.get("textGenerationConfig") or {}
        return GenerationRequest(
            model=model,
            messages=[{"role": "user", "content": _text(fields, "inputText")}],
            max_tokens=config.get("maxTokenCount"),
            stop=tuple(config.get("stopSequences") or ()),
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            stream=stream,
        )

    def response(self, answer: Answer) -> dict[str, Any]:
        """Make the whole answer."""
        finished = answer.done()
        result = {
            "tokenCount": finished.usage.output_tokens,
            "outputText": answer.text,
            "completionReason": _TITAN_REASONS.get(finished.stop_reason, "FINISH"),
        }
        return {"inputTextTokenCount": finished.usage.input_tokens, "results": [result]}

    def chunks(self, event: GenerationEvent, state: dict[str, int]) -> list[dict[str, Any]]:
        """Make Titan's chunks."""
        index = state.get("index", 0)
        match event:
            case TextDelta():
                state["index"] = index + 1
                return [{"outputText": event.text, "index": index, "completionReason": None}]
            case Finished():
                reason = _TITAN_REASONS.get(event.stop_reason, "FINISH")
                counted = {
                    "totalOutputTextTokenCount": event.usage.output_tokens,
                    "inputTextTokenCount": event.usage.input_tokens,
                }
                chunk = {"outputText": "", "index": index, "completionReason": reason, **counted}
                return [{**chunk, _METRICS: _metrics(event)}]
            case _:
                return []


class Llama:
    """Meta's Llama, and whatever has no shape of its own here."""

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body."""
        fields = _fields(body)
        return GenerationRequest(
            model=model,
            messages=[{"role": "user", "content": _text(fields, "prompt")}],
            max_tokens=fields.get("max_gen_len"),
            temperature=fields.get("temperature"),
            top_p=fields.get("top_p"),
            stream=stream,
        )

    def response(self, answer: Answer) -> dict[str, Any]:
        """Make the whole answer."""
        finished = answer.done()
        return {"generation": answer.text, **_llama_counts(finished)}

    def chunks(self, event: GenerationEvent, state: dict[str, int]) -> list[dict[str, Any]]:
        """Make Llama's chunks."""
        match event:
            case TextDelta():
                state["tokens"] = state.get("tokens", 0) + 1
                counts = {"prompt_token_count": None, "generation_token_count": state["tokens"]}
                return [{"generation": event.text, **counts, "stop_reason": None}]
            case Finished():
                return [{"generation": "", **_llama_counts(event), _METRICS: _metrics(event)}]
            case _:
                return []


def _fields(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise invalid("Malformed input request, please reformat your input and try again.")
    return body


def _text(fields: Mapping[str, Any], name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str):
        raise invalid(f"Malformed input request: #: required key [{name}] not found")
    return text


def _anthropic_message() -> dict[str, Any]:
    return {"id": "msg_bdrk_sandbox", "type": "message", "role": "assistant", "model": "sandbox"}


def _anthropic_usage(finished: Finished) -> dict[str, Any]:
    usage = finished.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens or 0,
        "cache_creation_input_tokens": usage.cache_write_tokens or 0,
    }


def _opened(state: dict[str, int], block: dict[str, Any]) -> list[dict[str, Any]]:
    """Chunks that make a block of this type the current one, unless it is."""
    kind = {"text": 1, "thinking": 2, "tool_use": 3}[block["type"]]
    if state.get("open") == kind:
        return []
    closed = _closed(state)
    state["open"] = kind
    state["block"] += 1
    return [*closed, {"type": "content_block_start", "index": state["block"], "content_block": block}]


def _closed(state: dict[str, int]) -> list[dict[str, Any]]:
    if not state.pop("open", 0):
        return []
    return [{"type": "content_block_stop", "index": state["block"]}]


def _block_delta(state: dict[str, int], delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": state["block"], "delta": delta}


def _llama_counts(finished: Finished) -> dict[str, Any]:
    return {
        "prompt_token_count": finished.usage.input_tokens,
        "generation_token_count": finished.usage.output_tokens,
        "stop_reason": _LLAMA_REASONS.get(finished.stop_reason, "stop"),
    }


def _metrics(finished: Finished) -> dict[str, Any]:
    usage = finished.usage
    metrics = {
        "inputTokenCount": usage.input_tokens,
        "outputTokenCount": usage.output_tokens,
        "invocationLatency": finished.latency_ms,
        "firstByteLatency": finished.first_token_ms,
    }
    if usage.cache_read_tokens is not None:
        metrics["cacheReadInputTokenCount"] = usage.cache_read_tokens
    if usage.cache_write_tokens is not None:
        metrics["cacheWriteInputTokenCount"] = usage.cache_write_tokens
    return metrics
