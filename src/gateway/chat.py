"""The meeting point: what any surface asks for and what any dialect answers.

A surface decodes a client's body into a `ChatRequest` and encodes events for the client; a dialect encodes
a `ChatRequest` for a backend and decodes the backend's bytes into events. Neither knows the other.
Prompt and completion text live in these values and nowhere else; their `repr` shows none of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from llmplatform.errors import BackendFault
from llmplatform.usage import TokenUsage

JsonObject = Mapping[str, Any]
"""A JSON object of the client's, passed on as it came: a tool's schema, a response schema."""

CacheTtl = Literal["5m", "1h"]


# -- the request ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text; `cache_ttl` asks the backend to cache the prompt up to and including this part."""

    text: str = field(repr=False)
    cache_ttl: CacheTtl | None = None


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image sent inline."""

    media_type: str
    """`image/png`, `image/jpeg`, `image/gif` or `image/webp`."""
    base64: str = field(repr=False)
    """The image as base64 text, checked to be valid."""


Part = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made in an earlier turn."""

    id: str
    name: str
    arguments: str = field(repr=False)
    """A JSON object as text, as the model wrote it."""


Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `developer` of OpenAI is `system` here."""

    role: Role
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """For role `tool`: the call that this answers."""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str | None = field(repr=False)
    parameters: JsonObject = field(repr=False)
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The tool choice that forces one tool."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The response format that demands JSON of a schema."""

    name: str
    schema: JsonObject = field(repr=False)
    description: str | None = field(default=None, repr=False)
    strict: bool | None = None


ResponseFormat = Literal["json_object"] | JsonSchema


@dataclass(frozen=True, slots=True)
class EvaluationHints:
    """What a client adds for evaluation in `x_evaluation`; never sent to a backend."""

    reference: str | None = field(default=None, repr=False)
    contexts: tuple[str, ...] = field(default=(), repr=False)
    skip: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a client wants, whatever surface it came through. None means that the client did not say."""

    model: str
    messages: tuple[Message, ...] = field(repr=False)
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    logit_bias: Mapping[str, float] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    evaluation: EvaluationHints | None = None


# -- the reply --------------------------------------------------------------------------------------------


class FinishReason(StrEnum):
    """Why generation ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model begins tool call number `index`, counted from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the arguments, JSON text, of tool call number `index`."""

    index: int
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The model stopped. Usage may still follow."""

    reason: FinishReason
    raw_reason: str
    """The backend's own word (`end_turn`)."""


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The backend's count so far; a later one completes or replaces it field by field.

    `final` is False for running counts, which a cut stream leaves behind as `continuous`.
    """

    usage: TokenUsage
    final: bool = True


@dataclass(frozen=True, slots=True)
class BackendNote:
    """What the backend says of its own work, where it says anything."""

    latency_ms: int | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class EventSkipped:
    """An event of a kind that we do not know came by: skipped, and counted."""

    kind: str


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The reply broke. Always the last event; what came before it is still good."""

    fault: BackendFault


ChatEvent = (
    TextDelta
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | Finished
    | UsageReported
    | BackendNote
    | EventSkipped
    | StreamFailed
)

CONTENT_EVENTS = (TextDelta, ReasoningDelta, ToolCallStarted, ToolCallDelta)
"""The events that carry something the model generated: the first of them is the first token."""
