"""Amazon Bedrock Converse and ConverseStream: their replies as events, and the dialect as a whole.

Usage comes after `messageStop`, and a reply is complete with `messageStop`: without `metadata` the answer
is whole and only its count is missing. Requests are `converse_request`'s, framing is `wire.eventstream`'s,
sending is `backends.bedrock`'s. Pure.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.chat import (
    BackendNote,
    ChatEvent,
    ChatRequest,
    EventSkipped,
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from gateway.dialects.converse_request import check_converse, encode_converse
from gateway.dialects.dialect import CallIdentity, EncodedRequest
from gateway.dialects.faults import aws_fault, corrupt, stream_fault
from gateway.wire.eventstream import Frame, FrameDecoder
from llmplatform.catalogue import ModelEntry
from llmplatform.errors import BackendFault, BackendModelFailed, BackendProtocolCorrupt
from llmplatform.usage import TokenUsage

_FINISH_REASONS: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
}
_MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
# Events that say nothing the client or the ledger needs.
_SILENT: Final = frozenset({"messageStart", "contentBlockStop"})


class ConverseDialect:
    """The Converse API's way of asking and answering."""

    name = "converse"

    def check(self, request: ChatRequest, model: ModelEntry) -> None:
        """Raise UnsupportedParameter for the first field that Converse or the model cannot honour."""
        check_converse(request, model)

    def encode(self, request: ChatRequest, model: ModelEntry, identity: CallIdentity) -> EncodedRequest:
        """The body of Converse and of ConverseStream, which is the same."""
        return EncodedRequest(encode_converse(request, model, identity), accept="*/*")

    def stream_decoder(self) -> "ConverseStreamDecoder":
        """A decoder for one ConverseStream reply."""
        return ConverseStreamDecoder()

    def decode_reply(self, body: bytes) -> Sequence[ChatEvent]:
        """The events of one Converse reply."""
        try:
            reply = _REPLY.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [StreamFailed(corrupt("Converse reply: not the JSON that was agreed"))]
        events: list[ChatEvent] = []
        tool_index = 0
        for block in reply.output.message.content:
            if block.text is not None:
                if block.text:
                    events.append(TextDelta(block.text))
            elif block.tool_use is not None:
                use = block.tool_use
                events.append(ToolCallStarted(tool_index, use.tool_use_id, use.name))
                events.append(ToolCallDelta(tool_index, bytes(use.input).decode()))
                tool_index += 1
            elif block.reasoning is not None:
                if block.reasoning.text is not None and block.reasoning.text.text:
                    events.append(ReasoningDelta(block.reasoning.text.text))
            else:
                events.append(EventSkipped("content_block"))
        finished = _finished(reply.stop_reason)
        if isinstance(finished, StreamFailed):
            return [*events, *_accounting(reply), finished]
        return [*events, finished, *_accounting(reply)]


class ConverseStreamDecoder:
    """Decodes one ConverseStream reply, framing included."""

    __slots__ = ("_failed", "_frames", "_malformed", "_stopped", "_tools")

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._tools: dict[int, int] = {}
        """Number of the tool call by content block."""
        self._stopped = False
        self._malformed: StreamFailed | None = None
        """How the reply will end, once its usage has come by."""
        self._failed = False

    def feed(self, data: bytes) -> list[ChatEvent]:
        """The events that `data` completes."""
        events: list[ChatEvent] = []
        if self._failed:
            return events
        try:
            for frame in self._frames.feed(data):
                if not self._take(frame, events):
                    return events
            self._frames.pending  # noqa: B018  # raises when the frames were followed by a damaged one
        except BackendProtocolCorrupt as fault:
            self._fail(fault, events)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._fail(corrupt("Converse stream: an event is not the JSON that was agreed"), events)
        return events

    def finish(self) -> list[ChatEvent]:
        """Nothing when `messageStop` was seen and no frame is unfinished, else StreamFailed."""
        events: list[ChatEvent] = []
        if not self._failed:
            try:
                complete = self._stopped and not self._frames.pending
            except BackendProtocolCorrupt:
                complete = False
            if complete and self._malformed is not None:
                self._fail(self._malformed.fault, events)
            elif not complete:
                self._fail(corrupt("Converse stream: ended before the reply was complete"), events)
        return events

    def _take(self, frame: Frame, events: list[ChatEvent]) -> bool:
        """Add a frame's events; False when it was the stream's last because it failed."""
        headers = frame.headers
        kind = headers.event_type
        if headers.message_type != "event":
            if headers.message_type == "error":
                fault = aws_fault(headers.error_code, detail=headers.error_message)
            else:
                fault = stream_fault(headers.exception_type, frame.payload)
            self._fail(fault, events)
            return False
        if kind == "contentBlockDelta":
            self._take_delta(_BLOCK_DELTA.decode(frame.payload), events)
        elif kind == "contentBlockStart":
            block = _BLOCK_START.decode(frame.payload)
            if block.start.tool_use is not None:
                index = self._tools.setdefault(block.index, len(self._tools))
                events.append(
                    ToolCallStarted(index, block.start.tool_use.tool_use_id, block.start.tool_use.name)
                )
        elif kind == "messageStop":
            finished = _finished(_MESSAGE_STOP.decode(frame.payload).stop_reason)
            self._stopped = True
            if isinstance(finished, StreamFailed):
                self._malformed = finished
            else:
                events.append(finished)
        elif kind == "metadata":
            events.extend(_accounting(_METADATA.decode(frame.payload)))
            if self._malformed is not None:
                self._fail(self._malformed.fault, events)
                return False
        elif kind not in _SILENT:
            events.append(EventSkipped(kind or "unnamed"))
        return True

    def _take_delta(self, block: "_BlockDelta", events: list[ChatEvent]) -> None:
        delta = block.delta
        if delta.text is not None:
            if delta.text:
                events.append(TextDelta(delta.text))
        elif delta.tool_use is not None:
            index = self._tools.get(block.index)
            if index is None:
                raise corrupt("Converse stream: tool input without a tool call")
            if delta.tool_use.input:
                events.append(ToolCallDelta(index, delta.tool_use.input))
        elif delta.reasoning is not None:
            if delta.reasoning.text:
                events.append(ReasoningDelta(delta.reasoning.text))
        else:
            events.append(EventSkipped("contentBlockDelta"))

    def _fail(self, fault: BackendFault, events: list[ChatEvent]) -> None:
        self._failed = True
        events.append(StreamFailed(fault))


