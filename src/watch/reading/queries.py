"""Questions that AWS answers later: asked after until there is an answer, called off where nobody waits."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from watch.reading.partly import FAILURES

ASK_AGAIN_S: Final = 0.25
_CALLED_OFF_WITHIN_S: Final = 1.0

T = TypeVar("T")


async def answered(
    ask: Callable[[], Awaitable[T]],
    *,
    running: Callable[[T], bool],
    call_off: Callable[[], Awaitable[object]],
    within_s: float,
) -> T:
    """The first answer that is not `running`.

    Raises TimeoutError when there is none in time. Whoever ends the wait, the question is called off: it
    costs by what it scans.
    """
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = await ask()
                if not running(answer):
                    return answer
                await asyncio.sleep(ASK_AGAIN_S)
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(_CALLED_OFF_WITHIN_S):
                await call_off()
        raise
