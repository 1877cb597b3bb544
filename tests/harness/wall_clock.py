"""The hour and the day that whole processes are tested in: what the machine's clock says, no test moves."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def well_within(period: timedelta, *, left: timedelta, begun: timedelta = timedelta(0)) -> datetime:
    """Now, where the running hour or day of UTC has so long to go, and began so long ago; else waited for.

    For what has to lie in one of them: a request and its cost today, what a job left behind and who looks.
    """
    gone = (datetime.now(UTC) - _MIDNIGHT) % period
    if gone > period - left:
        await asyncio.sleep((period - gone + begun).total_seconds())
    elif gone < begun:
        await asyncio.sleep((begun - gone).total_seconds())
    return datetime.now(UTC)
