"""The OpenAI Chat Completions form, as vLLM, SGLang and LMI's chat handler speak it.

Replies are server-sent events, or JSON lines where LMI has stripped the `data:`; which of them, the first
bytes say. A stream of events is complete with `[DONE]`, one of lines with its finish reason: nothing comes
after it that the answer needs. `prompt_tokens` includes cached tokens here, so input is the difference.
Requests name no model: the container serves one, and refuses a name that is not its own. Pure.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.chat import (
    ChatEvent,
    ChatRequest,
    EventSkipped,
    Finished,
    FinishReason,
    ImagePart,
    JsonSchema,
    Message,
    NamedTool,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from gateway.dialects.dialect import CallIdentity, EncodedRequest
from gateway.dialects.faults import container_fault, corrupt
from gateway.dialects.operator_fields import with_operator_fields
from gateway.dialects.refusals import Honoured, check_features
from gateway.wire.jsonlines import JsonLinesDecoder
from gateway.wire.sse import SseDecoder
from llmplatform.catalogue import ModelEntry
from llmplatform.errors import BackendFault, BackendProtocolCorrupt
from llmplatform.usage import TokenUsage

Block = dict[str, Any]

_HONOURED: Final[Honoured] = {
    "cache_point": "prompt_cache",  # these servers cache by prefix, unasked: a mark changes nothing
    "frequency_penalty": None,
    "image": "vision",
    "json_object": "json_schema",
    "json_schema": "json_schema",
    "logit_bias": None,
    "name": None,
    "parallel_tool_calls": "tools",
    "presence_penalty": None,
    "reasoning_effort": "reasoning",
    "seed": None,
    "strict_tool": "tools",
    "tool_choice": "tools",
    "tool_turn": "tools",
    "tools": "tools",
}
_FINISH_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "abort": FinishReason.LENGTH,  # SGLang: cut by the server
}


class OpenAiChatDialect:
    """Chat Completions of an OpenAI-compatible container."""

    name = "openai_chat"

    def check(self, request: ChatRequest, model: ModelEntry) -> None:
        """Raise UnsupportedParameter for the first field that the model cannot honour."""
        check_features(request, model, _HONOURED)

    def encode(self, request: ChatRequest, model: ModelEntry, identity: CallIdentity) -> EncodedRequest:  # noqa: ARG002
        """The body; a container has no place for who calls, and the carrier's headers say it."""
        body = _body(request, model)
        if request.stream and model.streaming:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        body = with_operator_fields(body, model.additional_request_fields)
        accept = "text/event-stream" if "stream" in body else "application/json"
        return EncodedRequest(msgspec.json.encode(body), accept=accept)

    def stream_decoder(self) -> "OpenAiStreamDecoder":
        """A decoder for one streamed reply, events or lines."""
        return OpenAiStreamDecoder()

    def decode_reply(self, body: bytes) -> Sequence[ChatEvent]:
        """The events of one `chat.completion`."""
        chunks = _ChunkReader(streamed=False)
        events: list[ChatEvent] = []
        if chunks.take(body, events) and not chunks.finished:
            events.append(StreamFailed(corrupt("OpenAI reply: it has no finish reason")))
        return events


