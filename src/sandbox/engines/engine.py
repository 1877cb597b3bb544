"""What an engine is asked, and what it yields: the meeting point of wires and engines.

Neutral on purpose: no Bedrock, SageMaker or OpenAI field is named here, except that messages and
tools are written in the OpenAI form, which is what small-model servers read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

StopReason = Literal[
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
]

ContainerName = Literal["openai", "lmi", "lmi_chat", "tgi"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request, whatever wire it came by. ``max_tokens`` None is the model's own maximum."""

    model: str
    messages: Sequence[dict[str, Any]]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    tools: Sequence[dict[str, Any]] = ()
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    stream: bool = False

    def characters(self) -> int:
        """Size of the conversation's text, which is what an engine without a tokenizer goes by."""
        return sum(map(len, self._texts()))

    def mentions(self, words: str) -> bool:
        """Whether a text of the conversation has these words in it."""
        return any(words in text for text in self._texts())

    def _texts(self) -> Iterator[str]:
        return (text for message in self.messages for text in _texts(message.get("content")))


class CacheDetail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens written to the prompt cache for one time to live (``5m`` or ``1h``)."""

    ttl: str
    tokens: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one generation. Input excludes cached tokens, as Bedrock counts; None is unreported."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_details: tuple[CacheDetail, ...] = ()
    reasoning_tokens: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """Input the OpenAI way: cached tokens included."""
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)

    @property
    def total_tokens(self) -> int:
        """Everything that went in and came out, cached tokens included."""
        return self.prompt_tokens + self.output_tokens


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    """A piece of the model's reasoning."""

    text: str


class ToolCallStart(msgspec.Struct, frozen=True):
    """A tool call begins; ``index`` counts tool calls from 0."""

    index: int
    call_id: str
    name: str


class ToolInputDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call's input, which is JSON only when all pieces are joined."""

    index: int
    json: str


class ToolCallEnd(msgspec.Struct, frozen=True):
    """A tool call is complete."""

    index: int


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The generation's last event."""

    stop_reason: StopReason
    usage: Usage
    latency_ms: int
    first_token_ms: int
    stop_sequence: str | None = None
    service_tier: str | None = None


GenerationEvent = TextDelta | ReasoningDelta | ToolCallStart | ToolInputDelta | ToolCallEnd | Finished
Batch = Sequence[GenerationEvent]


class Generation(Protocol):
    """One running answer."""

    @property
    def usage(self) -> Usage | None:
        """What was used: the whole answer where it is known ahead, else what was generated so far."""

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Events that are due together, in order; an empty batch says only that waiting begins.

        Closing the generator stops the work behind it.
        """


class Engine(Protocol):
    """Something that answers requests."""

    def generate(self, request: GenerationRequest) -> Generation:
        """Prepare an answer; nothing runs before its batches are asked for."""

    async def count_tokens(self, request: GenerationRequest) -> int:
        """Input tokens of the request, without generating."""


class EngineBusy(Exception):
    """The engine's queue is full; the wire says how a client is told."""


class EngineRefused(Exception):
    """The engine cannot answer this request; the text quotes no prompt."""


@dataclass(slots=True)
class ToolCall:
    """A tool call put together from its pieces."""

    call_id: str
    name: str
    json: str = ""


@dataclass(slots=True)
class Answer:
    """A whole answer, for the operations that do not stream."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    finished: Finished | None = None

    def done(self) -> Finished:
        """The closing event. Raises EngineRefused when the engine ended without one."""
        if self.finished is None:
            raise EngineRefused("the engine ended without finishing")
        return self.finished


async def collect(generation: Generation) -> Answer:
    """The generation's whole answer."""
    answer = Answer()
    async for batch in generation.batches():
        for event in batch:
            match event:
                case TextDelta():
                    answer.pieces.append(event.text)
                case ReasoningDelta():
                    answer.reasoning += event.text
                case ToolCallStart():
                    answer.tool_calls.append(ToolCall(event.call_id, event.name))
                case ToolInputDelta():
                    answer.tool_calls[event.index].json += event.json
                case ToolCallEnd():
                    pass
                case Finished():
                    answer.finished = event
    answer.text = "".join(answer.pieces)
    return answer


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
    return []
