"""Hugging Face's Text Generation Inference, and LMI where it imitates it: a prompt in, token events out.

The stream has no `[DONE]`: it is complete with the token that brings `generated_text`. TGI leaves a stop
text in the answer that it ended. Pure.
"""

from collections.abc import Sequence
from typing import Final

from gateway.chat import ChatEvent, ChatRequest, StreamFailed
from gateway.dialects.dialect import CallIdentity, EncodedRequest
from gateway.dialects.faults import corrupt
from gateway.dialects.refusals import Honoured, check_features
from gateway.dialects.token_objects import (
    TokenObjectReader,
    check_length,
    decode_whole,
    generation_parameters,
    prompt_body,
    stop_texts,
)
from gateway.wire.sse import SseDecoder
from llmplatform.catalogue import ModelEntry
from llmplatform.errors import BackendProtocolCorrupt

_HONOURED: Final[Honoured] = {"frequency_penalty": "penalties", "seed": None}


class TgiDialect:
    """TGI's way of asking and answering."""

    name = "tgi"

    def check(self, request: ChatRequest, model: ModelEntry) -> None:
        """Raise UnsupportedParameter for the first field that a text prompt cannot carry."""
        check_features(request, model, _HONOURED)
        check_length(request, model)

    def encode(self, request: ChatRequest, model: ModelEntry, identity: CallIdentity) -> EncodedRequest:  # noqa: ARG002
        """The body; a container has no place for who calls, and the carrier's headers say it."""
        parameters = generation_parameters(request, model)
        if stop := stop_texts(request, model):
            parameters["stop"] = stop
        accept = "text/event-stream" if request.stream and model.streaming else "application/json"
        return EncodedRequest(prompt_body(request, model, parameters), accept=accept)

    def stream_decoder(self) -> "TgiStreamDecoder":
        """A decoder for one streamed reply."""
        return TgiStreamDecoder()

    def decode_reply(self, body: bytes) -> Sequence[ChatEvent]:
        """The events of one unstreamed reply."""
        return decode_whole(body)


class TgiStreamDecoder:
    """Decodes server-sent events of token objects."""

    __slots__ = ("_failed", "_sse", "_tokens")

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._tokens = TokenObjectReader()
        self._failed = False

    def feed(self, data: bytes) -> list[ChatEvent]:
        """The events that `data` completes."""
        events: list[ChatEvent] = []
        if self._failed:
            return events
        try:
            received = self._sse.feed(data)
        except BackendProtocolCorrupt as fault:
            self._failed = True
            return [StreamFailed(fault)]
        self._failed = not all(self._tokens.take(event.data, events) for event in received)
        return events

    def finish(self) -> list[ChatEvent]:
        """Nothing when the last token was seen and no event is unfinished, else StreamFailed."""
        if self._failed or (self._tokens.finished and not self._sse.finish()):
            return []
        self._failed = True
        return [StreamFailed(corrupt("TGI stream: ended before its last token"))]
