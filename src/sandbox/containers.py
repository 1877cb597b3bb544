"""What model containers on SageMaker read and write, inside whatever carries their bytes.

Four of them: vLLM's OpenAI chat (SSE), LMI's token lines, LMI's chat lines, TGI's token events. Each
reads its own request, writes an answer whole or in chunks, and fails in its own way.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from zlib import crc32

import msgspec

from sandbox.engines.engine import (
    Answer,
    Batch,
    ContainerName,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolInputDelta,
    Usage,
)
from sandbox.faults import ContainerError

UsageReader = Callable[[], Usage | None]

_LMI_DEFAULT_TOKENS = 30
_TGI_DEFAULT_TOKENS = 100
_VOCABULARY = 49_152
_END_OF_TEXT = 2
_CHAT_TURN = re.compile(r"<\|im_start\|>(system|user|assistant)\n(.*?)<\|im_end\|>", re.DOTALL)
_OPENAI_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_TOKEN_REASONS = {"end_turn": "eos_token", "stop_sequence": "stop_sequence", "max_tokens": "length"}


class ContainerRefused(Exception):
    """The container answers 400; the text names the field and quotes no prompt."""


class StreamWriter(Protocol):
    """Writes one streamed answer."""

    def start(self) -> list[bytes]:
        """Chunks that leave before the model has said anything."""

    def write(self, batch: Batch) -> list[bytes]:
        """Chunks of events that are due together."""


class Container(Protocol):
    """One container's bytes in and out."""

    stream_content_type: str

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body. Raises ContainerRefused for what the container would not take."""

    def writer(self, body: Mapping[str, Any], usage: UsageReader) -> StreamWriter:
        """Make the writer of one stream; ``usage`` tells what has been used so far."""

    def whole(self, body: Mapping[str, Any], answer: Answer) -> bytes:
        """Write an unstreamed answer."""

    def failure(self, fault: ContainerError) -> bytes:
        """Write what is the last thing of a stream that failed."""


def container_of(name: ContainerName) -> Container:
    """Return the container of this name."""
    match name:
        case "openai":
            return OpenAIChat(lines=False)
        case "lmi_chat":
            return OpenAIChat(lines=True)
        case "lmi":
            return TokenObjects(tgi=False)
        case "tgi":
            return TokenObjects(tgi=True)


class OpenAIChat:
    """vLLM's chat completions: server-sent events, or LMI's, which are the same as JSON lines."""

    def __init__(self, *, lines: bool) -> None:
        self._lines = lines
        self.stream_content_type = "application/jsonlines" if lines else "text/event-stream"

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body."""
        if not isinstance(body, dict) or not isinstance(messages := body.get("messages"), list):
            raise ContainerRefused("messages: field required")
        max_tokens = body.get("max_completion_tokens", body.get("max_tokens"))
        if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
            raise ContainerRefused("max_tokens must be at least 1")
        stop = body.get("stop")
        return GenerationRequest(
            model=model,
            messages=messages,
            max_tokens=max_tokens,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            seed=body.get("seed"),
            tools=body.get("tools") or (),
            tool_choice=body.get("tool_choice"),
            response_format=body.get("response_format"),
            stream=stream,
        )

    def writer(self, body: Mapping[str, Any], usage: UsageReader) -> StreamWriter:
        """Make the writer of one stream."""
        return _OpenAIWriter(body, usage, lines=self._lines)

    def whole(self, body: Mapping[str, Any], answer: Answer) -> bytes:
        """Write a chat.completion object."""
        finished = answer.done()
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.json},
                }
                for call in answer.tool_calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": _openai_reason(finished)}
        completion = {
            "id": _completion_id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model", ""),
            "choices": [choice],
            "usage": openai_usage(finished.usage),
        }
        return msgspec.json.encode(completion)

    def failure(self, fault: ContainerError) -> bytes:
        """Write an error object; vLLM says ``[DONE]`` even then."""
        if self._lines:
            return msgspec.json.encode({"error": fault.message, "code": fault.code}) + b"\n"
        error = {
            "object": "error",
            "message": fault.message,
            "type": fault.error_type,
            "param": None,
            "code": fault.code,
        }
        return b"data: " + msgspec.json.encode({"error": error}) + b"\n\ndata: [DONE]\n\n"


