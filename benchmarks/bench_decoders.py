"""Cost of our framing decoders and signer beside botocore's, in µs each; prints a table.

    python benchmarks/bench_decoders.py [--frames N] [--repeat N]

--frames   frames (and events, lines, signatures) in one measured run; 20000 unless told
--repeat   runs, of which the fastest counts; 5 unless told

The frame is one of Bedrock's text deltas, about 170 bytes. Both decoders get the stream in reads of
16 KiB, and a second time a frame at a time, as a paced stream arrives. Both signers get a 2 kB body.
"""

import argparse
import json
import struct
import time
from collections.abc import Callable, Iterable
from zlib import crc32

from botocore import credentials as botocore_credentials
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer

from gateway.wire.eventstream import FrameDecoder
from gateway.wire.jsonlines import JsonLinesDecoder
from gateway.wire.sse import SseDecoder
from llmplatform.aws.sigv4 import Credentials, Signer

READ_SIZE = 16 * 1024


def text_delta_frame() -> bytes:
    """One contentBlockDelta of Bedrock's Converse stream."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name + struct.pack("!BH", 7, len(value)) + value
        for name, value in (
            (b":event-type", b"contentBlockDelta"),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    payload = json.dumps({"contentBlockIndex": 0, "delta": {"text": " word"}, "p": "abcd"}).encode()
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", crc32(lengths)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def in_reads(stream: bytes) -> list[bytes]:
    """The stream as a busy socket would hand it out."""
    return [stream[at : at + READ_SIZE] for at in range(0, len(stream), READ_SIZE)]


def decode_ours(decoder: FrameDecoder | SseDecoder | JsonLinesDecoder, reads: Iterable[bytes]) -> int:
    """Decode everything; how many messages there were."""
    return sum(len(decoder.feed(read)) for read in reads)


def decode_by_botocore(reads: Iterable[bytes]) -> int:
    """Decode everything with botocore; how many frames there were."""
    buffer = EventStreamBuffer()
    count = 0
    for read in reads:
        buffer.add_data(read)
        count += sum(1 for _ in buffer)
    return count


HOST = "bedrock-runtime.us-east-1.amazonaws.com"
PATH = "/model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse-stream"
HEADERS = {"content-type": "application/json"}
BODY = b"x" * 2048


def sign_ours(count: int) -> int:
    """Sign as the gateway does: one signer, credentials with a token."""
    signer = Signer("bedrock", "us-east-1")
    keys = Credentials("AKIDEXAMPLE", "secret" * 6, "token" * 100)
    for _ in range(count):
        signer.sign(
            method="POST",
            host=HOST,
            path=PATH,
            headers=HEADERS,
            body=BODY,
            credentials=keys,
            timestamp="20260101T000000Z",
        )
    return count


def sign_by_botocore(count: int) -> int:
    """Sign the same request with botocore; the request object is made anew, as each call needs one."""
    keys = botocore_credentials.Credentials("AKIDEXAMPLE", "secret" * 6, "token" * 100)
    signer = SigV4Auth(keys, "bedrock", "us-east-1")
    for _ in range(count):
        signer.add_auth(AWSRequest("POST", f"https://{HOST}{PATH}", headers=HEADERS, data=BODY))
    return count


def us_each(work: Callable[[], int], *, repeat: int) -> float:
    """CPU microseconds for each message, in the fastest of the runs."""
    fastest = float("inf")
    for _ in range(repeat):
        started_ns = time.process_time_ns()
        count = work()
        fastest = min(fastest, (time.process_time_ns() - started_ns) / count / 1000)
    return fastest


def main() -> None:
    """Measure everything and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    count: int = arguments.frames

    frame = text_delta_frame()
    burst, paced = in_reads(frame * count), [frame] * count
    chat = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}],"object":"chat.completion.chunk"}\n\n'
    line = b'{"token": {"id": 345, "text": " word", "log_prob": -0.12}}\n'
    table: list[tuple[str, Callable[[], int], Callable[[], int] | None]] = [
        (
            f"event-stream frame of {len(frame)} B, 16 KiB reads",
            lambda: decode_ours(FrameDecoder(), burst),
            lambda: decode_by_botocore(burst),
        ),
        (
            f"event-stream frame of {len(frame)} B, a read each",
            lambda: decode_ours(FrameDecoder(), paced),
            lambda: decode_by_botocore(paced),
        ),
        ("SSE event, 16 KiB reads", lambda: decode_ours(SseDecoder(), in_reads(chat * count)), None),
        ("SSE event, a read each", lambda: decode_ours(SseDecoder(), [chat] * count), None),
        ("JSON line, 16 KiB reads", lambda: decode_ours(JsonLinesDecoder(), in_reads(line * count)), None),
        ("JSON line, a read each", lambda: decode_ours(JsonLinesDecoder(), [line] * count), None),
        ("signature, 2 kB body", lambda: sign_ours(count), lambda: sign_by_botocore(count)),
    ]
    print(f"{'µs CPU each':<48}{'ours':>8}{'botocore':>10}")
    for label, ours, botocores in table:
        theirs = f"{us_each(botocores, repeat=arguments.repeat):>10.2f}" if botocores else f"{'':>10}"
        print(f"{label:<48}{us_each(ours, repeat=arguments.repeat):>8.2f}{theirs}")


if __name__ == "__main__":
    main()
