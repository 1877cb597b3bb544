"""Server-sent events, decoded.

Lines end with LF, CR or CRLF and with nothing else: a U+2028 inside JSON is text. Data stays bytes, so
a character that is split across reads is whole again before anybody decodes it. What the data means
(`[DONE]`, an error object) is for the dialect. Source: WHATWG HTML, section 9.2.
"""

import msgspec

from llmplatform.errors import BackendProtocolCorrupt

MAX_EVENT_LENGTH = 8 * 1024 * 1024

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


# A msgspec Struct because it is made once per token: 0.1 µs, where a frozen dataclass takes 0.5 µs.
class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its data lines joined with LF, and its name if it has one."""

    data: bytes
    event: str | None = None


class SseDecoder:
    """Cuts one reply into events, wherever the reads happened to end.

    `max_event_length` bounds in bytes what is kept of an event that does not end.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_data_length", "_event", "_held", "_max")

    def __init__(self, *, max_event_length: int = MAX_EVENT_LENGTH) -> None:
        self._max = max_event_length
        self._held = bytearray()  # the line that has not ended
        self._at_start = True
        self._after_cr = False
        self._data: list[bytes] = []
        self._data_length = 0
        self._event: str | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Every event that is whole now, in order; the rest is kept for the next call.

        Comments, `id` and `retry` are dropped, and so is an event without data.
        Raises BackendProtocolCorrupt when a line that has not ended, or an event, grows past the limit.
        """
        if self._after_cr or b"\r" in data:
            data = self._with_lf_only(data)
        block, newline, tail = data.rpartition(b"\n")
        if not newline:
            self._hold(tail)
            return []
        if self._held:
            self._held += block
            block = bytes(self._held)
            self._held.clear()
        if self._at_start:
            self._at_start = False
            block = block.removeprefix(_BYTE_ORDER_MARK)
        events: list[ServerSentEvent] = []
        for line in block.split(b"\n"):
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._event = None
            elif line.startswith(b"data:"):
                self._add_data(line[6:] if line.startswith(b"data: ") else line[5:])
            else:
                self._take_other(line)
        if tail:
            self._hold(tail)
        return events

    def finish(self) -> bool:
        """Whether the reply ended inside an event, which is then lost: it was cut short."""
        return bool(self._data or self._event is not None or (self._held and self._held[:1] != b":"))

    def _with_lf_only(self, data: bytes) -> bytes:
        """End the same lines with LF; a CR at the end of a read ends its line at once."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")  # the second half of a CRLF that the reads split
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hold(self, tail: bytes) -> None:
        self._held += tail
        if len(self._held) > self._max:
            raise BackendProtocolCorrupt("server-sent events: a line is over the limit")

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._data_length += len(value) + 1  # the LF that joins it
        if self._data_length > self._max:
            raise BackendProtocolCorrupt("server-sent events: an event is over the limit")

    def _take_other(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"event":
            self._event = value.removeprefix(b" ").decode(errors="replace")
        elif line == b"data":
            self._add_data(b"")

    def _dispatch(self) -> ServerSentEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._data_length = 0
        return ServerSentEvent(data, self._event)