class OpenAiStreamDecoder:
    """Decodes one streamed reply, framing included."""

    __slots__ = ("_chunks", "_done", "_failed", "_lines", "_sse")

    def __init__(self) -> None:
        self._chunks = _ChunkReader(streamed=True)
        self._sse: SseDecoder | None = None
        self._lines: JsonLinesDecoder | None = None
        self._done = False
        self._failed = False

    def feed(self, data: bytes) -> list[ChatEvent]:
        """The events that `data` completes."""
        events: list[ChatEvent] = []
        if self._failed:
            return events
        try:
            payloads = self._payloads(data)
        except BackendProtocolCorrupt as fault:
            return self._fail(fault, events)
        take = self._chunks.take
        for payload in payloads:
            if payload == b"[DONE]":
                self._done = True
            elif not take(payload, events):
                self._failed = True
                break
        if (running := self._chunks.running) is not None:
            # Running counts replace one another: of those that came together, the last is enough.
            self._chunks.running = None
            at = len(events) - 1 if self._failed else len(events)
            events.insert(at, UsageReported(self._chunks.token_usage(running), final=False))
        return events

    def finish(self) -> list[ChatEvent]:
        """Nothing when the reply was complete, else StreamFailed."""
        events: list[ChatEvent] = []
        if self._failed:
            return events
        if self._lines is not None and (last := self._lines.finish()) is not None:
            # A server may leave out the last line feed; a line that was cut is no JSON.
            if not self._chunks.take(last, events):
                self._failed = True
                return events
            complete = self._chunks.finished
        else:
            complete = self._chunks.finished and (self._done or self._lines is not None)
        return events if complete else self._fail(corrupt("OpenAI stream: ended early"), events)

    def _payloads(self, data: bytes) -> Sequence[bytes]:
        if self._sse is not None:
            return [event.data for event in self._sse.feed(data)]
        if self._lines is not None:
            return self._lines.feed(data)
        if not (start := data.lstrip()):
            return ()
        if start.startswith(b"{"):
            self._lines = JsonLinesDecoder()
            return self._lines.feed(data)
        self._sse = SseDecoder()
        return [event.data for event in self._sse.feed(data)]

    def _fail(self, fault: BackendFault, events: list[ChatEvent]) -> list[ChatEvent]:
        self._failed = True
        events.append(StreamFailed(fault))
        return events


# -- the request ------------------------------------------------------------------------------------------


