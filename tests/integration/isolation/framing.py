"""Requests that can be read in two ways, each with another one hidden behind it.

Where whoever stands before us reads them in the one way and we in the other, the hidden one is answered on
somebody else's connection. So none of them is to be answered but with a refusal that ends the connection.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from integration.isolation.wire import Sent

_CHUNKED: Final = "Transfer-Encoding: chunked"
_NONE_LEFT: Final = "0\r\n\r\n"

AMBIGUOUS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "a length, and chunks": (("Content-Length: {whole}", _CHUNKED), _NONE_LEFT),
    "chunks, and a length": ((_CHUNKED, "Content-Length: 5"), _NONE_LEFT),
    "two lengths": (("Content-Length: 0", "Content-Length: {hidden}"), ""),
    "a list of lengths": (("Content-Length: 0, {hidden}",), ""),
    "a length with a sign": (("Content-Length: +0",), ""),
    "a length below zero": (("Content-Length: -1",), ""),
    "a length in hex": (("Content-Length: 0x0",), ""),
    "a blank before the colon": (("Transfer-Encoding : chunked",), _NONE_LEFT),
    "chunks behind a vertical tab": (("Transfer-Encoding:\x0bchunked",), _NONE_LEFT),
    "an encoding almost of chunks": (("Transfer-Encoding: xchunked",), _NONE_LEFT),
    "two encodings": ((_CHUNKED, "Transfer-Encoding: identity"), _NONE_LEFT),
    "chunks that are not last": (("Transfer-Encoding: chunked, identity",), _NONE_LEFT),
    "a chunk's length that is none": ((_CHUNKED,), "0x0\r\n\r\n"),
    "a header without a colon": (("Content-Length: 0", "X-Tenant-Id"), ""),
    "a header's name with a blank": (("Content-Length: 0", "X Tenant-Id: x"), ""),
    "a zero byte in a header": (("Content-Length: 0", "X-Tenant-Id: a\x00b"), ""),
    "half a line's end in a header": (("Content-Length: 0", "X-Tenant-Id: a\rAuthorization: b"), ""),
}
"""Headers, and what stands between them and the hidden request, by what is wrong with it."""


def ambiguous(url: str, path: str, headers: tuple[str, ...], between: str, hidden: Sent) -> bytes:
    """A request that can be read in two ways, and the one that hides behind it."""
    host = urlsplit(url).netloc
    inner = hidden.wire(host)
    lengths = {"whole": len(between) + len(inner), "hidden": len(inner)}
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *(line.format(**lengths) for line in headers)]
    return "\r\n".join((*lines, "", between)).encode() + inner
