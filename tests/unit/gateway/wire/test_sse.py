"""The server-sent events decoder, against the rules of WHATWG HTML 9.2 and wherever reads end."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.wire.sse import ServerSentEvent, SseDecoder
from llmplatform.errors import BackendProtocolCorrupt

CHAT = 'data: {"delta":"Grüße, 世界 👋🏽"}\n\ndata: {"delta":"\u2028"}\n\ndata: [DONE]\n\n'.encode()
CHAT_EVENTS = [
    ServerSentEvent('{"delta":"Grüße, 世界 👋🏽"}'.encode()),
    ServerSentEvent('{"delta":"\u2028"}'.encode()),
    ServerSentEvent(b"[DONE]"),
]


def decode(*reads: bytes) -> list[ServerSentEvent]:
    decoder = SseDecoder()
    return [event for read in reads for event in decoder.feed(read)]


def by_the_book(stream: bytes) -> list[ServerSentEvent]:
    """The standard's rules, a line at a time over the whole stream."""
    *lines, _ = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))
    events: list[ServerSentEvent] = []
    data: list[bytes] = []
    name: str | None = None
    for line in lines:
        field, _, value = line.partition(b":")
        if line == b"":
            if data:
                events.append(ServerSentEvent(b"\n".join(data), name))
            data, name = [], None
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode(errors="replace")
    return events


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_decodes_the_same_when_split_at_any_byte(ending: bytes) -> None:
    stream = CHAT.replace(b"\n", ending)
    for at in range(len(stream) + 1):
        assert decode(stream[:at], stream[at:]) == CHAT_EVENTS
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == CHAT_EVENTS


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\ndata: two\n\n", [ServerSentEvent(b"one\ntwo")]),
        (b"data:one\n\n", [ServerSentEvent(b"one")]),
        (b"data:  one\n\n", [ServerSentEvent(b" one")]),
        (b"data\n\n", [ServerSentEvent(b"")]),
        (b"data:\ndata\n\n", [ServerSentEvent(b"\n")]),
        (
            b"event: error\ndata: {}\n\ndata: {}\n\n",
            [ServerSentEvent(b"{}", "error"), ServerSentEvent(b"{}")],
        ),
        (b"event: lost\n\ndata: {}\n\n", [ServerSentEvent(b"{}")]),
        (b": ping\n\n: ping\ndata: {}\n: ping\n\n", [ServerSentEvent(b"{}")]),
        (b"id: 7\nretry: 100\ndatabase: x\ndata: {}\n\n", [ServerSentEvent(b"{}")]),
        (b"\n\n\ndata: {}\n\n\n\n", [ServerSentEvent(b"{}")]),
        (b"\xef\xbb\xbfdata: {}\n\n", [ServerSentEvent(b"{}")]),
        (b"data: {}\n\n\xef\xbb\xbfdata: {}\n\n", [ServerSentEvent(b"{}")]),
        (b"data: a\x0bb\x0cc\x85d\xe2\x80\xa8e\n\n", [ServerSentEvent(b"a\x0bb\x0cc\x85d\xe2\x80\xa8e")]),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_reads_fields_as_the_standard_says(
    stream: bytes, events: list[ServerSentEvent], ending: bytes
) -> None:
    stream = stream.replace(b"\n", ending)
    assert decode(stream) == events
    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == events


PIECES = [
    b"data: ",
    b"data:",
    b"data",
    b"event: x",
    b": c",
    b"id: 1",
    b"{}",
    "é世".encode(),
    b"\xef\xbb\xbf",
    b" ",
    b":",
]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*PIECES, b"\n", b"\r", b"\r\n", b"\n\n"]), max_size=40).map(b"".join),
    st.lists(st.integers(0, 200), max_size=10),
)
@example(b"data: {}\r\ndata: {}\r\n\r\n", [9])
def test_any_stream_in_any_chunks_agrees_with_the_standard(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert decode(*(stream[a:b] for a, b in pairwise(edges))) == by_the_book(stream)


def test_an_event_comes_with_its_last_byte_and_not_with_the_next_read() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: {}\r\n") == []
    assert decoder.feed(b"\r") == [ServerSentEvent(b"{}")]
    assert decoder.feed(b"\n") == []
    assert not decoder.finish()


def test_a_stream_cut_short_is_told_from_a_whole_one() -> None:
    ends = [at + 2 for at in range(len(CHAT)) if CHAT.startswith(b"\n\n", at)]
    for length in range(len(CHAT) + 1):
        decoder = SseDecoder()
        assert decoder.feed(CHAT[:length]) == CHAT_EVENTS[: sum(end <= length for end in ends)]
        assert decoder.finish() == (length not in {0, *ends})


def test_a_comment_is_no_unfinished_event() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: {}\n\n: pin")
    assert not decoder.finish()


def test_an_event_name_alone_is_an_unfinished_event() -> None:
    decoder = SseDecoder()
    decoder.feed(b"event: error\n")
    assert decoder.finish()


@pytest.mark.parametrize("read", [b"0123456789", b"data: 012345678\n", b"data\n" * 10])
def test_what_never_ends_is_corrupt(read: bytes) -> None:
    """Each read adds ten bytes to a line or to an event; an empty data line adds its LF."""
    decoder = SseDecoder(max_event_length=100)
    for _ in range(10):
        assert decoder.feed(read) == []
    with pytest.raises(BackendProtocolCorrupt, match="over the limit"):
        decoder.feed(read)


def test_the_limit_is_for_each_event_anew() -> None:
    decoder = SseDecoder(max_event_length=20)
    for _ in range(50):
        assert decoder.feed(b"data: 0123456789\n\n") == [ServerSentEvent(b"0123456789")]
