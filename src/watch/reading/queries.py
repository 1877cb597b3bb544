"""Questions that AWS answers later: asked after until there is an answer, called off if that takes long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

ASK_AGAIN_S: Final = 0.25

T = TypeVar("T")


async def answered(
    ask: Callable[[], Awaitable[T]],
    *,
    running: Callable[[T], bool],
    call_off: Callable[[], Awaitable[object]],
    within_s: float,
) -> T:
    """The first answer that is not `running`. Raises TimeoutError, with the question called off."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = await ask()
                if not running(answer):
                    return answer
                await asyncio.sleep(ASK_AGAIN_S)
    except TimeoutError:
        await call_off()
        raise
