"""What `llm-platform watch dashboards` does: reads tenants and catalogue, and talks to Grafana."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.table import Table

from llmplatform.aws.sessions import aws_session
from llmplatform.clock import SystemClock
from llmplatform.tenants import Tenants
from operator_cli.console import ERR, OUT, CommandFailed, print_table
from operator_cli.watch_account import here, wanted_here
from watch.grafana.applying import Plan, carry_out, tenants_without
from watch.grafana.applying import plan as planned
from watch.grafana.boards import boards
from watch.grafana.cells import Board
from watch.grafana.client import Grafana
from watch.grafana.drawing import Places
from watch.grafana.provisioning import files
from watch.tables.targets import World

URL: Final = "GRAFANA_URL"
TOKEN: Final = "GRAFANA_TOKEN"  # noqa: S105  # the variable's name


@dataclass(frozen=True, slots=True)
class Wanted:
    """The dashboards of this account."""

    boards: Sequence[Board]
    places: Places
    tenants: tuple[str, ...]
    unreadable: tuple[str, ...]
    """Tenants whose policy cannot be read."""


def run_plan(*, region: str) -> None:
    """Print what would be done."""
    wanted = asyncio.run(_wanted(region))

    async def show() -> None:
        async with _grafana() as grafana:
            _show(await planned(grafana, wanted.boards, wanted.places, spared=wanted.unreadable))

    asyncio.run(show())


def run_apply(*, region: str, yes: bool) -> bool:
    """Do it; false while a tenant has no dashboard."""
    return asyncio.run(_apply(asyncio.run(_wanted(region)), yes=yes))


def run_export(folder: Path, *, region: str, endpoint: str | None) -> None:
    """Write the files."""
    wanted = asyncio.run(_wanted(region))
    for name, content in files(wanted.boards, wanted.places, region=region, endpoint=endpoint).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    OUT.print(f"{len(wanted.boards)} dashboards written to {folder}", markup=False)


async def _apply(wanted: Wanted, *, yes: bool) -> bool:
    async with _grafana() as grafana:
        plan = await planned(grafana, wanted.boards, wanted.places, spared=wanted.unreadable)
        _show(plan)
        if not plan.is_empty:
            if not yes and sys.stdin.isatty():
                typer.confirm("Apply?", abort=True)
            await carry_out(grafana, plan)
            OUT.print("applied")
        missing = await tenants_without(grafana, (*wanted.tenants, *wanted.unreadable))
    for tenant in missing:
        ERR.print(f"[red]tenant {tenant} has no dashboard[/red]")
    return not missing


def _show(plan: Plan) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("step", "dashboard", "uid"):
        table.add_column(column, no_wrap=True)
    for change in plan.changes:
        if change.step != "keep":
            table.add_row(change.step, change.title, change.uid)
    if table.row_count:
        print_table(table)
    OUT.print(", ".join(f"{plan.count(step)} to {step}" for step in ("create", "update", "delete", "keep")))


@asynccontextmanager
async def _grafana() -> AsyncIterator[Grafana]:
    url, token = os.environ.get(URL), os.environ.get(TOKEN)
    if not url or not token:
        raise CommandFailed(
            f"{URL} and {TOKEN} are needed: the workspace's address and a service account's token; "
            "docs/dashboards.md says how to get them"
        )
    async with Grafana.at(url, token) as grafana:
        yield grafana


async def _wanted(region: str) -> Wanted:
    ours = wanted_here(here())
    async with aws_session(region).client("ssm") as ssm:
        stored = await Tenants(ssm, SystemClock()).list(keys=False)
    policies = tuple(tenant.policy for tenant in stored if tenant.policy is not None)
    for tenant in stored:
        if tenant.policy is None:
            ERR.print(f"[yellow]warning:[/yellow] the policy of tenant {tenant.tenant_id} cannot be read")
    return Wanted(
        boards(World(ours.catalogue, policies), ours.limits),
        Places(ours.console_url),
        tuple(policy.tenant_id for policy in policies),
        tuple(tenant.tenant_id for tenant in stored if tenant.policy is None),
    )
