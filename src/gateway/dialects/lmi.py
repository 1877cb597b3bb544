"""LMI's default schema (DJL Serving, rolling batch): a prompt in, JSON lines out.

A body with `messages` is answered by LMI in the OpenAI form: such models are `openai_chat` in the
catalogue. This dialect is for the endpoints that take `inputs`. Pure.
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
from gateway.wire.jsonlines import JsonLinesDecoder
from llmplatform.catalogue import ModelEntry
from llmplatform.errors import BackendProtocolCorrupt

_HONOURED: Final[Honoured] = {
    "frequency_penalty": "penalties",
    "presence_penalty": "penalties",
    "seed": None,
}


class LmiDialect:
    """LMI's own way of asking and answering."""

    name = "lmi"

    def check(self, request: ChatRequest, model: ModelEntry) -> None:
        """Raise UnsupportedParameter for the first field that a text prompt cannot carry."""
        check_features(request, model, _HONOURED)
        check_length(request, model)

    def encode(self, request: ChatRequest, model: ModelEntry, identity: CallIdentity) -> EncodedRequest:  # noqa: ARG002
        """The body; a container has no place for who calls, and the carrier's headers say it."""
        parameters = generation_parameters(request, model)
        if stop := stop_texts(request, model):
            # The rolling-batch handlers read the one name, the vLLM handler passes on the other.
            parameters["stop_sequences"] = parameters["stop"] = stop
        if request.presence_penalty:
            parameters["presence_penalty"] = request.presence_penalty
        accept = "application/jsonlines" if request.stream and model.streaming else "application/json"
        return EncodedRequest(prompt_body(request, model, parameters), accept=accept)

    def stream_decoder(self) -> "LmiStreamDecoder":
        """A decoder for one streamed reply."""
        return LmiStreamDecoder()

    def decode_reply(self, body: bytes) -> Sequence[ChatEvent]:
        """The events of one unstreamed reply."""
        return decode_whole(body)


class LmiStreamDecoder:
    """Decodes JSON lines of token objects."""

    __slots__ = ("_failed", "_lines", "_tokens")

    def __init__(self) -> None:
        self._lines = JsonLinesDecoder()
        self._tokens = TokenObjectReader()
        self._failed = False

    def feed(self, data: bytes) -> list[ChatEvent]:
        """The events that `data` completes."""
        events: list[ChatEvent] = []
        if self._failed:
            return events
        try:
            lines = self._lines.feed(data)
        except BackendProtocolCorrupt as fault:
            self._failed = True
            return [StreamFailed(fault)]
        self._failed = not all(self._tokens.take(line, events) for line in lines)
        return events

    def finish(self) -> list[ChatEvent]:
        """Nothing when the last token was seen, else StreamFailed."""
        events: list[ChatEvent] = []
        if self._failed:
            return events
        last = self._lines.finish()
        # A server may leave out the last line feed; a line that was cut is no JSON.
        if last is not None and not self._tokens.take(last, events):
            self._failed = True
        elif not self._tokens.finished:
            self._failed = True
            events.append(StreamFailed(corrupt("LMI stream: ended before its last token")))
        return events
