"""Writes the event streams of `tests/corpus/eventstream`: `python tests/corpus/make_eventstream.py`.

An encoder of its own, written from the description of the framing, so that neither our decoder nor
botocore's is tested against itself.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

CORPUS = Path(__file__).parent / "eventstream"

# A value of each type that a header may have, encoded: type byte, then the value.
OTHER_TYPED_HEADERS = {
    "true": b"\x00",
    "false": b"\x01",
    "byte": b"\x02\xff",
    "short": b"\x03" + struct.pack("!h", -2),
    "int": b"\x04" + struct.pack("!i", -3),
    "long": b"\x05" + struct.pack("!q", -4),
    "bytes": b"\x06" + struct.pack("!H", 3) + b"\x00\xff\x7f",
    "timestamp": b"\x08" + struct.pack("!q", 1_767_225_600_000),
    "uuid": b"\x09" + bytes(range(16)),
}


def encode_header(name: str, value: str | bytes) -> bytes:
    """One header; a `str` value becomes a string header, `bytes` are taken as type byte and value."""
    if isinstance(value, str):
        text = value.encode()
        value = b"\x07" + struct.pack("!H", len(text)) + text
    return struct.pack("!B", len(name.encode())) + name.encode() + value


def encode_frame(headers: Mapping[str, str | bytes], payload: bytes) -> bytes:
    """One frame with right checksums."""
    return encode_raw_frame(b"".join(encode_header(*header) for header in headers.items()), payload)


def encode_raw_frame(headers: bytes, payload: bytes) -> bytes:
    """One frame with right checksums around any header block, malformed ones included."""
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", crc32(lengths)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def event(event_type: str, body: Mapping[str, Any]) -> bytes:
    """One event as Bedrock's Converse stream sends it, padding field included."""
    headers = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
    padding = "abcdefghijklmnopqrstuvwxyz"[: 3 + len(json.dumps(body)) % 20]
    text = json.dumps({**body, "p": padding}, ensure_ascii=False, separators=(",", ":"))
    return encode_frame(headers, text.encode())


def exception(exception_type: str, message: str) -> bytes:
    """One in-stream exception as Bedrock and SageMaker send it."""
    headers = {
        ":exception-type": exception_type,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_frame(headers, json.dumps({"message": message}).encode())


def text_delta(text: str) -> bytes:
    """One piece of a Converse answer."""
    return event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


def payload_part(part: bytes) -> bytes:
    """One part of a SageMaker response stream: it may end anywhere in the container's bytes."""
    headers = {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    return encode_frame(headers, part)


def streams() -> dict[str, list[bytes]]:
    """Every stream of the corpus: name to frames."""
    start = event("messageStart", {"role": "assistant"})
    sse = 'data: {"token":{"text":"日本"}}\n\ndata: {"token":{"text":"語"}}\n\n'.encode()
    usage = {"inputTokens": 12, "outputTokens": 3, "totalTokens": 19, "cacheReadInputTokens": 4}
    return {
        "converse_text": [
            start,
            text_delta("Grüße"),
            text_delta(", 世界 "),
            text_delta("👋🏽"),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}),
            event("metadata", {"usage": usage, "metrics": {"latencyMs": 321}}),
        ],
        "converse_throttled_midway": [
            start,
            text_delta("One"),
            exception("throttlingException", "Too many tokens, please wait before trying again."),
        ],
        "sagemaker_parts": [
            # 28 is inside a three-byte character, 40 inside the line end
            payload_part(sse[:28]),
            payload_part(sse[28:40]),
            payload_part(sse[40:]),
        ],
        "sagemaker_model_error": [
            payload_part(b'{"token": {"id": 1, "text": "One"}}\n'),
            exception("ModelStreamErrorException", "The container stopped answering."),
        ],
        "unmodelled_error": [
            start,
            encode_frame(
                {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Ünexpected"},
                b"",
            ),
        ],
        "every_header_type": [
            encode_frame({}, b""),
            encode_frame({}, b"payload without headers"),
            encode_frame({**OTHER_TYPED_HEADERS, ":message-type": "event", ":event-type": "chunk"}, b"{}"),
        ],
    }


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for name, frames in streams().items():
        (CORPUS / f"{name}.bin").write_bytes(b"".join(frames))