class _OpenAIWriter:
    def __init__(self, body: Mapping[str, Any], usage: UsageReader, *, lines: bool) -> None:
        options = body.get("stream_options") or {}
        self._include_usage = bool(options.get("include_usage"))
        self._continuous = bool(options.get("continuous_usage_stats"))
        self._usage = usage
        self._tokens = 0
        self._before, self._after = (b"", b"\n") if lines else (b"data: ", b"\n\n")
        self._done = () if lines else (b"data: [DONE]\n\n",)
        self._head = {
            "id": _completion_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.get("model", ""),
        }
        # Most chunks differ in their text alone: what stands around it is encoded once.
        around = msgspec.json.encode({**self._head, "choices": [_choice({"content": 0})]})
        text_from, text_to = around.split(b'"content":0')
        self._text_from, self._text_to = self._before + text_from + b'"content":', text_to + self._after

    def start(self) -> list[bytes]:
        return [self._chunk({"role": "assistant", "content": ""})]

    def write(self, batch: Batch) -> list[bytes]:
        chunks: list[bytes] = []
        for event in batch:
            chunks += self._write(event)
        return chunks

    def _write(self, event: GenerationEvent) -> list[bytes]:
        match event:
            case TextDelta():
                return [self._text_chunk(event.text)]
            case ReasoningDelta():
                self._tokens += 1
                return [self._chunk({"reasoning_content": event.text})]
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                call = {"index": event.index, "id": event.call_id, "type": "function", "function": function}
                return [self._chunk({"tool_calls": [call]})]
            case ToolInputDelta():
                self._tokens += 1
                piece = {"index": event.index, "function": {"arguments": event.json}}
                return [self._chunk({"tool_calls": [piece]})]
            case ToolCallEnd():
                return []
            case Finished():
                return self._finish(event)

    def _text_chunk(self, text: str) -> bytes:
        self._tokens += 1
        if self._continuous:
            return self._chunk({"content": text})
        return self._text_from + msgspec.json.encode(text) + self._text_to

    def _finish(self, finished: Finished) -> list[bytes]:
        chunks = [self._chunk({}, _openai_reason(finished))]
        if self._include_usage:
            chunks.append(self._object({"choices": [], "usage": openai_usage(finished.usage)}))
        return [*chunks, *self._done]

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        fields: dict[str, Any] = {"choices": [_choice(delta, finish_reason)]}
        if self._continuous and (usage := self._usage()) is not None:
            so_far = msgspec.structs.replace(usage, output_tokens=self._tokens, reasoning_tokens=None)
            fields["usage"] = openai_usage(so_far)
        return self._object(fields)

    def _object(self, fields: dict[str, Any]) -> bytes:
        return self._before + msgspec.json.encode({**self._head, **fields}) + self._after


