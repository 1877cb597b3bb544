from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from sandbox.eventstream import corrupted, error_frame, event_frame, exception_frame, json_event_frame

EVENT_TYPES = st.text(min_size=1, max_size=30)


@given(event_type=EVENT_TYPES, payload=st.binary(max_size=500))
def test_botocore_reads_back_what_was_framed(event_type: str, payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event_frame(event_type, payload, content_type="application/octet-stream"))
    message: Any = buffer.next()
    assert message.headers == {
        ":event-type": event_type,
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    assert message.payload == payload


def test_frames_follow_one_another_and_may_be_split_anywhere() -> None:
    frames = [json_event_frame("a", {"x": 1}), exception_frame("e", b"{}"), error_frame("C", "m")]
    buffer = EventStreamBuffer()
    read: list[Any] = []
    for byte in b"".join(frames):
        buffer.add_data(bytes((byte,)))
        read += list(buffer)
    assert [message.headers[":message-type"] for message in read] == ["event", "exception", "error"]
    assert read[1].headers[":exception-type"] == "e"
    assert (read[2].headers[":error-code"], read[2].headers[":error-message"]) == ("C", "m")


@pytest.mark.parametrize("prelude", [True, False])
def test_a_corrupted_frame_fails_its_checksum(prelude: bool) -> None:  # noqa: FBT001 - a parameter of the test
    buffer = EventStreamBuffer()
    buffer.add_data(corrupted(event_frame("a", b"payload"), prelude=prelude))
    with pytest.raises(ChecksumMismatch):
        buffer.next()
