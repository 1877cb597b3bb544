"""The JSON lines decoder, wherever reads end."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.jsonlines import JsonLinesDecoder
from llmplatform.errors import BackendProtocolCorrupt

LINES = ['{"token":{"text":"Grüße"}}', '{"token":{"text":"世界\u2028"}}', '{"token":{"text":"👋🏽"}}']
STREAM = "".join(f"{line}\n" for line in LINES).encode()
WHOLE = [line.encode() for line in LINES]


def decode(*reads: bytes) -> list[bytes]:
    decoder = JsonLinesDecoder()
    lines = [line for read in reads for line in decoder.feed(read)]
    assert decoder.finish() is None
    return lines


def test_decodes_the_same_when_split_at_any_byte() -> None:
    for at in range(len(STREAM) + 1):
        assert decode(STREAM[:at], STREAM[at:]) == WHOLE
    assert decode(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == WHOLE


def test_white_space_around_lines_and_empty_lines_are_dropped() -> None:
    assert decode(b'\r\n{"a": 1}\r\n\r\n \n  {"b": 2} \n') == [b'{"a": 1}', b'{"b": 2}']


@settings(deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10))
def test_any_stream_in_any_chunks_gives_the_same_lines(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = JsonLinesDecoder()
    lines = [line for a, b in pairwise(edges) for line in decoder.feed(stream[a:b])]
    *whole, rest = [line.strip() for line in stream.split(b"\n")]
    assert lines == [line for line in whole if line]
    assert decoder.finish() == (rest or None)


def test_a_stream_cut_short_hands_out_its_last_line_only_at_the_end() -> None:
    for length in range(len(STREAM)):
        decoder = JsonLinesDecoder()
        *whole, rest = STREAM[:length].split(b"\n")
        assert decoder.feed(STREAM[:length]) == whole
        assert decoder.finish() == (rest or None)


def test_a_line_that_never_ends_is_corrupt() -> None:
    decoder = JsonLinesDecoder(max_line_length=100)
    for _ in range(10):
        assert decoder.feed(b"0123456789") == []
    with pytest.raises(BackendProtocolCorrupt, match="over the limit"):
        decoder.feed(b"0")


def test_the_limit_is_for_each_line_anew() -> None:
    decoder = JsonLinesDecoder(max_line_length=12)
    for _ in range(50):
        assert decoder.feed(b"0123456789\n") == [b"0123456789"]
