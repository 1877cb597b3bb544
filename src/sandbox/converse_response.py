"""Bedrock Converse answers: frames for the stream, one JSON object otherwise.

Frames of equal deltas are made once and kept: what a benchmark sends again and again costs a look-up.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec

from sandbox.engines.engine import (
    Answer,
    Batch,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallEnd,
    ToolCallStart,
    ToolInputDelta,
    Usage,
)
from sandbox.eventstream import json_event_frame

_PADDING = string.ascii_letters + string.digits
_REASONING_SIGNATURE = "c2FuZGJveC1zaWduYXR1cmU="
_REASONING_PATH = "/usage/output_tokens_details"
_STOP_SEQUENCE_PATH = "/stop_sequence"

_BlockKind = Literal["text", "reasoning", "tool"]


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Bedrock's TokenUsage: input without cached tokens, total with them."""
    fields: dict[str, Any] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
    }
    if usage.cache_read_tokens is not None:
        fields["cacheReadInputTokens"] = usage.cache_read_tokens
    if usage.cache_write_tokens is not None:
        fields["cacheWriteInputTokens"] = usage.cache_write_tokens
    if usage.cache_details:
        longest_first = sorted(usage.cache_details, key=lambda detail: detail.ttl)
        fields["cacheDetails"] = [
            {"ttl": detail.ttl, "inputTokens": detail.tokens} for detail in longest_first
        ]
    return fields


def additional_fields(finished: Finished, paths: Sequence[str]) -> dict[str, Any]:
    """What additionalModelResponseFieldPaths asked for, of the paths known here."""
    fields: dict[str, Any] = {}
    if _REASONING_PATH in paths and finished.usage.reasoning_tokens is not None:
        details = {"reasoning_tokens": finished.usage.reasoning_tokens}
        fields["usage"] = {"output_tokens_details": details}
    if _STOP_SEQUENCE_PATH in paths and finished.stop_sequence is not None:
        fields["stop_sequence"] = finished.stop_sequence
    return fields


class ConverseStreamEncoder:
    """Frames of one ConverseStream answer, in the order in which Bedrock sends them.

    messageStart; for each block [contentBlockStart] contentBlockDelta* contentBlockStop;
    messageStop; metadata. ``omitted`` event types are left out.
    """

    def __init__(self, *, paths: Sequence[str] = (), omitted: Sequence[str] = ()) -> None:
        self._paths = paths
        self._omitted = omitted
        self._block = 0
        self._kind: _BlockKind | None = None

    def start(self) -> list[bytes]:
        """Frames that leave before the model has said anything."""
        return self._frames(("messageStart", {"role": "assistant"}))

    def encode(self, batch: Batch) -> list[bytes]:
        """Frames of events that are due together."""
        frames: list[bytes] = []
        for event in batch:
            frames += self._encode(event)
        return frames

    def _encode(self, event: GenerationEvent) -> list[bytes]:
        match event:
            case TextDelta():
                opened = self._open("text")
                return [*opened, *self._delta("text", event.text)]
            case ReasoningDelta():
                opened = self._open("reasoning")
                return [*opened, *self._delta("reasoning", event.text)]
            case ToolCallStart():
                closed = self._close()
                self._kind = "tool"
                start = {"toolUse": {"toolUseId": event.call_id, "name": event.name}}
                block = {"contentBlockIndex": self._block, "start": start}
                return [*closed, *self._frames(("contentBlockStart", block))]
            case ToolInputDelta():
                return self._delta("tool", event.json)
            case ToolCallEnd():
                return self._close()
            case Finished():
                return [*self._close(), *self._finish(event)]

    def _open(self, kind: _BlockKind) -> list[bytes]:
        if self._kind == kind:
            return []
        closed = self._close()
        self._kind = kind
        return closed

    def _close(self) -> list[bytes]:
        if self._kind is None:
            return []
        frames = self._delta("signature", _REASONING_SIGNATURE) if self._kind == "reasoning" else []
        frames += self._frames(("contentBlockStop", {"contentBlockIndex": self._block}))
        self._kind = None
        self._block += 1
        return frames

    def _delta(self, kind: str, text: str) -> list[bytes]:
        if "contentBlockDelta" in self._omitted:
            return []
        return [_delta_frame(self._block, kind, text)]

    def _finish(self, finished: Finished) -> list[bytes]:
        stop: dict[str, Any] = {"stopReason": finished.stop_reason}
        if fields := additional_fields(finished, self._paths):
            stop["additionalModelResponseFields"] = fields
        metadata: dict[str, Any] = {
            "usage": usage_fields(finished.usage),
            "metrics": {"latencyMs": finished.latency_ms},
        }
        if finished.service_tier is not None:
            metadata["serviceTier"] = {"type": finished.service_tier}
        return self._frames(("messageStop", stop), ("metadata", metadata))

    def _frames(self, *events: tuple[str, dict[str, Any]]) -> list[bytes]:
        return [
            json_event_frame(event_type, {**payload, "p": padding()})
            for event_type, payload in events
            if event_type not in self._omitted
        ]


def converse_response(answer: Answer, paths: Sequence[str]) -> bytes:
    """Encode the body of an unstreamed Converse answer."""
    finished = answer.done()
    content: list[dict[str, Any]] = []
    if answer.reasoning:
        text = {"text": answer.reasoning, "signature": _REASONING_SIGNATURE}
        content.append({"reasoningContent": {"reasoningText": text}})
    if answer.text:
        content.append({"text": answer.text})
    for call in answer.tool_calls:
        tool_use = {"toolUseId": call.call_id, "name": call.name, "input": _tool_input(call)}
        content.append({"toolUse": tool_use})
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": finished.stop_reason,
        "usage": usage_fields(finished.usage),
        "metrics": {"latencyMs": finished.latency_ms},
    }
    if fields := additional_fields(finished, paths):
        body["additionalModelResponseFields"] = fields
    if finished.service_tier is not None:
        body["serviceTier"] = {"type": finished.service_tier}
    return msgspec.json.encode(body)


def _tool_input(call: ToolCall) -> Any:
    """The input as JSON; empty where the answer was cut within it, which the stop reason tells."""
    try:
        return msgspec.json.decode(call.json or "{}")
    except msgspec.DecodeError:
        return {}


def padding() -> str:
    """Make a filler of random length, which hides how long a token is from who watches the wire."""
    return _PADDING[: random.randint(1, len(_PADDING))]  # noqa: S311 - no secret depends on it


@lru_cache(maxsize=8192)
def _delta_frame(block: int, kind: str, text: str) -> bytes:
    delta: dict[str, Any]
    match kind:
        case "text":
            delta = {"text": text}
        case "reasoning":
            delta = {"reasoningContent": {"text": text}}
        case "signature":
            delta = {"reasoningContent": {"signature": text}}
        case _:
            delta = {"toolUse": {"input": text}}
    payload = {"contentBlockIndex": block, "delta": delta, "p": padding()}
    return json_event_frame("contentBlockDelta", payload)
