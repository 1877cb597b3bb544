"""The frame decoder against the corpus, against damage, and against botocore."""

import random
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.make_eventstream import (
    CORPUS,
    OTHER_TYPED_HEADERS,
    encode_frame,
    encode_header,
    encode_raw_frame,
    streams,
)
from gateway.wire.eventstream import (
    MAX_HEADERS_LENGTH,
    MAX_PAYLOAD_LENGTH,
    Frame,
    FrameDecoder,
    FrameHeaders,
)
from llmplatform.errors import BackendProtocolCorrupt

RECORDED = sorted(CORPUS.glob("*.bin"))
BY_NAME = pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)


def decode(*reads: bytes) -> list[Frame]:
    decoder = FrameDecoder()
    frames = [frame for read in reads for frame in decoder.feed(read)]
    assert decoder.pending == 0
    return frames


@cache
def whole(recorded: Path) -> tuple[bytes, list[Frame], list[int]]:
    """A recorded stream, its frames, and where each of them ends."""
    ends, at = [], 0
    for frame in streams()[recorded.stem]:
        at += len(frame)
        ends.append(at)
    data = recorded.read_bytes()
    return data, decode(data), ends


def by_botocore(data: bytes) -> list[tuple[Any, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


def as_dict(headers: FrameHeaders) -> dict[str, str]:
    pairs = {
        ":message-type": headers.message_type,
        ":event-type": headers.event_type,
        ":exception-type": headers.exception_type,
        ":error-code": headers.error_code,
        ":error-message": headers.error_message,
        ":content-type": headers.content_type,
    }
    return {name: value for name, value in pairs.items() if value is not None}


def test_the_corpus_is_what_the_script_writes() -> None:
    assert {path.stem: path.read_bytes() for path in RECORDED} == {
        name: b"".join(frames) for name, frames in streams().items()
    }


@BY_NAME
def test_decodes_to_the_frames_that_botocore_sees(recorded: Path) -> None:
    data, frames, _ = whole(recorded)
    expected = [
        ({name: value for name, value in headers.items() if name.startswith(":")}, payload)
        for headers, payload in by_botocore(data)
    ]
    assert [(as_dict(frame.headers), frame.payload) for frame in frames] == expected
    assert len(frames) == len(streams()[recorded.stem])


@BY_NAME
def test_decodes_the_same_when_split_at_any_byte(recorded: Path) -> None:
    data, frames, _ = whole(recorded)
    for at in range(len(data) + 1):
        assert decode(data[:at], data[at:]) == frames


@BY_NAME
def test_decodes_the_same_byte_by_byte(recorded: Path) -> None:
    data, frames, _ = whole(recorded)
    assert decode(*(data[at : at + 1] for at in range(len(data)))) == frames


@BY_NAME
def test_a_stream_cut_short_is_told_from_a_whole_one(recorded: Path) -> None:
    data, frames, ends = whole(recorded)
    for length in range(len(data)):
        decoder = FrameDecoder()
        done = [end for end in ends if end <= length]
        assert decoder.feed(data[:length]) == frames[: len(done)]
        assert decoder.pending == length - (done[-1] if done else 0)


@BY_NAME
def test_a_flipped_bit_never_makes_another_frame(recorded: Path) -> None:
    data, frames, ends = whole(recorded)
    for at in range(len(data)):
        untouched = sum(end <= at for end in ends)
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            decoder = FrameDecoder()
            if untouched:
                assert decoder.feed(bytes(damaged)) == frames[:untouched]
            with pytest.raises(BackendProtocolCorrupt):
                decoder.feed(bytes(damaged))


@settings(deadline=None)
@given(data=st.data())
def test_decodes_the_same_in_any_chunks(data: st.DataObject) -> None:
    stream, frames, _ = whole(data.draw(st.sampled_from(RECORDED)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    assert decode(*(stream[a:b] for a, b in pairwise(edges))) == frames


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([":message-type", ":event-type", ":content-type", "other"]), st.text(max_size=40)
    ),
    st.binary(max_size=300),
)
def test_any_frame_decodes_as_botocore_decodes_it(headers: dict[str, str], payload: bytes) -> None:
    data = encode_frame(headers, payload)
    (frame,) = decode(data)
    ((expected, expected_payload),) = by_botocore(data)
    expected.pop("other", None)
    assert (as_dict(frame.headers), frame.payload) == (expected, expected_payload)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_corrupt_or_unfinished_and_never_a_frame(noise: bytes) -> None:
    decoder = FrameDecoder()
    try:
        assert decoder.feed(noise) == []
    except BackendProtocolCorrupt:
        return
    assert decoder.pending == len(noise)


def test_frames_in_front_of_the_damage_are_kept_and_then_it_stays_corrupt() -> None:
    good = encode_frame({":event-type": "chunk"}, b"{}")
    decoder = FrameDecoder()
    assert [frame.payload for frame in decoder.feed(good + b"\xff" * 20)] == [b"{}"]
    with pytest.raises(BackendProtocolCorrupt):
        _ = decoder.pending
    for _ in range(2):
        with pytest.raises(BackendProtocolCorrupt):
            decoder.feed(good)


def test_damaged_lengths_are_noticed_before_waiting_for_what_they_promise() -> None:
    frame = bytearray(encode_frame({}, b"{}"))
    frame[1] = 0x7F
    with pytest.raises(BackendProtocolCorrupt, match="lengths"):
        FrameDecoder().feed(bytes(frame[:12]))


def frame_start(total_length: int, headers_length: int) -> bytes:
    """The first twelve bytes of a frame of these lengths, their checksum right."""
    lengths = total_length.to_bytes(4, "big") + headers_length.to_bytes(4, "big")
    return lengths + crc32(lengths).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("total_length", "headers_length"),
    [
        (0, 0),
        (15, 0),
        (20, 5),
        (MAX_HEADERS_LENGTH + 17, MAX_HEADERS_LENGTH + 1),
        (MAX_PAYLOAD_LENGTH + 17, 0),
        (0xFFFFFFFF, 0),
        (16, 0xFFFFFFFF),
    ],
)
def test_lengths_out_of_bounds_are_corrupt(total_length: int, headers_length: int) -> None:
    with pytest.raises(BackendProtocolCorrupt, match="out of bounds"):
        FrameDecoder().feed(frame_start(total_length, headers_length))


def test_the_longest_lengths_allowed_are_waited_for() -> None:
    decoder = FrameDecoder()
    start = frame_start(16 + MAX_HEADERS_LENGTH + MAX_PAYLOAD_LENGTH, MAX_HEADERS_LENGTH)
    assert decoder.feed(start) == []
    assert decoder.pending == len(start)


def malformed_headers() -> Iterator[tuple[str, bytes]]:
    good = encode_header(":event-type", "chunk")
    yield "given twice", good * 2
    yield "unknown value type", encode_header("x", b"\x0a")
    yield "string past the end", good[:-1]
    yield "not UTF-8", encode_header(":error-message", b"\x07\x00\x02\xc3\x28")
    for name, value in OTHER_TYPED_HEADERS.items():
        yield f"{name} cut short", encode_header(name, value)[:-1]
    yield "name past the end", b"\x09x"
    yield "a byte too many", good + b"\x00"


@pytest.mark.parametrize(
    "raw", [raw for _, raw in malformed_headers()], ids=[name for name, _ in malformed_headers()]
)
def test_malformed_headers_are_corrupt_though_the_checksums_are_right(raw: bytes) -> None:
    with pytest.raises(BackendProtocolCorrupt, match="header"):
        FrameDecoder().feed(encode_raw_frame(raw, b"{}"))


def test_a_corrupt_header_does_not_travel_in_the_exception() -> None:
    raw = encode_header(":error-message", b"\x07\x00\x08canary\xc3\x28")
    with pytest.raises(BackendProtocolCorrupt) as caught:
        FrameDecoder().feed(encode_raw_frame(raw, b""))
    assert caught.value.__context__ is None
    assert "canary" not in repr(caught.value)


def test_headers_too_long_to_remember_are_read_all_the_same() -> None:
    message = "x" * 60_000
    (frame,) = decode(encode_frame({":message-type": "error", ":error-message": message}, b""))
    assert frame.headers == FrameHeaders(message_type="error", error_message=message)


def test_a_large_frame_in_small_reads_comes_whole() -> None:
    payload = random.Random(7).randbytes(3 * 1024 * 1024)
    stream = encode_frame({":event-type": "PayloadPart"}, payload) * 2
    frames = decode(*(stream[at : at + 16_384] for at in range(0, len(stream), 16_384)))
    assert [frame.payload for frame in frames] == [payload, payload]
