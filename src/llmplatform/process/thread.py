"""One thread for blocking work, which holds up neither the event loop nor the end of the process.

The standard executors are joined when the interpreter exits: a write to a pipe that nobody reads would keep
a stopped gateway alive for ever. This thread is a daemon.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class DaemonThread:
    """Runs what it is given, one after the other."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """The result of `work()`, computed on the thread. When cancelled, the work itself goes on."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()

        def job() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  # carried over to whoever waits for it
                settle: tuple[Callable[[Any], None], object] = (future.set_exception, error)
            else:
                settle = (future.set_result, result)
            # The loop is closed where the process went on without us.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, *settle)

        self._work.put(job)
        return await future

    def stop(self) -> None:
        """End the thread after the work that it has; returns at once."""
        self._work.put(None)

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            job()


def _settle(future: asyncio.Future[Any], setter: Callable[[Any], None], value: object) -> None:
    if not future.done():
        setter(value)
