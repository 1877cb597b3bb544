"""The seam between a client's protocol and the request path: a decoder and two encoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.chat import ChatEvent, ChatRequest
from llmplatform.errors import PlatformFault
from llmplatform.usage import TokenUsage, UsageSource


@dataclass(frozen=True, slots=True)
class ReplyHeading:
    """What stands at the head of a reply, whatever it says."""

    reply_id: str
    created_unix_s: int
    model_id: str
    """The public name of the model that answers."""
    include_usage: bool = False
    """Whether the client asked for usage at the end of its stream."""


class StreamEncoder(Protocol):
    """Encodes one streamed reply, batch by batch."""

    def encode(self, events: Sequence[ChatEvent]) -> bytes:
        """All that `events` mean to the client, as one piece; empty when they mean nothing to it."""
        ...

    def end(self, usage: TokenUsage, source: UsageSource) -> bytes:
        """The proper end of a reply that is complete."""
        ...

    def failed(self, fault: PlatformFault, *, trace_id: str) -> bytes:
        """The end of a reply that broke: unmistakable for a proper one."""
        ...


class ReplyEncoder(Protocol):
    """Encodes one reply sent in one piece."""

    def add(self, events: Sequence[ChatEvent]) -> None:
        """Take in what one read brought."""
        ...

    def body(self, usage: TokenUsage, source: UsageSource) -> bytes:
        """The whole reply."""
        ...


class Surface(Protocol):
    """One protocol that clients speak."""

    name: str
    """Stable, on the record: `chat_completions`."""
    ping: bytes
    """What may be sent in a long silence without meaning anything."""

    def decode(self, body: bytes) -> ChatRequest:
        """The request that `body` spells. Raises a ClientFault that names the field and quotes no value."""
        ...

    def stream(self, heading: ReplyHeading) -> StreamEncoder:
        """An encoder for a streamed reply."""
        ...

    def reply(self, heading: ReplyHeading) -> ReplyEncoder:
        """An encoder for a reply in one piece."""
        ...
