"""What `llm-platform watch` works by: settings, limits, catalogue, prices, and where people see alarms."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from llmplatform.aws.sessions import aws_session
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import SystemClock
from llmplatform.prices import load_prices
from operator_cli.connection import catalogue_in_force
from sandbox.state import NothingRuns, read_running, state_folder
from watch.alarming.applying import Applying, Wanted, budgets_of, open_applying
from watch.settings import WatchSettings, read_limits, read_settings


def wanted_here(environ: Mapping[str, str]) -> Wanted:
    """What alarms are made by in this environment. Raises ConfigFault for a setting that is wrong."""
    settings, _ = read_settings()
    prices = environ.get("LLM_PLATFORM_PRICES")
    return Wanted(
        catalogue=load_catalogue(catalogue_in_force(environ)),
        limits=read_limits(),
        prices=load_prices(Path(prices) if prices else None),
        budgets=budgets_of(settings),
        bands=settings.bands,
        console_url=console_in_force(settings, environ),
    )


def console_in_force(settings: WatchSettings, environ: Mapping[str, str]) -> str | None:
    """Where people see alarms: WATCH_PUBLIC_URL, else the console of the laptop's AWS; None is unknown."""
    if settings.public_url is not None:
        return settings.public_url
    try:
        running = read_running(state_folder())
    except NothingRuns:
        return None
    ours = environ.get("AWS_ENDPOINT_URL") == running.sandbox.environment["AWS_ENDPOINT_URL"]
    return running.console_url if ours else None


@asynccontextmanager
async def applying_here(region: str) -> AsyncIterator[Applying]:
    """The alarms of the account that the environment names."""
    settings, _ = read_settings()
    session = aws_session(region)
    async with open_applying(session, region, SystemClock(), puts_per_s=settings.puts_per_s) as opened:
        yield opened


def here() -> Mapping[str, str]:
    """The environment, after `connect_aws` has named an AWS in it."""
    return os.environ
