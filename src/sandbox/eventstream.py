"""AWS event-stream frames, encoded: prelude, headers, payload, and the two checksums.

The sandbox's side of the wire only; what reads frames lives with whoever reads them. Layout as in
botocore's ``eventstream.py``: total length, header length, CRC32 of these two, headers, payload,
CRC32 of everything before it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from zlib import crc32

import msgspec

_TWO_LENGTHS = struct.Struct("!II")
_CHECKSUM = struct.Struct("!I")
_NAME_LENGTH = struct.Struct("!B")
_STRING_VALUE = struct.Struct("!BH")
_STRING_TYPE = 7
_OVERHEAD_BYTES = 16
_PRELUDE_BYTES = 12


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Headers as the wire has them, in the order given; every value is a string (type 7)."""
    encoded = bytearray()
    for name, value in headers.items():
        name_bytes, value_bytes = name.encode(), value.encode()
        encoded += _NAME_LENGTH.pack(len(name_bytes)) + name_bytes
        encoded += _STRING_VALUE.pack(_STRING_TYPE, len(value_bytes)) + value_bytes
    return bytes(encoded)


def encode_frame(header_block: bytes, payload: bytes) -> bytes:
    """One whole frame around headers that are already encoded."""
    lengths = _TWO_LENGTHS.pack(_OVERHEAD_BYTES + len(header_block) + len(payload), len(header_block))
    message = b"".join((lengths, _CHECKSUM.pack(crc32(lengths)), header_block, payload))
    return message + _CHECKSUM.pack(crc32(message))


def event_frame(event_type: str, payload: bytes, *, content_type: str = "application/json") -> bytes:
    """An ordinary event, with the three headers in the order in which AWS sends them."""
    return encode_frame(_event_headers(event_type, content_type), payload)


def exception_frame(exception_type: str, payload: bytes) -> bytes:
    """A modelled exception inside a stream whose HTTP status was 200 long ago."""
    headers = {
        ":exception-type": exception_type,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_frame(encode_headers(headers), payload)


def error_frame(code: str, message: str) -> bytes:
    """An unmodelled error: no payload, the code and the message are headers."""
    headers = {":error-code": code, ":error-message": message, ":message-type": "error"}
    return encode_frame(encode_headers(headers), b"")


def json_event_frame(event_type: str, payload: Mapping[str, object]) -> bytes:
    """An event whose payload is a JSON object."""
    return event_frame(event_type, msgspec.json.encode(payload))


def corrupted(frame: bytes, *, prelude: bool = False) -> bytes:
    """The frame with one bit of its message checksum (or of its prelude's) turned over."""
    position = _PRELUDE_BYTES - 1 if prelude else len(frame) - 1
    return frame[:position] + bytes((frame[position] ^ 1,)) + frame[position + 1 :]


@lru_cache(maxsize=64)
def _event_headers(event_type: str, content_type: str) -> bytes:
    return encode_headers(
        {":event-type": event_type, ":content-type": content_type, ":message-type": "event"}
    )
