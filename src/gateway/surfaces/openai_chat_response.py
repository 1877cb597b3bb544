"""Events to what a client of Chat Completions reads: server-sent chunks, or one JSON body. Pure.

A chunk is made from a head and a tail that stay the same for the whole stream, with the escaped text
between them, because encoding an object per token costs several times as much. The role stands in the
first chunk that says anything, so that nothing leaves before the model has spoken. `reasoning_content` is
the name that reasoning models behind this API have made customary.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import orjson
from msgspec import UNSET

from gateway.chat import (
    BackendNote,
    ChatEvent,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from gateway.http.faults import error_object
from gateway.surfaces import openai_chat_schema as wire
from gateway.surfaces.surface import ReplyHeading
from llmplatform.errors import PlatformFault
from llmplatform.usage import TokenUsage, UsageSource

PING: Final = b": ping\n\n"
"""A comment: every client of server-sent events passes over it."""

_CHOICE: Final = b',"choices":[{"index":0,"delta":{'
_OPEN: Final = b'},"logprobs":null,"finish_reason":null}]'
_DONE: Final = b"data: [DONE]\n\n"


class ChatCompletionStream:
    """Encodes one streamed reply as `chat.completion.chunk` events."""

    __slots__ = ("_bare_calls", "_common", "_end", "_first", "_head", "_open_end", "_rest", "_service_tier")

    def __init__(self, heading: ReplyHeading) -> None:
        common = {
            "id": heading.reply_id,
            "object": "chat.completion.chunk",
            "created": heading.created_unix_s,
            "model": heading.model_id,
            "system_fingerprint": None,
        }
        self._common = b"data: " + orjson.dumps(common)[:-1]
        self._rest = self._common + _CHOICE
        self._first = self._rest + b'"role":"assistant",'
        self._head = self._first
        # Asked for usage, OpenAI has a null in every chunk but the last.
        self._end = b',"usage":null}\n\n' if heading.include_usage else b"}\n\n"
        self._open_end = _OPEN + self._end
        self._bare_calls: set[int] = set()
        self._service_tier: str | None = None

    def encode(self, events: Sequence[ChatEvent]) -> bytes:
        """All chunks that `events` make, as one piece; empty when they mean nothing to the client.

        Usage comes with `end`, and the fault of a StreamFailed goes to `failed`.
        """
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta):
                delta = b'"content":' + orjson.dumps(event.text)
            elif isinstance(event, ReasoningDelta):
                delta = b'"reasoning_content":' + orjson.dumps(event.text)
            elif isinstance(event, ToolCallStarted):
                delta = self._started_call(event)
            elif isinstance(event, ToolCallDelta):
                delta = self._arguments(event.index, event.arguments)
            elif isinstance(event, Finished):
                out.append(self._finish(event.reason))
                continue
            else:
                if isinstance(event, BackendNote):
                    self._service_tier = event.service_tier or self._service_tier
                continue
            out += (self._head, delta, self._open_end)
            self._head = self._rest
        return b"".join(out)

    def end(self, usage: TokenUsage, source: UsageSource) -> bytes:
        """The proper end: the usage, where the client asked for it, and the mark of completeness."""
        if not self._end.startswith(b',"usage"'):
            return _DONE
        tier = b"" if self._service_tier is None else b',"service_tier":' + orjson.dumps(self._service_tier)
        figures = msgspec.json.encode(usage_object(usage, source))
        return b"".join((self._common, tier, b',"choices":[],"usage":', figures, b"}\n\n", _DONE))

    def failed(self, fault: PlatformFault, *, trace_id: str) -> bytes:
        """The end of a reply that broke: an error event, which OpenAI's SDKs raise; never `[DONE]`."""
        return b"data: " + orjson.dumps({"error": error_object(fault, trace_id)}) + b"\n\n"

    def _started_call(self, event: ToolCallStarted) -> bytes:
        self._bare_calls.add(event.index)
        function = {"name": event.name, "arguments": ""}
        call = {"index": event.index, "id": event.id, "type": "function", "function": function}
        return b'"tool_calls":' + orjson.dumps([call])

    def _arguments(self, index: int, arguments: str) -> bytes:
        if arguments:
            self._bare_calls.discard(index)
        head = b'"tool_calls":[{"index":%d,"function":{"arguments":' % index
        return head + orjson.dumps(arguments) + b"}}]"

    def _finish(self, reason: FinishReason) -> bytes:
        out: list[bytes] = []
        if self._head is self._first:
            out += (self._first, b'"content":""', self._open_end)
            self._head = self._rest
        if reason is not FinishReason.LENGTH:
            for index in sorted(self._bare_calls):
                out += (self._rest, self._arguments(index, _NO_ARGUMENTS), self._open_end)
        out += (self._rest, b'},"logprobs":null,"finish_reason":"', reason.value.encode(), b'"}]', self._end)
        return b"".join(out)


