"""A way to a server that a test can cut and mend: the server goes on, and nobody reaches it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from harness.platform import free_port


class Cuttable:
    """A TCP proxy before a local port: `async with Cuttable(port) as way: way.url; await way.cut()`.

    While it is cut, open connections are broken and new ones are refused, at an address that stays the same.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients are to go."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def mend(self) -> None:
        """Let through again."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Break what is open, refuse what comes."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            await asyncio.gather(*self._passing, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
                self._writers.add(upstream)
                try:
                    await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
                finally:
                    upstream.transport.abort()
                    self._writers.discard(upstream)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65_536):
        writer.write(block)
        await writer.drain()
    writer.write_eof()
