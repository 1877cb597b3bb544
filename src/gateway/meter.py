"""What one reply amounts to, read off its events as they pass. Pure: clock readings are handed in.

The first *content* delta (text, reasoning, tool input) is the first token; a role preamble, a usage report
or a note is not. Usage figures replace one another field by field and are never added.
"""

from collections.abc import Sequence

from gateway.chat import (
    BackendNote,
    ChatEvent,
    EventSkipped,
    Finished,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from llmplatform.errors import BackendFault
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource


class ReplyMeter:
    """Watches the events of one backend call.

    With `keep_text` the answer's text is kept, for a sample or an opted-in content log; without it only
    its length is.
    """

    __slots__ = (
        "_text",
        "content_bytes",
        "content_events",
        "fault",
        "finish_reason",
        "first_content_ns",
        "first_event_ns",
        "service_tier",
        "skipped_events",
        "upstream_latency_ms",
        "usage",
        "usage_final",
    )

    def __init__(self, *, keep_text: bool = False) -> None:
        self._text: list[str] | None = [] if keep_text else None
        self.content_bytes = 0
        """UTF-8 bytes generated so far, tool arguments included: the base of an estimate."""
        self.content_events = 0
        self.first_event_ns: int | None = None
        self.first_content_ns: int | None = None
        self.finish_reason: str | None = None
        self.skipped_events = 0
        self.service_tier: str | None = None
        self.upstream_latency_ms: int | None = None
        self.usage: TokenUsage = NO_USAGE
        self.usage_final = False
        self.fault: BackendFault | None = None

    def observe(self, events: Sequence[ChatEvent], now_ns: int) -> None:
        """Take in what one read brought, at monotonic time `now_ns`."""
        if self.first_event_ns is None:
            self.first_event_ns = now_ns
        for event in events:
            match event:
                case TextDelta(text) | ReasoningDelta(text):
                    self._content(text, now_ns, keep=type(event) is TextDelta)
                case ToolCallDelta(_, arguments):
                    self._content(arguments, now_ns, keep=True)
                case ToolCallStarted(_, _, name):
                    self._content(name, now_ns, keep=True)
                case UsageReported(usage, final):
                    self.usage = self.usage.merged(usage)
                    self.usage_final = self.usage_final or final
                case Finished(reason, _):
                    self.finish_reason = reason.value
                case BackendNote(latency_ms, service_tier):
                    self.upstream_latency_ms = (
                        latency_ms if latency_ms is not None else self.upstream_latency_ms
                    )
                    self.service_tier = service_tier or self.service_tier
                case EventSkipped():
                    self.skipped_events += 1
                case StreamFailed(fault):
                    self.fault = fault

    @property
    def text(self) -> str | None:
        """The answer so far, tool calls written out; None unless it was asked to be kept."""
        return None if self._text is None else "".join(self._text)

    @property
    def usage_complete(self) -> bool:
        """Whether the backend has told all that a bill needs."""
        usage = self.usage
        return self.usage_final and usage.input_tokens is not None and usage.output_tokens is not None

    def settle(
        self, *, drained: bool, prompt_estimate: int | None, output_estimate: int
    ) -> tuple[TokenUsage, UsageSource]:
        """The usage of a reply that is over, and where it came from.

        A reply that told its usage is believed. What it left out is estimated: `prompt_estimate` is our own
        count of the prompt, `output_estimate` what the generated text comes to. Each figure that the backend
        gave stays, and the label is that of the weakest figure used.
        """
        reported = self.usage
        if reported.input_tokens is not None and reported.output_tokens is not None:
            if not self.usage_final:
                return reported, UsageSource.CONTINUOUS
            return reported, UsageSource.DRAINED if drained else UsageSource.REPORTED
        estimate = TokenUsage(input_tokens=prompt_estimate, output_tokens=output_estimate)
        usage = estimate.merged(reported)
        return usage, UsageSource.UNKNOWN if usage.input_tokens is None else UsageSource.ESTIMATED

    def _content(self, text: str, now_ns: int, *, keep: bool) -> None:
        if self.first_content_ns is None:
            self.first_content_ns = now_ns
        self.content_events += 1
        self.content_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if keep and self._text is not None:
            self._text.append(text)
