"""The seam that every dialect implements."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.chat import ChatEvent, ChatRequest
from llmplatform.catalogue import ModelEntry


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """Who calls, for the places where a backend lets us write it down."""

    tenant_id: str
    request_id: str
    trace_id: str
    span_id: str


class StreamDecoder(Protocol):
    """Turns the bytes of one streamed reply into events. Never raises: a broken reply ends in `StreamFailed`.

    Bytes are cut anywhere. Fewer events than expected means that more bytes are needed. After a
    `StreamFailed` nothing more comes.
    """

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        """The events that `data` completes."""
        ...

    def finish(self) -> Sequence[ChatEvent]:
        """What the end of the bytes means: nothing when the reply was complete, else `StreamFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request body in a dialect."""

    body: bytes = field(repr=False)
    content_type: str = "application/json"
    accept: str = "application/json"


class Dialect(Protocol):
    """One way of asking a model and of reading its answer."""

    name: str

    def check(self, request: ChatRequest, model: ModelEntry) -> None:
        """Raise UnsupportedParameter for the first field that this dialect or model cannot honour."""
        ...

    def encode(self, request: ChatRequest, model: ModelEntry, identity: CallIdentity) -> EncodedRequest:
        """The request body; `request.stream` says which kind of reply is wanted."""
        ...

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for one streamed reply."""
        ...

    def decode_reply(self, body: bytes) -> Sequence[ChatEvent]:
        """The events of one unstreamed reply: the same events that its stream would have given."""
        ...
