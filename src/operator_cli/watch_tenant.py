"""A tenant's alarms, after it was added, changed, removed or erased: a failure is said and undoes nothing."""

import asyncio

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from llmplatform.errors import PlatformFault
from operator_cli.console import ERR
from operator_cli.watch_account import applying_here, here, wanted_here
from watch.alarming.applying import Applied
from watch.alarming.planning import Selection


def keep_alarms(tenant: str, region: str) -> None:
    """Make them what they should be; none for a tenant that is gone. Tells on stderr how it went."""
    try:
        applied = asyncio.run(_apply(tenant, region))
    except (PlatformFault, BotoCoreError, ClientError, aiohttp.ClientError, OSError) as error:
        _warn(tenant, str(error))
        return
    for name, problem in applied.failed:
        _warn(tenant, f"{name}: {problem}")
    done = {"made": applied.created, "changed": applied.updated, "removed": applied.removed}
    told = ", ".join(f"{number} {what}" for what, number in done.items() if number)
    if told:
        ERR.print(f"[dim]alarms: {told}[/dim]")


async def _apply(tenant: str, region: str) -> Applied:
    async with applying_here(region) as applying:
        planned = await applying.plan(wanted_here(here()), Selection(tenant=tenant))
        return await applying.apply(planned)


def _warn(tenant: str, problem: str) -> None:
    ERR.print(
        f"[yellow]warning:[/yellow] alarms of tenant {tenant}: {escape(problem)} "
        f"(`llm-platform watch apply --tenant {tenant}` tries again)"
    )
