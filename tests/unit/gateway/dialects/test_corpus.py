"""Every recorded reply: whole, cut at each byte, ended at each byte, damaged at each byte."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from corpus.make_dialects import HERE, replies
from gateway.chat import (
    ChatEvent,
    Finished,
    ReasoningDelta,
    StreamFailed,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from gateway.dialects.registry import DIALECTS
from gateway.wire.eventstream import FrameDecoder
from llmplatform.errors import BackendProtocolCorrupt
from llmplatform.usage import NO_USAGE, TokenUsage

STREAMS = sorted(path for path in HERE.glob("*/*") if path.suffix in {".bin", ".sse", ".jsonl"})
STREAMS = [path for path in STREAMS if path.parent.name in DIALECTS]
BY_NAME = pytest.mark.parametrize("recorded", STREAMS, ids=lambda path: f"{path.parent.name}-{path.name}")


def decoded(recorded: Path, reads: Iterable[bytes]) -> list[ChatEvent]:
    decoder = DIALECTS[recorded.parent.name].stream_decoder()  # type: ignore[index]
    events: list[ChatEvent] = []
    for read in reads:
        events += decoder.feed(read)
    return [*events, *decoder.finish()]


def unstreamed(recorded: Path) -> list[ChatEvent]:
    body = recorded.with_suffix(".json").read_bytes()
    return list(DIALECTS[recorded.parent.name].decode_reply(body))  # type: ignore[index]


def usage_of(events: Sequence[ChatEvent]) -> TokenUsage:
    usage = NO_USAGE
    for event in events:
        if isinstance(event, UsageReported):
            usage = usage.merged(event.usage)
    return usage


def essence(events: Sequence[ChatEvent]) -> list[object]:
    """What a reply said, however it was cut: pieces joined, counts merged."""
    said: list[list[str]] = []
    rest: list[object] = []
    for event in events:
        match event:
            case TextDelta(text) | ReasoningDelta(text):
                kind = type(event).__name__
                if said and said[-1][0] == kind:
                    said[-1][1] += text
                else:
                    said.append([kind, text])
            case ToolCallStarted(index, call_id, name):
                said.append(["tool", f"{index} {call_id} {name} "])
            case ToolCallDelta(_, arguments):
                said[-1][1] += arguments.replace(" ", "")
            case UsageReported():
                pass
            case _:
                rest.append(event)
    return [*map(tuple, said), *rest, usage_of(events)]


def complete_ends(recorded: Path) -> set[int]:
    """Where a reply may end although more of it was sent: its answer is whole, only its count is missing."""
    data = recorded.read_bytes()
    if recorded.suffix == ".sse":
        # TGI's last event brings the end; a blank line ends that event.
        return {len(data)}
    if recorded.suffix == ".jsonl":
        ends, at, finished = set(), 0, False
        for line in data.splitlines(keepends=True):
            at += len(line)
            finished = finished or b'"finish_reason":"' in line
            if finished:
                ends |= {at - 1, at}
        return ends
    decoder, ends, stopped = FrameDecoder(), set(), False
    for at in range(len(data)):
        for frame in decoder.feed(data[at : at + 1]):
            stopped = stopped or frame.headers.event_type == "messageStop"
            if stopped:
                ends.add(at + 1)
    return ends


def test_the_corpus_is_what_its_script_writes() -> None:
    written = replies()
    assert {str(path.relative_to(HERE)) for path in STREAMS} <= set(written)
    for path, content in written.items():
        assert (HERE / path).read_bytes() == content


@BY_NAME
def test_a_whole_stream_ends_well(recorded: Path) -> None:
    events = decoded(recorded, [recorded.read_bytes()])
    assert not any(isinstance(event, StreamFailed) for event in events)
    assert any(isinstance(event, Finished) for event in events)
    assert any(isinstance(event, UsageReported) and event.final for event in events)


@BY_NAME
def test_the_unstreamed_reply_says_and_costs_the_same(recorded: Path) -> None:
    streamed = decoded(recorded, [recorded.read_bytes()])
    assert usage_of(streamed) == usage_of(unstreamed(recorded))
    assert essence(streamed) == essence(unstreamed(recorded))


@BY_NAME
def test_split_at_each_byte_it_says_the_same(recorded: Path) -> None:
    data = recorded.read_bytes()
    expected = essence(decoded(recorded, [data]))
    for at in range(len(data) + 1):
        assert essence(decoded(recorded, [data[:at], data[at:]])) == expected
    assert essence(decoded(recorded, [data[at : at + 1] for at in range(len(data))])) == expected


@BY_NAME
def test_ended_at_each_byte_it_fails_unless_the_answer_was_whole(recorded: Path) -> None:
    data, complete = recorded.read_bytes(), complete_ends(recorded)
    for end in range(len(data)):
        events = decoded(recorded, [data[:end]])
        failures = [event for event in events if isinstance(event, StreamFailed)]
        if end in complete:
            assert not failures
            continue
        assert events[-1:] == failures
        assert isinstance(failures[0].fault, BackendProtocolCorrupt)


@BY_NAME
def test_a_flipped_bit_never_raises_and_never_outlives_a_failure(recorded: Path) -> None:
    data = recorded.read_bytes()
    for at in range(len(data)):
        damaged = data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :]
        events = decoded(recorded, [damaged, b"\n"])
        failures = [event for event in events if isinstance(event, StreamFailed)]
        assert len(failures) <= 1
        assert not failures or events[-1] is failures[0]
        if recorded.suffix == ".bin":  # only these frames have checksums
            assert failures


@BY_NAME
def test_nothing_comes_after_a_failure(recorded: Path) -> None:
    data = recorded.read_bytes()
    decoder = DIALECTS[recorded.parent.name].stream_decoder()  # type: ignore[index]
    damage = b"\xff" * 64 + b"\n\n" if recorded.suffix == ".bin" else b"data: {]\n\n{]\n"
    assert isinstance([*decoder.feed(damage), *decoder.finish()][-1], StreamFailed)
    assert not decoder.feed(data)
    assert not decoder.finish()


def test_cached_tokens_are_not_input_and_both_times_to_live_are_told() -> None:
    usage = usage_of(decoded(STREAMS[0], [(HERE / "converse/tools_cached.bin").read_bytes()]))
    assert usage == TokenUsage(7, 21, 1_000, 100, 40, None)
    assert usage.prompt_tokens == 1_107


def test_prompt_tokens_of_openai_include_the_cached_ones() -> None:
    recorded = HERE / "openai_chat/tools.sse"
    usage = usage_of(decoded(recorded, [recorded.read_bytes()]))
    assert usage == TokenUsage(18, 9, 32, None, None, 4)


@pytest.mark.parametrize("name", ["lmi/vllm.jsonl", "tgi/text.sse"])
def test_token_objects_count_what_was_generated(name: str) -> None:
    usage = usage_of(decoded(HERE / name, [(HERE / name).read_bytes()]))
    assert usage == TokenUsage(input_tokens=11, output_tokens=4)


def test_lmi_does_not_tell_its_input() -> None:
    recorded = HERE / "lmi/rolling_batch.jsonl"
    assert usage_of(decoded(recorded, [recorded.read_bytes()])) == TokenUsage(output_tokens=4)
