"""What is sent, to the byte, and what comes back: no client of ours or others' tidies it up on its way."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import h11

_WITHIN_S: Final = 60.0
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; `Host` and the body's length are added where it is sent."""

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
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}"]
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

    @property
    def text(self) -> str:
        """All of it but the status."""
        return "\n".join((*(f"{name}: {value}" for name, value in self.headers), self.body))


class Wire:
    """Connections to servers, one answer waited for at a time on each; kept while a server keeps them."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)

    async def __aenter__(self) -> Self:
        """Open: nothing to do."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()

    async def asked(self, url: str, sent: Sent) -> Answer:
        """The answer to a request."""
        data = sent.wire(urlsplit(url).netloc)
        async with asyncio.timeout(_WITHIN_S):
            answer = None
            while answer is None and self._idle[url]:
                answer = await self._answered(url, self._idle[url].pop(), data, sent.method)
            if answer is None:
                answer = await self._answered(url, await Connection.to(url), data, sent.method)
        assert answer is not None, "the server hung up and said nothing"
        return answer

    async def _answered(self, url: str, connection: "Connection", data: bytes, method: str) -> Answer | None:
        """The answer on a connection; None where it was over."""
        connection.send(data, method)
        try:
            answer = await connection.answer()
        except ConnectionError:
            answer = None
        if answer is not None and connection.goes_on():
            self._idle[url].append(connection)
        else:
            connection.close()
        return answer


class Connection:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = h11.Connection(h11.CLIENT)

    @classmethod
    async def to(cls, url: str) -> Self:
        """A new one."""
        return cls(*await asyncio.open_connection("127.0.0.1", urlsplit(url).port))

    def send(self, data: bytes, method: str) -> None:
        """Send what is to be taken for a request by this method."""
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "it")]))
        self._parser.send(h11.EndOfMessage())
        self._writer.write(data)

    async def answer(self) -> Answer | None:
        """What comes back; None where the server hangs up without a word."""
        head, body = None, b""
        while True:
            match self._parser.next_event():
                case h11.NEED_DATA:
                    data = await self._reader.read(_READ_BYTES)
                    if not data and head is None:
                        return None
                    self._parser.receive_data(data)
                case h11.Response() as response:
                    head = response
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage():
                    break
        assert head is not None
        headers = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers)
        return Answer(head.status_code, headers, body.decode())

    def goes_on(self) -> bool:
        """Whether another request can be sent, which is then next."""
        if h11.MUST_CLOSE in self._parser.states.values():
            return False
        self._parser.start_next_cycle()
        return True

    async def ended(self) -> bytes:
        """What comes after an answer until the server hangs up."""
        async with asyncio.timeout(_WITHIN_S):
            return self._parser.trailing_data[0] + await self._reader.read()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