class TokenObjects:
    """A token an object: LMI's JSON lines, or TGI's events, which say more about each token."""

    def __init__(self, *, tgi: bool) -> None:
        self._tgi = tgi
        self.stream_content_type = "text/event-stream" if tgi else "application/jsonlines"

    def request(self, model: str, body: Any, *, stream: bool) -> GenerationRequest:
        """Translate the body; a prompt in SmolLM2's chat template becomes its messages again."""
        if not isinstance(body, dict) or not isinstance(prompt := body.get("inputs"), str):
            raise ContainerRefused("inputs: field required")
        parameters = body.get("parameters") or {}
        default = _TGI_DEFAULT_TOKENS if self._tgi else _LMI_DEFAULT_TOKENS
        max_tokens = parameters.get("max_new_tokens", default)
        if type(max_tokens) is not int or max_tokens < 1:
            raise ContainerRefused("parameters.max_new_tokens must be at least 1")
        turns = [{"role": role, "content": text} for role, text in _CHAT_TURN.findall(prompt)]
        return GenerationRequest(
            model=model,
            messages=turns or [{"role": "user", "content": prompt}],
            max_tokens=max_tokens,
            stop=tuple(parameters.get("stop") or parameters.get("stop_sequences") or ()),
            temperature=parameters.get("temperature"),
            top_p=parameters.get("top_p"),
            seed=parameters.get("seed"),
            stream=stream,
        )

    def writer(self, body: Mapping[str, Any], usage: UsageReader) -> StreamWriter:
        """Make the writer of one stream."""
        del usage  # these containers tell their counts on the last object only
        return _TokenWriter(details=self._tgi or _wants_details(body), tgi=self._tgi)

    def whole(self, body: Mapping[str, Any], answer: Answer) -> bytes:
        """Write the generated text, with details where they were asked for."""
        finished = answer.done()
        generated: dict[str, Any] = {"generated_text": answer.text}
        if _wants_details(body):
            tokens = [_token(piece, tgi=self._tgi) for piece in answer.pieces]
            generated["details"] = {**_details(finished, tgi=self._tgi), "tokens": tokens}
        return msgspec.json.encode([generated] if self._tgi else generated)

    def failure(self, fault: ContainerError) -> bytes:
        """Write TGI's error object, or LMI's token of id -1."""
        if self._tgi:
            error = {"error": fault.message, "error_type": fault.error_type}
            return b"data:" + msgspec.json.encode(error) + b"\n\n"
        token = {"id": -1, "text": "", "log_prob": -1, "special_token": True}
        details = {"finish_reason": "error", "generated_tokens": None, "inputs": None}
        line = {"token": token, "generated_text": "", "details": details}
        return msgspec.json.encode(line) + b"\n"


class _TokenWriter:
    def __init__(self, *, details: bool, tgi: bool) -> None:
        self._details = details
        self._tgi = tgi
        self._text: list[str] = []

    def start(self) -> list[bytes]:
        return []

    def write(self, batch: Batch) -> list[bytes]:
        """Chunks of the batch; its last token carries the end, as the containers have it."""
        finished = next((event for event in batch if isinstance(event, Finished)), None)
        texts = [event.text for event in batch if isinstance(event, TextDelta)]
        if finished is None:
            return [self._object(text) for text in texts]
        if not texts:
            return [self._object("", finished, token_id=_END_OF_TEXT)]
        *earlier, last = texts
        return [*(self._object(text) for text in earlier), self._object(last, finished)]

    def _object(self, text: str, finished: Finished | None = None, token_id: int | None = None) -> bytes:
        self._text.append(text)
        fields: dict[str, Any] = {"token": _token(text, tgi=self._tgi, token_id=token_id)}
        if self._tgi:
            fields = {"index": len(self._text), **fields, "generated_text": None, "details": None}
        if finished is not None:
            fields["generated_text"] = "".join(self._text)
            if self._details:
                fields["details"] = _details(finished, tgi=self._tgi)
        if self._tgi:
            return b"data:" + msgspec.json.encode(fields) + b"\n\n"
        return msgspec.json.encode(fields) + b"\n"


def openai_usage(usage: Usage) -> dict[str, Any]:
    """Usage the OpenAI way: prompt tokens include cached ones."""
    fields: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cache_read_tokens is not None:
        fields["prompt_tokens_details"] = {"cached_tokens": usage.cache_read_tokens}
    if usage.reasoning_tokens is not None:
        fields["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return fields


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _completion_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _openai_reason(finished: Finished) -> str:
    return _OPENAI_REASONS.get(finished.stop_reason, "stop")


def _wants_details(body: Mapping[str, Any]) -> bool:
    return bool((body.get("parameters") or {}).get("details"))


def _token(text: str, *, tgi: bool, token_id: int | None = None) -> dict[str, Any]:
    number = crc32(text.encode()) % _VOCABULARY if token_id is None else token_id
    if tgi:
        return {"id": number, "text": text, "logprob": -0.5, "special": token_id is not None}
    return {"id": number, "text": text, "log_prob": -0.5}


def _details(finished: Finished, *, tgi: bool) -> dict[str, Any]:
    details: dict[str, Any] = {
        "finish_reason": _TOKEN_REASONS.get(finished.stop_reason, "eos_token"),
        "generated_tokens": finished.usage.output_tokens,
    }
    if tgi:
        return {**details, "seed": None, "input_length": finished.usage.prompt_tokens}
    return {**details, "inputs": None}
