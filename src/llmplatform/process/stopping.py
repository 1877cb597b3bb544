"""How a process that goes on until it is told hears of its end, and pauses without missing it."""

import asyncio
import signal
from typing import Final

_DAY_S: Final = 86_400


def told_to_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def stopped(stop: asyncio.Event, *, within_s: float) -> bool:
    """Wait, at most so long; tells whether the end has come."""
    try:
        async with asyncio.timeout(within_s):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def a_pause(text: str) -> float:
    """Seconds between the beginnings of two runs, a day at most. Raises ValueError."""
    seconds = float(text)
    if not 0 < seconds <= _DAY_S:
        raise ValueError
    return seconds
