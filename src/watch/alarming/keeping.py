"""Keeps the alarms as they should be: applies once, or every so often, for tenants and scores come and go.

On AWS a schedule runs it, on a laptop it goes on; `llm-platform watch apply` is for people, who see a plan
first.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.aws.sessions import aws_session
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import SystemClock
from llmplatform.errors import PlatformFault
from llmplatform.prices import load_prices
from llmplatform.process.stopping import stopped, told_to_stop
from llmplatform.redaction import describe_fault
from watch.alarming.applying import Applying, Wanted, budgets_of, open_applying
from watch.alarming.planning import Selection
from watch.limits import Limits
from watch.settings import EnvironmentSettings, WatchSettings

logger = logging.getLogger(__name__)

_FAILURES: Final = (PlatformFault, ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How alarms are kept."""

    settings: WatchSettings
    environment: EnvironmentSettings
    limits: Limits
    selection: Selection
    every_s: float | None = None
    """None is once."""


async def keep(keeping: Keeping) -> bool:
    """Apply; with `every_s` until SIGTERM or SIGINT. Tells whether the last time all was put in place."""
    settings, environment = keeping.settings, keeping.environment
    wanted = Wanted(
        catalogue=load_catalogue(environment.llm_platform_catalogue),
        limits=keeping.limits,
        prices=load_prices(environment.llm_platform_prices),
        budgets=budgets_of(settings),
        bands=settings.bands,
        console_url=settings.public_url,
    )
    region = environment.aws_region
    stop = told_to_stop()
    async with open_applying(
        aws_session(region), region, SystemClock(), puts_per_s=settings.puts_per_s
    ) as applying:
        done = await _until_told(stop, _apply(applying, wanted, keeping.selection))
        while keeping.every_s is not None and not await stopped(stop, within_s=keeping.every_s):
            done = await _until_told(stop, _apply(applying, wanted, keeping.selection))
    return done


async def _until_told(stop: asyncio.Event, work: Coroutine[None, None, bool]) -> bool:
    """What comes of the work; false where the end came first. What was cut off goes on from there later."""
    task = asyncio.ensure_future(work)
    end = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
    end.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    return task.result()


async def _apply(applying: Applying, wanted: Wanted, selection: Selection) -> bool:
    try:
        planned = await applying.plan(wanted, selection)
        applied = await applying.apply(planned)
    except _FAILURES as failure:
        told = str(failure) if isinstance(failure, PlatformFault) else describe_fault(failure)
        logger.warning("alarms are not in place", extra={"reason": told})
        return False
    refused = [*(name for name, _ in applied.failed), *planned.plan.refused]
    changed = {"put": applied.created, "changed": applied.updated, "removed": applied.removed}
    logger.info("alarms are in place", extra={**changed, "refused": len(refused)})
    return not refused