# -- shapes, by botocore's model of bedrock-runtime ----
# Only what is read; fields that we do not know are skipped.


class _CacheDetail(msgspec.Struct, frozen=True):
    ttl: str = ""
    input_tokens: int = msgspec.field(default=0, name="inputTokens")


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int | None = msgspec.field(default=None, name="inputTokens")
    output_tokens: int | None = msgspec.field(default=None, name="outputTokens")
    cache_read: int | None = msgspec.field(default=None, name="cacheReadInputTokens")
    cache_write: int | None = msgspec.field(default=None, name="cacheWriteInputTokens")
    cache_details: list[_CacheDetail] | None = msgspec.field(default=None, name="cacheDetails")


class _Metrics(msgspec.Struct, frozen=True):
    latency_ms: int | None = msgspec.field(default=None, name="latencyMs")


class _ServiceTier(msgspec.Struct, frozen=True):
    type: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    usage: _Usage | None = None
    metrics: _Metrics | None = None
    service_tier: _ServiceTier | None = msgspec.field(default=None, name="serviceTier")


class _ToolInput(msgspec.Struct, frozen=True, gc=False):
    input: str = ""


class _Reasoning(msgspec.Struct, frozen=True, gc=False):
    text: str | None = None


class _Delta(msgspec.Struct, frozen=True, gc=False):
    text: str | None = None
    tool_use: _ToolInput | None = msgspec.field(default=None, name="toolUse")
    reasoning: _Reasoning | None = msgspec.field(default=None, name="reasoningContent")


class _BlockDelta(msgspec.Struct, frozen=True, gc=False):
    delta: _Delta
    index: int = msgspec.field(default=0, name="contentBlockIndex")


class _ToolUseStart(msgspec.Struct, frozen=True):
    tool_use_id: str = msgspec.field(name="toolUseId")
    name: str


class _Start(msgspec.Struct, frozen=True):
    tool_use: _ToolUseStart | None = msgspec.field(default=None, name="toolUse")


class _BlockStart(msgspec.Struct, frozen=True):
    start: _Start
    index: int = msgspec.field(default=0, name="contentBlockIndex")


class _MessageStop(msgspec.Struct, frozen=True):
    stop_reason: str = msgspec.field(name="stopReason")


class _ToolUse(msgspec.Struct, frozen=True):
    tool_use_id: str = msgspec.field(name="toolUseId")
    name: str
    input: msgspec.Raw


class _ReasoningContent(msgspec.Struct, frozen=True):
    text: _Reasoning | None = msgspec.field(default=None, name="reasoningText")


class _ContentBlock(msgspec.Struct, frozen=True):
    text: str | None = None
    tool_use: _ToolUse | None = msgspec.field(default=None, name="toolUse")
    reasoning: _ReasoningContent | None = msgspec.field(default=None, name="reasoningContent")


class _Message(msgspec.Struct, frozen=True):
    content: list[_ContentBlock]


class _Output(msgspec.Struct, frozen=True):
    message: _Message


class _Reply(_Metadata, frozen=True, kw_only=True):
    output: _Output
    stop_reason: str = msgspec.field(name="stopReason")


_BLOCK_DELTA: Final = msgspec.json.Decoder(_BlockDelta)
_BLOCK_START: Final = msgspec.json.Decoder(_BlockStart)
_MESSAGE_STOP: Final = msgspec.json.Decoder(_MessageStop)
_METADATA: Final = msgspec.json.Decoder(_Metadata)
_REPLY: Final = msgspec.json.Decoder(_Reply)


def _finished(stop_reason: str) -> Finished | StreamFailed:
    if stop_reason in _MALFORMED:
        fault = BackendModelFailed("the model's own output was malformed", error_type=stop_reason, status=424)
        return StreamFailed(fault)
    # A reason added after November 2026 is an ordinary end with a name that we keep.
    return Finished(_FINISH_REASONS.get(stop_reason, FinishReason.STOP), stop_reason)


def _accounting(reply: _Metadata) -> list[ChatEvent]:
    """What the reply says of its cost and its work."""
    events: list[ChatEvent] = []
    usage = reply.usage
    if usage is not None:
        one_hour = None
        if usage.cache_details is not None:
            one_hour = sum(detail.input_tokens for detail in usage.cache_details if detail.ttl == "1h")
        events.append(
            UsageReported(
                TokenUsage(
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                    cache_read_tokens=usage.cache_read,
                    cache_write_tokens=usage.cache_write,
                    cache_write_1h_tokens=one_hour,
                )
            )
        )
    latency_ms = reply.metrics.latency_ms if reply.metrics is not None else None
    tier = reply.service_tier.type if reply.service_tier is not None else None
    if latency_ms is not None or tier is not None:
        events.append(BackendNote(latency_ms=latency_ms, service_tier=tier))
    return events
