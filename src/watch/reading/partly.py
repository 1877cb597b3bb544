"""A part of a page that may fail without the rest: what was read, or None and a line in the log."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.errors import TelemetryFault
from llmplatform.redaction import describe_fault

logger = logging.getLogger(__name__)

WITHIN_S: Final = 4.0
FAILURES: Final = (TelemetryFault, ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)
"""How a reading fails that asks AWS, whichever client it asks through."""

T = TypeVar("T")


async def partly(what: str, reading: Awaitable[T], *, within_s: float = WITHIN_S) -> T | None:
    """What is read, or None where it cannot be now."""
    try:
        async with asyncio.timeout(within_s):
            return await reading
    except FAILURES as error:
        logger.warning("not read", extra={"what": what, "reason": describe_fault(error)})
        return None
