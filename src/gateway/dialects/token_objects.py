"""What LMI's own schema and TGI have in common: a prompt as text, and replies of one object per token.

    {"token": {"id": 304, "text": "Deep"}}                       each token
    {"token": {...}, "generated_text": "...", "details": {...}}  the last
    {"error": "...", "error_type": "generation"}                 TGI's failure
    {"error": "...", "code": 424}                                LMI's failure, and `finish_reason` "error"

The prompt is a transcript (see `transcript`), so such models know no tools, images or response formats.
Sources: DJL Serving's `lmi_input_output_schema.md` and `lmi_vllm/request_response_utils.py`; TGI's API. Pure.
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
    StreamFailed,
    TextDelta,
    UsageReported,
)
from gateway.dialects.faults import container_fault, corrupt
from gateway.dialects.operator_fields import with_operator_fields
from gateway.dialects.refusals import refusal
from gateway.dialects.transcript import prompt_format, render_transcript
from llmplatform.catalogue import ModelEntry
from llmplatform.errors import BackendFault
from llmplatform.usage import TokenUsage

_FINISH_REASONS: Final = {
    "length": FinishReason.LENGTH,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "stop": FinishReason.STOP,
}
_NO_TOKEN: Final = -1
"""LMI's token id in the line that says that generation failed."""

Parameters = dict[str, Any]


# -- the request ------------------------------------------------------------------------------------------


def check_length(request: ChatRequest, model: ModelEntry) -> None:
    """Raise UnsupportedParameter when nobody sets a limit: the container's own is 30 (LMI) or 100 (TGI)."""
    if request.max_tokens is None and model.max_output_tokens is None:
        raise refusal("max_tokens", f"model {model.model_id!r} needs it: its container would stop very soon")


def generation_parameters(request: ChatRequest, model: ModelEntry) -> Parameters:
    """The parameters that both schemas spell alike; stop texts are named by each itself.

    Sampling has to be switched on by `do_sample`, and greedy decoding is its absence: TGI refuses a
    temperature of 0 and a top_p of 1.
    """
    limit = request.max_tokens if request.max_tokens is not None else model.max_output_tokens
    fields: Parameters = {"details": True, "return_full_text": False, "max_new_tokens": limit}
    if request.temperature == 0:
        fields["do_sample"] = False
    elif request.temperature is not None or request.top_p is not None:
        fields["do_sample"] = True
        fields["temperature"] = request.temperature
        fields["top_p"] = request.top_p if request.top_p != 1 else None
    fields["seed"] = request.seed
    fields["frequency_penalty"] = request.frequency_penalty or None
    return {name: value for name, value in fields.items() if value is not None}


def stop_texts(request: ChatRequest, model: ModelEntry) -> list[str]:
    """The client's stop texts and those that end a turn in the model's prompt format."""
    style = prompt_format(model.additional_request_fields.get("prompt_format"))
    return list(dict.fromkeys((*request.stop, *style.stop)))


def prompt_body(request: ChatRequest, model: ModelEntry, parameters: Parameters) -> bytes:
    """The whole body. The operator's `prompt_format` is ours and is not sent."""
    extra = dict(model.additional_request_fields)
    style = prompt_format(extra.pop("prompt_format", None))
    body: dict[str, object] = {
        "inputs": render_transcript(request.messages, style),
        "parameters": parameters,
    }
    if request.stream and model.streaming:
        body["stream"] = True
    return msgspec.json.encode(with_operator_fields(body, extra))


# -- the reply --------------------------------------------------------------------------------------------


class _Token(msgspec.Struct, frozen=True):
    id: int | None = None
    text: str | None = None
    special: bool = False
    special_token: bool = False
    """LMI's name of `special`."""


class _Details(msgspec.Struct, frozen=True):
    finish_reason: str | None = None
    generated_tokens: int | None = None
    input_length: int | None = None


class _Line(msgspec.Struct, frozen=True):
    token: _Token | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: Any = None
    error_type: str | None = None
    code: Any = None


_LINE: Final = msgspec.json.Decoder(_Line)
_REPLY: Final = msgspec.json.Decoder(_Line | list[_Line])


class TokenObjectReader:
    """Turns the token objects of one streamed reply into events."""

    __slots__ = ("_tokens", "finished")

    def __init__(self) -> None:
        self._tokens = 0
        self.finished = False

    def take(self, payload: bytes, events: list[ChatEvent]) -> bool:
        """Add one object's events; False when the reply failed with it."""
        try:
            line = _LINE.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            events.append(StreamFailed(corrupt("token stream: an object is not the JSON that was agreed")))
            return False
        token = line.token
        if (fault := _fault(line)) is not None:
            events.append(StreamFailed(fault))
            return False
        if token is not None:
            self._tokens += 1
            if token.text and not token.special and not token.special_token:
                events.append(TextDelta(token.text))
        elif line.generated_text is None and line.details is None:
            events.append(EventSkipped("token_object"))
        if line.details is not None or line.generated_text is not None:
            self.finished = True
            events.extend(_ending(line.details, seen_tokens=self._tokens))
        return True


def decode_whole(body: bytes) -> Sequence[ChatEvent]:
    """The events of one unstreamed reply: an object, or (TGI) a list of one."""
    try:
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [StreamFailed(corrupt("token reply: not the JSON that was agreed"))]
    if isinstance(reply, list):
        if len(reply) != 1:
            return [StreamFailed(corrupt("token reply: not one answer"))]
        reply = reply[0]
    if (fault := _fault(reply)) is not None:
        return [StreamFailed(fault)]
    if reply.generated_text is None:
        return [StreamFailed(corrupt("token reply: no text in it"))]
    text: list[ChatEvent] = [TextDelta(reply.generated_text)] if reply.generated_text else []
    return [*text, *_ending(reply.details, seen_tokens=None)]


def _fault(line: _Line) -> BackendFault | None:
    if line.error is not None:
        error = line.error
        if isinstance(error, dict):
            return container_fault(
                error_type=error.get("type"), status=error.get("code"), detail=error.get("message")
            )
        return container_fault(error_type=line.error_type, status=line.code, detail=error)
    no_token = line.token is not None and line.token.id == _NO_TOKEN
    if no_token or (line.details is not None and line.details.finish_reason == "error"):
        return container_fault(error_type="error")
    return None


def _ending(details: _Details | None, *, seen_tokens: int | None) -> list[ChatEvent]:
    if details is None:
        return [Finished(FinishReason.STOP, "unreported")]
    raw = details.finish_reason or "unreported"
    generated = details.generated_tokens
    # LMI's vLLM converter adds one to the count of a stream and none to that of a whole reply.
    if generated is not None and seen_tokens is not None and generated == seen_tokens + 1:
        generated = seen_tokens
    usage = TokenUsage(input_tokens=details.input_length, output_tokens=generated)
    finished = Finished(_FINISH_REASONS.get(raw, FinishReason.STOP), raw)
    return [finished, UsageReported(usage)] if usage.known() else [finished]
