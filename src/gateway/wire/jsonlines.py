"""JSON lines, cut apart.

A line ends with LF; a CR in front of it is white space. Lines stay bytes and are not parsed here, so a
character or a number that is split across reads is whole again before anybody looks at it.
"""

from llmplatform.errors import BackendProtocolCorrupt

MAX_LINE_LENGTH = 8 * 1024 * 1024


class JsonLinesDecoder:
    """Cuts one reply into lines, wherever the reads happened to end.

    `max_line_length` bounds in bytes what is kept of a line that does not end.
    """

    __slots__ = ("_held", "_max")

    def __init__(self, *, max_line_length: int = MAX_LINE_LENGTH) -> None:
        self._max = max_line_length
        self._held = bytearray()  # the line that has not ended

    def feed(self, data: bytes) -> list[bytes]:
        """Every line that is whole now, in order, stripped and never empty; the rest is kept.

        Raises BackendProtocolCorrupt when a line that has not ended grows past the limit.
        """
        block, newline, tail = data.rpartition(b"\n")
        lines: list[bytes] = []
        if newline:
            if self._held:
                self._held += block
                block = bytes(self._held)
                self._held.clear()
            lines = [line for raw in block.split(b"\n") if (line := raw.strip())]
        self._held += tail
        if len(self._held) > self._max:
            raise BackendProtocolCorrupt("JSON lines: a line is over the limit")
        return lines

    def finish(self) -> bytes | None:
        """Return the line that the reply ended in without LF, or None.

        Whether it is whole only its JSON can say: some servers leave out the last LF.
        """
        return bytes(self._held).strip() or None