_NO_ARGUMENTS: Final = "{}"
"""A call of a function without parameters: some backends write no arguments at all, and clients parse
what they get. A call that was cut off by the token limit is left as it is."""


class ChatCompletionReply:
    """Collects the events of one reply into one `chat.completion` body."""

    __slots__ = ("_arguments", "_calls", "_finish_reason", "_heading", "_reasoning", "_service_tier", "_text")

    def __init__(self, heading: ReplyHeading) -> None:
        self._heading = heading
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, ToolCallStarted] = {}
        self._arguments: dict[int, list[str]] = {}
        self._finish_reason: FinishReason | None = None
        self._service_tier: str | None = None

    def add(self, events: Sequence[ChatEvent]) -> None:
        """Take in what one read brought."""
        for event in events:
            match event:
                case TextDelta(text=text):
                    self._text.append(text)
                case ReasoningDelta(text=text):
                    self._reasoning.append(text)
                case ToolCallStarted(index=index):
                    self._calls[index] = event
                    self._arguments.setdefault(index, [])
                case ToolCallDelta(index=index, arguments=arguments):
                    self._arguments.setdefault(index, []).append(arguments)
                case Finished(reason=reason):
                    self._finish_reason = reason
                case BackendNote(service_tier=tier) if tier is not None:
                    self._service_tier = tier
                case _:
                    pass

    def body(self, usage: TokenUsage, source: UsageSource) -> bytes:
        """The whole reply as JSON."""
        calls = [self._tool_call(index) for index in sorted(self._calls)]
        message = wire.ReplyMessage(
            content="".join(self._text) if self._text or not calls else None,
            reasoning_content="".join(self._reasoning) or UNSET,
            tool_calls=calls or UNSET,
        )
        return msgspec.json.encode(
            wire.ChatCompletion(
                id=self._heading.reply_id,
                created=self._heading.created_unix_s,
                model=self._heading.model_id,
                choices=[wire.Choice(message, self._finish_reason)],
                usage=usage_object(usage, source),
                service_tier=UNSET if self._service_tier is None else self._service_tier,
            )
        )

    def _tool_call(self, index: int) -> wire.ReplyToolCall:
        call, arguments = self._calls[index], "".join(self._arguments[index])
        if not arguments and self._finish_reason is not FinishReason.LENGTH:
            arguments = _NO_ARGUMENTS
        return wire.ReplyToolCall(call.id, wire.ReplyFunction(call.name, arguments))


def usage_object(usage: TokenUsage, source: UsageSource) -> wire.Usage | None:
    """Usage in OpenAI's form, cached tokens counted as prompt; None when neither side's count is known.

    A figure that is unknown is null. `x_usage_source` says where the figures come from, so that an
    estimate cannot be taken for a report.
    """
    if usage.prompt_tokens is None and usage.output_tokens is None:
        return None
    return wire.Usage(
        usage.prompt_tokens,
        usage.output_tokens,
        usage.total_tokens,
        wire.PromptTokensDetails(usage.cache_read_tokens, usage.cache_write_tokens),
        wire.CompletionTokensDetails(usage.reasoning_tokens),
        source.value,
    )