def _body(request: ChatRequest, model: ModelEntry) -> Block:
    max_tokens = request.max_tokens if request.max_tokens is not None else model.max_output_tokens
    fields: Block = {
        "messages": [_message(message) for message in request.messages],
        "max_tokens": max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": request.stop or None,
        "seed": request.seed,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "logit_bias": request.logit_bias or None,
        "reasoning_effort": request.reasoning_effort,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
        "response_format": _response_format(request),
    }
    if request.tools:
        fields["tools"] = [
            {
                "type": "function",
                "function": _given(
                    name=tool.name,
                    description=tool.description,
                    parameters=tool.parameters,
                    strict=tool.strict,
                ),
            }
            for tool in request.tools
        ]
        choice = request.tool_choice
        if isinstance(choice, NamedTool):
            fields["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        elif choice is not None:
            fields["tool_choice"] = choice
    return _given(**fields)


def _given(**fields: Any) -> Block:
    return {name: value for name, value in fields.items() if value is not None}


def _response_format(request: ChatRequest) -> Block | None:
    wanted = request.response_format
    if isinstance(wanted, JsonSchema):
        schema = _given(
            name=wanted.name, schema=wanted.schema, description=wanted.description, strict=wanted.strict
        )
        return {"type": "json_schema", "json_schema": schema}
    return None if wanted is None else {"type": wanted}


def _message(message: Message) -> Block:
    """One turn; text alone is a string, because older chat templates know no parts."""
    content: str | list[Block] | None
    if any(isinstance(part, ImagePart) for part in message.parts):
        content = [
            {
                "type": "image_url",
                "image_url": {"url": f"data:{part.media_type};base64,{part.base64}"},
            }
            if isinstance(part, ImagePart)
            else {"type": "text", "text": part.text}
            for part in message.parts
        ]
    elif message.parts or not message.tool_calls:
        content = "".join(part.text for part in message.parts if not isinstance(part, ImagePart))
    else:
        content = None
    turn = _given(role=message.role, content=content, name=message.name, tool_call_id=message.tool_call_id)
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    return turn


# -- the reply --------------------------------------------------------------------------------------------
# Only what is read; fields that we do not know are skipped. `delta` in a stream, `message` in a whole reply.


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCallPiece(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Content(msgspec.Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """vLLM's newer name of `reasoning_content`; it may send both."""
    refusal: str | None = None
    tool_calls: list[_ToolCallPiece] | None = None


_NO_CONTENT: Final = _Content()


class _Choice(msgspec.Struct, frozen=True):
    delta: _Content | None = None
    message: _Content | None = None
    finish_reason: str | None = None
    index: int = 0


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None
    code: Any = None
    type: Any = None
    message: Any = None


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


class _ChunkReader:
    """Turns chunks, or one whole reply, into events."""

    __slots__ = ("_cached", "_streamed", "_tools", "finished", "running")

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._tools: set[int] = set()
        self._cached: int | None = None
        self.finished = False
        self.running: _Usage | None = None
        """The latest running count, until whoever feeds takes it."""

    def take(self, payload: bytes, events: list[ChatEvent]) -> bool:
        """Add a chunk's events; False when the reply failed with it."""
        try:
            chunk = _CHUNK.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            events.append(StreamFailed(corrupt("OpenAI reply: a chunk is not the JSON that was agreed")))
            return False
        if chunk.error is not None or chunk.object == "error":
            events.append(StreamFailed(_error(chunk)))
            return False
        choices = chunk.choices or ()
        for choice in choices:
            content = choice.delta or choice.message or _NO_CONTENT
            if not self._take_content(content, events):
                return False
            if choice.finish_reason:
                if choice.finish_reason == "error":
                    events.append(StreamFailed(container_fault(error_type="error")))
                    return False
                self.finished = True
                reason = _FINISH_REASONS.get(choice.finish_reason, FinishReason.STOP)
                events.append(Finished(reason, choice.finish_reason))
        if chunk.usage is not None:
            details = chunk.usage.prompt_tokens_details
            if details is not None and details.cached_tokens is not None:
                self._cached = details.cached_tokens
            # Running counts come with choices until the finish reason; the last one stands alone or with it.
            if self._streamed and choices and not self.finished:
                self.running = chunk.usage
            else:
                self.running = None
                events.append(UsageReported(self.token_usage(chunk.usage)))
        elif chunk.choices is None:
            events.append(EventSkipped("chunk"))
        return True

    def token_usage(self, usage: _Usage) -> TokenUsage:
        """A report with cached tokens taken out of its prompt, even if only an earlier one told of them."""
        details, prompt = usage.completion_tokens_details, usage.prompt_tokens
        return TokenUsage(
            input_tokens=None if prompt is None else max(0, prompt - (self._cached or 0)),
            output_tokens=usage.completion_tokens,
            cache_read_tokens=self._cached,
            reasoning_tokens=details.reasoning_tokens if details is not None else None,
        )

    def _take_content(self, content: _Content, events: list[ChatEvent]) -> bool:
        if thought := content.reasoning_content or content.reasoning:
            events.append(ReasoningDelta(thought))
        if text := content.content or content.refusal:
            events.append(TextDelta(text))
        for position, piece in enumerate(content.tool_calls or ()):
            index = position if piece.index is None else piece.index
            function = piece.function or _Function()
            if index not in self._tools:
                if piece.id is None or function.name is None:
                    events.append(StreamFailed(corrupt("OpenAI stream: tool arguments without a tool call")))
                    return False
                self._tools.add(index)
                events.append(ToolCallStarted(index, piece.id, function.name))
            if function.arguments:
                events.append(ToolCallDelta(index, function.arguments))
        return True


def _error(chunk: _Chunk) -> BackendFault:
    """Three spellings: vLLM's error object, LMI's text with a code beside it, older vLLM's flat one."""
    error = chunk.error
    if isinstance(error, dict):
        return container_fault(
            error_type=error.get("type"), status=error.get("code"), detail=error.get("message")
        )
    return container_fault(error_type=chunk.type, status=chunk.code, detail=error or chunk.message)
