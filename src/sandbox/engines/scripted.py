"""The scripted engine: an answer, its pace and its faults, all decided beforehand.

What it says costs nothing to make, so what is measured is the thing under test. Pacing keeps to
absolute times: a late wake-up does not push the following tokens back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import lru_cache, partial

import msgspec

from sandbox.engines.engine import (
    Batch,
    CacheDetail,
    ContainerName,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    StopReason,
    TextDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolInputDelta,
    Usage,
)
from sandbox.faults import AnyFault

_CHARACTERS_PER_TOKEN = 4
_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "again")


class ScriptedToolCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call of the answer; its arguments leave in pieces of so many characters."""

    name: str
    arguments: str = "{}"
    call_id: str = "tooluse_scripted"
    piece_characters: int = 8

    def pieces(self) -> list[str]:
        """The arguments cut as they will be streamed."""
        size = self.piece_characters
        return [self.arguments[at : at + size] for at in range(0, len(self.arguments), size)]


class ScriptedUsage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures that the backend reports in place of the ones that would be true."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_details: tuple[CacheDetail, ...] = ()


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backend answers, how fast, and what goes wrong on the way.

    The answer is ``pieces`` as they stand, else ``text`` cut at its spaces, else ``token_count``
    words. ``ttft_ms`` passes before the first piece, ``interval_ms`` before each further one; an
    interval of 0 makes all frames due at once. ``header_delay_ms`` passes before the HTTP status.
    ``write_sizes`` and ``part_sizes`` are taken in turn, over and over: bytes per socket write, and
    container bytes per SageMaker PayloadPart, wherever that cuts. ``container`` is what the
    endpoint's container writes; None goes by the endpoint's name. The first of ``variants`` that a
    request's text calls for is said in place of all this; faults, header delay, sizes and container
    stay ours.
    """

    text: str | None = None
    pieces: tuple[str, ...] = ()
    token_count: int = 20
    header_delay_ms: float = 0
    ttft_ms: float = 0
    interval_ms: float = 0
    reasoning: tuple[str, ...] = ()
    reasoning_tokens: int = 0
    tool_calls: tuple[ScriptedToolCall, ...] = ()
    stop_reason: StopReason | None = None
    usage: ScriptedUsage = ScriptedUsage()
    latency_ms: int | None = None
    service_tier: str | None = None
    faults: tuple[AnyFault, ...] = ()
    write_sizes: tuple[int, ...] = ()
    part_sizes: tuple[int, ...] = ()
    container: ContainerName | None = None
    variants: tuple[Variant, ...] = ()

    def answer_pieces(self) -> tuple[str, ...]:
        """The text of the answer, a piece a token."""
        if self.pieces:
            return self.pieces
        if self.text is not None:
            return _words(self.text)
        if self.tool_calls:
            return ()
        return tuple(_WORDS[i % len(_WORDS)] + " " for i in range(self.token_count))

    def reasoning_pieces(self) -> tuple[str, ...]:
        """The reasoning, a piece a token."""
        return self.reasoning or ("hmm ",) * self.reasoning_tokens

    def in_force(self, call_number: int) -> tuple[AnyFault, ...]:
        """The faults that strike this call; calls are counted from 1."""
        return tuple(fault for fault in self.faults if fault.times is None or call_number <= fault.times)


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said to a request with these words in it."""

    words: str
    script: Script


class ScriptedGeneration:
    """A script's answer to one request: all its events are known before the first one leaves."""

    def __init__(self, script: Script, events: tuple[GenerationEvent, ...]) -> None:
        self._script = script
        self._events = events

    @property
    def usage(self) -> Usage:
        """The whole answer's, which Bedrock bills even when the client leaves."""
        finished = self._events[-1]
        if not isinstance(finished, Finished):
            raise TypeError("a scripted answer ends with its closing event")
        return finished.usage

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """All events at once, or one by one at the script's pace."""
        script = self._script
        loop = asyncio.get_running_loop()
        due = loop.time() + script.ttft_ms / 1000
        if script.ttft_ms:
            yield ()
            await asyncio.sleep(script.ttft_ms / 1000)
        if not script.interval_ms:
            yield self._events
            return
        *pieces, closing = self._events
        last = len(pieces) - 1
        for position, event in enumerate(pieces):
            # A tool call's end is no token: it comes with the piece before it.
            if position and not isinstance(event, ToolCallEnd):
                due += script.interval_ms / 1000
                await asyncio.sleep(max(0.0, due - loop.time()))
            yield (event, closing) if position == last else (event,)
        if not pieces:
            yield (closing,)


