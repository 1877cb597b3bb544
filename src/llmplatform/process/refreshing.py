"""How a copy in memory is kept fresh beside the requests that use it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

JITTER: Final = 0.2  # either way: tasks started together drift apart


@asynccontextmanager
async def kept_fresh(
    refresh: Callable[[], Awaitable[object]], *, every_s: float, name: str
) -> AsyncIterator[None]:
    """Refresh once before anybody is let in, and about every so often while they are there.

    `refresh` is to raise nothing that may pass.
    """
    await refresh()
    task = asyncio.create_task(_refresh_for_ever(refresh, every_s), name=name)
    try:
        yield
    finally:
        await end(task)


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it is over."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _refresh_for_ever(refresh: Callable[[], Awaitable[object]], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311  # no secret
        await refresh()
