"""`llm-platform watch plan` and `watch apply`: shows what is to be done, asks, and does it."""

import asyncio
import json
import sys
from dataclasses import dataclass

import typer
from rich.progress import Progress

from operator_cli.console import ERR
from operator_cli.watch_account import applying_here, here, wanted_here
from operator_cli.watch_view import plan_facts, show_applied, show_plan
from watch.alarming.applying import Applied, Applying, OverBudget, Planned
from watch.alarming.planning import Selection


@dataclass(frozen=True, slots=True)
class Asked:
    """Which alarms."""

    platform_wide: bool = False
    tenant: str | None = None

    @property
    def selection(self) -> Selection:
        """As a plan has it."""
        return Selection(platform_wide=self.platform_wide, tenant=self.tenant)


def run_plan(asked: Asked, *, region: str, as_json: bool) -> bool:
    """Print what would be done; false where `apply` would refuse."""
    planned = asyncio.run(_planned(asked, region))
    if as_json:
        print(json.dumps(plan_facts(planned), indent=2))
    else:
        show_plan(planned)
    return not (planned.over or planned.plan.refused)


def run_apply(asked: Asked, *, region: str, yes: bool) -> bool:
    """Do it; false when something was refused."""
    return asyncio.run(_apply(asked, region, yes=yes))


async def _planned(asked: Asked, region: str) -> Planned:
    async with applying_here(region) as applying:
        return await applying.plan(wanted_here(here()), asked.selection)


async def _apply(asked: Asked, region: str, *, yes: bool) -> bool:
    async with applying_here(region) as applying:
        planned = await applying.plan(wanted_here(here()), asked.selection)
        show_plan(planned)
        if planned.plan.empty:
            return not planned.plan.refused
        if planned.over:
            raise OverBudget("; ".join(planned.over))
        if not yes and sys.stdin.isatty():
            typer.confirm("Apply?", abort=True)
        applied = await _with_progress(applying, planned)
    show_applied(applied)
    return not (applied.failed or planned.plan.refused)


async def _with_progress(applying: Applying, planned: Planned) -> Applied:
    with Progress(console=ERR, transient=True, disable=not ERR.is_terminal) as bars:
        tasks = {
            "put": bars.add_task("putting", total=len(planned.plan.create) + len(planned.plan.update)),
            "complete": bars.add_task("completing", total=None, visible=False),
            "remove": bars.add_task("removing", total=len(planned.plan.remove)),
        }

        def tell(what: str, done: int, total: int) -> None:
            bars.update(tasks[what], completed=done, total=total, visible=True)

        return await applying.apply(planned, tell)
