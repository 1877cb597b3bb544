"""What is sent, to the byte, and what comes back: no client of ours or others' tidies it up on its way."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import urlsplit

import h11

_WITHIN_S: Final = 60.0
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; `Host`, the body's length and the connection's end are added where it is sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def with_headers(self, *more: tuple[str, str]) -> Self:
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *more))

    @property
    def text(self) -> str:
        """All of it that somebody chose."""
        return "\n".join((self.target, *(f"{name}: {value}" for name, value in self.headers), self.body))

    def wire(self, host: str) -> bytes:
        """As it goes out."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        body = self.body.encode()
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join((*lines, "", "")).encode() + body


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def header(self, name: str) -> str | None:
        """The first header of a name, in lower case."""
        return next((value for given, value in self.headers if given == name), None)

    @property
    def text(self) -> str:
        """All of it but the status."""
        return "\n".join((*(f"{name}: {value}" for name, value in self.headers), self.body))


async def asked(url: str, sent: Sent) -> Answer:
    """The one answer to a request. Raises AssertionError for another number of them."""
    (answer,) = await exchanged(url, sent.wire(urlsplit(url).netloc), sent.method)
    return answer


async def exchanged(url: str, data: bytes, *methods: str) -> list[Answer]:
    """All answers on a connection on which `data` was sent, requests by these methods, until its end.

    Raises TimeoutError where the server does not end it, h11.RemoteProtocolError for what is no answer.
    """
    port = urlsplit(url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(_WITHIN_S):
            writer.write(data)
            await writer.drain()
            came = await reader.read(_READ_BYTES)
            while piece := await reader.read(_READ_BYTES):
                came += piece
    finally:
        writer.close()
    answers = []
    for method in methods:
        if came:
            answer, came = _answer(method, came)
            answers.append(answer)
    assert not came, came
    return answers


def _answer(method: str, data: bytes) -> tuple[Answer, bytes]:
    """The first answer of what came, and the rest."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "it")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    parser.receive_data(b"")
    head, body = None, b""
    while not isinstance(event := parser.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
        match event:
            case h11.Response():
                head = event
            case h11.Data():
                body += bytes(event.data)
    assert head is not None
    headers = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers)
    return Answer(head.status_code, headers, body.decode()), parser.trailing_data[0]
