"""Sends a stream's frames and carries out what a script lets go wrong on the way.

Frames arrive already encoded, in batches of what is due together. Without faults a batch is one
socket write.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import cycle
from typing import NoReturn

from aiohttp import web

from sandbox.calls import Call
from sandbox.eventstream import corrupted, error_frame, json_event_frame
from sandbox.faults import (
    AnyFault,
    CorruptChecksum,
    Cut,
    EndEarly,
    Stall,
    StreamError,
    StreamException,
    UnknownEvent,
)

_DELIVERED_HERE = (CorruptChecksum, Cut, EndEarly, Stall, StreamError, StreamException, UnknownEvent)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

ExceptionEncoder = Callable[[StreamException], bytes]


class CutConnection(Exception):
    """The connection is gone, by order of a script."""


class _StreamOver(Exception):
    """The body ends here, by order of a script."""


async def deliver(
    request: web.Request,
    response: web.StreamResponse,
    batches: AsyncIterator[Sequence[bytes]],
    call: Call,
    *,
    faults: Sequence[AnyFault],
    write_sizes: Sequence[int],
    encode_exception: ExceptionEncoder,
) -> None:
    """Write all frames to the response and end its body.

    The call's record closes as ``faulted`` when a fault ended the stream. Raises CutConnection
    when a script had the connection cut, and ConnectionError when the client has left.
    """
    delivered_here = [fault for fault in faults if isinstance(fault, _DELIVERED_HERE)]
    if not delivered_here and not write_sizes:
        async for frames in batches:
            data = b"".join(frames)
            await response.write(data)
            call.events_sent += len(frames)
            call.streamed(len(data))
        await response.write_eof()
        return
    wire = _FaultyWire(
        request,
        response,
        call,
        faults=delivered_here,
        write_sizes=write_sizes,
        encode_exception=encode_exception,
    )
    try:
        await wire.at_position()
        async for frames in batches:
            for frame in frames:
                await wire.send(frame)
            await wire.flush()
        await wire.flush()
    except _StreamOver:
        await wire.flush()
        call.finish("faulted")
    await response.write_eof()


class _FaultyWire:
    """One stream's way through its faults; positions are frames sent so far."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        call: Call,
        *,
        faults: Sequence[AnyFault],
        write_sizes: Sequence[int],
        encode_exception: ExceptionEncoder,
    ) -> None:
        self._request = request
        self._response = response
        self._call = call
        self._faults = faults
        self._sizes = cycle(write_sizes) if write_sizes else None
        self._encode_exception = encode_exception
        self._unwritten = bytearray()
        self._cut_at = next(
            (fault for fault in faults if isinstance(fault, Cut) and fault.after_bytes is not None), None
        )

    async def send(self, frame: bytes) -> None:
        for fault in self._faults:
            if isinstance(fault, CorruptChecksum) and fault.frame == self._call.events_sent:
                frame = corrupted(frame, prelude=fault.prelude)
        self._unwritten += frame
        self._call.events_sent += 1
        await self.at_position()

    async def at_position(self) -> None:
        """Carry out what is due after the frames sent so far."""
        position = self._call.events_sent
        for fault in self._faults:
            match fault:
                case UnknownEvent() if fault.after_events == position:
                    self._unwritten += json_event_frame(fault.event_type, {"p": "abc"})
                case Stall() if fault.after_events == position:
                    await self.flush()
                    await asyncio.sleep(fault.seconds)
                case StreamException() if fault.after_events == position:
                    self._unwritten += self._encode_exception(fault)
                    raise _StreamOver
                case StreamError() if fault.after_events == position:
                    self._unwritten += error_frame(fault.code, fault.message)
                    raise _StreamOver
                case EndEarly() if fault.after_events == position:
                    raise _StreamOver
                case Cut() if fault.after_events == position:
                    await self.flush()
                    self._cut(fault)

    async def flush(self) -> None:
        """Write what waits, in the sizes that the script asks for, up to where it cuts."""
        data, self._unwritten = bytes(self._unwritten), bytearray()
        cut = self._cut_at
        if cut is not None and cut.after_bytes is not None:
            data = data[: cut.after_bytes - self._call.bytes_sent]
        while data:
            size = len(data) if self._sizes is None else next(self._sizes)
            await self._response.write(data[:size])
            self._call.streamed(len(data[:size]))
            data = data[size:]
            if data:
                await asyncio.sleep(0)
        if cut is not None and self._call.bytes_sent == cut.after_bytes:
            self._cut(cut)

    def _cut(self, fault: Cut) -> None:
        self._call.finish("faulted")
        cut_connection(self._request, reset=fault.reset)


def cut_connection(request: web.Request, *, reset: bool) -> NoReturn:
    """Close the client's connection under it, with an RST or without. Raises CutConnection."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        else:
            transport.close()
    raise CutConnection