class ScriptedEngine:
    """Answers every request with one script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        # Requests of a benchmark are alike: their answer is made once.
        self._events = lru_cache(maxsize=64)(partial(_events, script))
        self._variants = [(variant.words, ScriptedEngine(variant.script)) for variant in script.variants]

    def generate(self, request: GenerationRequest) -> ScriptedGeneration:
        """Prepare the script's answer to this request."""
        for words, engine in self._variants:
            if request.mentions(words):
                return engine.generate(request)
        estimated_input = _estimated_tokens(request.characters())
        return ScriptedGeneration(
            self.script, self._events(estimated_input, request.max_tokens, request.stop)
        )

    async def count_tokens(self, request: GenerationRequest) -> int:
        """The script's own figure, else an estimate from the text's length."""
        scripted = self.script.usage.input_tokens
        return _estimated_tokens(request.characters()) if scripted is None else scripted


def _estimated_tokens(characters: int) -> int:
    return max(1, characters // _CHARACTERS_PER_TOKEN)


def _words(text: str) -> tuple[str, ...]:
    *all_but_last, last = text.split(" ")
    return (*(word + " " for word in all_but_last), *((last,) if last else ()))


def _events(
    script: Script, estimated_input: int, max_tokens: int | None, stop: tuple[str, ...]
) -> tuple[GenerationEvent, ...]:
    pieces, stop_reason, stop_sequence = _cut(script.answer_pieces(), max_tokens, stop)
    reasoning = script.reasoning_pieces()
    events: list[GenerationEvent] = [ReasoningDelta(piece) for piece in reasoning]
    events += [TextDelta(piece) for piece in pieces]
    tool_pieces = 0
    for index, call in enumerate(script.tool_calls):
        call_id = call.call_id if len(script.tool_calls) == 1 else f"{call.call_id}_{index}"
        call_pieces = call.pieces()
        tool_pieces += len(call_pieces)
        events.append(ToolCallStart(index, call_id, call.name))
        events += [ToolInputDelta(index, piece) for piece in call_pieces]
        events.append(ToolCallEnd(index))
    if script.tool_calls and stop_reason == "end_turn":
        stop_reason = "tool_use"
    tokens = len(reasoning) + len(pieces) + tool_pieces
    reported = script.usage
    usage = Usage(
        input_tokens=estimated_input if reported.input_tokens is None else reported.input_tokens,
        output_tokens=tokens if reported.output_tokens is None else reported.output_tokens,
        cache_read_tokens=reported.cache_read_tokens,
        cache_write_tokens=reported.cache_write_tokens,
        cache_details=reported.cache_details,
        reasoning_tokens=len(reasoning) or None,
    )
    planned_ms = script.ttft_ms + script.interval_ms * max(0, tokens - 1)
    events.append(
        Finished(
            stop_reason=script.stop_reason or stop_reason,
            stop_sequence=stop_sequence,
            usage=usage,
            latency_ms=round(planned_ms) if script.latency_ms is None else script.latency_ms,
            first_token_ms=round(script.ttft_ms),
            service_tier=script.service_tier,
        )
    )
    return tuple(events)


def _cut(
    pieces: tuple[str, ...], max_tokens: int | None, stop: tuple[str, ...]
) -> tuple[tuple[str, ...], StopReason, str | None]:
    """The pieces that a model held to these limits would have said, and why it ended there."""
    reason: StopReason = "end_turn"
    if max_tokens is not None and len(pieces) > max_tokens:
        pieces, reason = pieces[:max_tokens], "max_tokens"
    text = "".join(pieces)
    found = [(text.index(word), word) for word in stop if word in text]
    if not found:
        return pieces, reason, None
    end, word = min(found)
    kept: list[str] = []
    for piece in pieces:
        if end <= 0:
            break
        kept.append(piece[:end])
        end -= len(piece)
    return tuple(kept), "stop_sequence", word
