"""A request's body, read whole, bounded in size and in time."""

import asyncio
from collections.abc import Mapping

from gateway.http.asgi import Receive
from llmplatform.errors import RequestTooLarge, RequestTooSlow


class ClientLeftEarly(Exception):
    """The client went away before its request was complete."""


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], *, max_bytes: int, timeout_s: float
) -> bytes:
    """The body.

    Raises RequestTooLarge (before reading, where the length is declared), RequestTooSlow, ClientLeftEarly.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeftEarly
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
    except TimeoutError as error:
        raise RequestTooSlow(f"the body did not arrive within {timeout_s:g} s") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body is over the limit of {max_bytes} bytes")
