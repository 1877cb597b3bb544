"""One call from its arrival to its record: what both runtimes do alike.

Who answers and in which bytes is theirs; here are the record, errors that become answers, and the
two ways out, streamed and whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

from aiohttp import web

from sandbox.calls import Call
from sandbox.delivery import CutConnection, ExceptionEncoder, cut_connection, deliver
from sandbox.engines.engine import Batch, EngineBusy, EngineRefused, Finished, Generation
from sandbox.faults import Cut, Stall
from sandbox.refusals import Refusal
from sandbox.registry import Cast

BatchEncoder = Callable[[Batch], Sequence[bytes]]


async def recorded(
    request: web.Request,
    call: Call,
    work: Callable[[], Awaitable[web.StreamResponse]],
    *,
    message_key: str,
    busy: Refusal,
    refused: Callable[[str], Refusal],
) -> web.StreamResponse:
    """Do the work; whatever happens, the call's record is closed and the client answered."""
    try:
        try:
            response = await work()
        except EngineBusy:
            raise busy from None
        except EngineRefused as refusal:
            raise refused(str(refusal)) from None
    except Refusal as refusal:
        original = refusal.fields.get("OriginalStatusCode")
        call.model_status = original if isinstance(original, int) else None
        call.finish("refused", status=refusal.status, error_type=refusal.error_type)
        return refusal.response(call.request_id, message_key)
    except CutConnection:
        return web.Response()  # nobody is left to read it
    except (asyncio.CancelledError, ConnectionError):
        call.finish("client_closed")
        raise
    except Exception:
        call.finish("faulted", status=500)
        raise
    if request.transport is None:
        call.finish("client_closed")
    call.finish("completed")
    return response


async def send_stream(
    request: web.Request,
    call: Call,
    cast: Cast,
    generation: Generation,
    *,
    start: Sequence[bytes],
    encode: BatchEncoder,
    headers: Mapping[str, str],
    encode_exception: ExceptionEncoder,
    engine_failed: Callable[[str], Sequence[bytes]],
) -> web.StreamResponse:
    """Stream a generation's frames, with whatever the script lets go wrong."""
    await asyncio.sleep(cast.script.header_delay_ms / 1000)
    call.asked_model_s = time.monotonic()
    frames = _frames(call, generation, start, encode)
    try:
        async with aclosing(frames):
            first = await anext(frames)  # an engine that refuses does so before the status is out
            response = web.StreamResponse(headers=headers)
            response.enable_chunked_encoding()
            await response.prepare(request)
            async with aclosing(_guarded(first, frames, call, engine_failed)) as guarded:
                await deliver(
                    request,
                    response,
                    guarded,
                    call,
                    faults=cast.faults,
                    write_sizes=cast.script.write_sizes,
                    encode_exception=encode_exception,
                )
    finally:
        call.usage = generation.usage
    return response


async def send_whole(
    request: web.Request, call: Call, cast: Cast, body: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send an unstreamed answer; a script may hold it back, or cut it short."""
    await asyncio.sleep(cast.script.header_delay_ms / 1000)
    for fault in cast.faults:
        if isinstance(fault, Stall) and not fault.after_events:
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, Cut):
            response = web.StreamResponse(headers=headers)
            response.content_length = len(body)
            if fault.after_bytes:
                await response.prepare(request)
                await response.write(body[: fault.after_bytes])
            call.finish("faulted")
            cut_connection(request, reset=fault.reset)
    call.bytes_sent = len(body)
    return web.Response(body=body, headers=headers)


async def _frames(
    call: Call, generation: Generation, start: Sequence[bytes], encode: BatchEncoder
) -> AsyncGenerator[Sequence[bytes], None]:
    waiting = list(start)
    async with aclosing(generation.batches()) as batches:
        async for batch in batches:
            for event in batch[-1:]:
                if isinstance(event, Finished):
                    call.first_token_ms = event.first_token_ms
            yield [*waiting, *encode(batch)]
            waiting.clear()


async def _guarded(
    first: Sequence[bytes],
    rest: AsyncIterator[Sequence[bytes]],
    call: Call,
    engine_failed: Callable[[str], Sequence[bytes]],
) -> AsyncGenerator[Sequence[bytes], None]:
    """All frames; an engine that fails after the status is out becomes an exception frame."""
    yield first
    try:
        async for frames in rest:
            yield frames
    except EngineRefused as refusal:
        call.finish("faulted")
        yield engine_failed(str(refusal))
