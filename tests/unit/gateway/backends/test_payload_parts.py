"""SageMaker's frames: parts of the container's bytes end anywhere, and the stream has faults of its own."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, cycle

import pytest

from corpus.make_dialects import HERE
from corpus.make_eventstream import encode_frame, exception, payload_part
from gateway.backends.sagemaker import PayloadPartDecoder
from gateway.chat import ChatEvent, EventSkipped, StreamFailed, TextDelta, UsageReported
from gateway.dialects.registry import DIALECTS
from llmplatform.catalogue import DialectName
from llmplatform.errors import BackendFault, BackendInternal, BackendModelFailed, BackendProtocolCorrupt

CONTAINERS: list[tuple[DialectName, bytes]] = [
    ("openai_chat", (HERE / "openai_chat/tools.sse").read_bytes()),
    ("openai_chat", (HERE / "openai_chat/tools.jsonl").read_bytes()),
    ("lmi", (HERE / "lmi/vllm.jsonl").read_bytes()),
    ("tgi", (HERE / "tgi/text.sse").read_bytes()),
]
BY_CONTAINER = pytest.mark.parametrize(
    ("dialect", "said"), CONTAINERS, ids=["openai-sse", "openai-lines", "lmi", "tgi"]
)
LINE = b'{"token":{"id":5,"text":"a"}}\n'


def decoded(dialect: DialectName, reads: Iterable[bytes]) -> list[ChatEvent]:
    decoder = PayloadPartDecoder(DIALECTS[dialect].stream_decoder())
    events: list[ChatEvent] = []
    for read in reads:
        events += decoder.feed(read)
    return [*events, *decoder.finish()]


def settled(events: Sequence[ChatEvent]) -> list[ChatEvent]:
    """Without running counts: how many of them come depends on the reads."""
    return [event for event in events if not (isinstance(event, UsageReported) and not event.final)]


def frames(said: bytes, *sizes: int) -> list[bytes]:
    """What the container said in parts of so many bytes, over and over."""
    written: list[bytes] = []
    at = 0
    for size in cycle(sizes):
        if at >= len(said):
            return written
        written.append(payload_part(said[at : at + size]))
        at += size
    return written


@BY_CONTAINER
@pytest.mark.parametrize("sizes", [(1,), (2, 3), (64,), (7, 1, 900)])
def test_parts_may_end_inside_a_character_or_a_line(
    dialect: DialectName, said: bytes, sizes: tuple[int, ...]
) -> None:
    whole = settled(decoded(dialect, [payload_part(said)]))
    assert not any(isinstance(event, StreamFailed) for event in whole)
    assert settled(decoded(dialect, frames(said, *sizes))) == whole
    assert settled(decoded(dialect, [b"".join(frames(said, *sizes))])) == whole


@BY_CONTAINER
def test_frames_may_be_split_at_each_byte(dialect: DialectName, said: bytes) -> None:
    data = b"".join(frames(said, 50, 3))
    whole = settled(decoded(dialect, [data]))
    for at in range(0, len(data), 3):
        assert settled(decoded(dialect, [data[:at], data[at:]])) == whole


@BY_CONTAINER
def test_a_stream_that_ends_inside_a_frame_fails_wherever_that_is(dialect: DialectName, said: bytes) -> None:
    parts = frames(said, 50)
    data, boundaries = b"".join(parts), set(accumulate(map(len, parts)))
    for end in set(range(len(data))) - boundaries:
        events = decoded(dialect, [data[:end]])
        assert [type(event) for event in events].count(StreamFailed) == 1
        assert isinstance(events[-1], StreamFailed)


@pytest.mark.parametrize(
    ("frame", "kind", "error_type"),
    [
        (exception("ModelStreamError", "CANARY"), BackendModelFailed, "ModelStreamError"),
        (exception("InternalStreamFailure", "CANARY"), BackendInternal, "InternalStreamFailure"),
        (
            encode_frame(
                {":error-code": "InternalFailure", ":error-message": "CANARY", ":message-type": "error"}, b""
            ),
            BackendInternal,
            "InternalFailure",
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_streams_own_faults_come_after_what_was_said(
    frame: bytes,
    kind: type[BackendFault],
    error_type: str,
    together: bool,  # noqa: FBT001
) -> None:
    reads = [payload_part(LINE), payload_part(LINE), frame]
    events = decoded("lmi", [b"".join(reads)] if together else reads)
    *said, failed = events
    assert said == [TextDelta("a"), TextDelta("a")]
    assert isinstance(failed, StreamFailed)
    assert type(failed.fault) is kind
    assert (failed.fault.error_type, failed.fault.detail) == (error_type, "CANARY")


def test_unknown_events_are_skipped_and_told() -> None:
    unknown = encode_frame({":event-type": "Heartbeat", ":message-type": "event"}, b"")
    assert PayloadPartDecoder(DIALECTS["lmi"].stream_decoder()).feed(unknown) == [EventSkipped("Heartbeat")]


def test_a_damaged_frame_fails_and_nothing_comes_after_it() -> None:
    good = payload_part(LINE)
    decoder = PayloadPartDecoder(DIALECTS["lmi"].stream_decoder())
    said, failed = decoder.feed(good + good[:-1] + bytes((good[-1] ^ 1,)))
    assert said == TextDelta("a")
    assert isinstance(failed, StreamFailed)
    assert isinstance(failed.fault, BackendProtocolCorrupt)
    assert not decoder.feed(good)
    assert not decoder.finish()


def test_a_containers_own_failure_ends_the_stream() -> None:
    error = payload_part(b'{"error":"CANARY","code":424}\n')
    events = decoded("lmi", [payload_part(LINE) + error + exception("InternalStreamFailure", "later")])
    assert [type(event) for event in events] == [TextDelta, StreamFailed]
