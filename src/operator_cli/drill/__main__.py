"""`python -m operator_cli.drill`: breaks one thing after another of a platform of its own, and tells."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from llmplatform.errors import PlatformFault
from operator_cli.__main__ import fail, foreign_fault
from operator_cli.console import OUT, CommandFailed
from operator_cli.drill.course import facts_of
from operator_cli.drill.hands import write_files
from operator_cli.drill.preparing import SETTINGS, prepared
from operator_cli.drill.requests import tallies
from operator_cli.drill.scenarios import BY_NAME, SCENARIOS, Scenario
from operator_cli.drill.story import Drill
from operator_cli.drill.telling import Telling
from sandbox.children import Child, ChildFailed
from sandbox.state import NothingRuns, RunsAlready, state_folder
from sandbox.up import up

_INTERRUPTED: Final = 130
_PORTS: Final = ("GATEWAY_PORT", "COST_API_PORT", "WATCH_PORT")

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be done."""

    chosen: tuple[Scenario, ...]
    keep: bool
    json_file: Path | None


@app.command()
def drill(
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this scenario; may be repeated.")
    ] = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the scenarios and the alarms of each.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform running until Ctrl-C.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what happened for programs, too.")
    ] = None,
) -> None:
    """Break one thing after another, and print when each alarm rang and what the console showed.

    Starts a platform of its own, in a folder of its own and on any free ports. Takes about twenty minutes.
    Exit status 1 when an alarm did not ring in its bound, reached nobody or was not shown, or when requests
    failed that nothing explains.
    """
    if list_:
        _list()
        return
    unknown = [name for name in only or () if name not in BY_NAME]
    if unknown:
        raise CommandFailed(f"no scenario {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    chosen = tuple(scenario for scenario in SCENARIOS if not only or scenario.name in only)
    status = asyncio.run(_run(Asked(chosen, keep, json_file)))
    if status:
        raise typer.Exit(status)


def _list() -> None:
    for scenario in SCENARIOS:
        OUT.print(f"[bold]{scenario.name:15}[/bold] {escape(scenario.breaks)}")
        for expected in scenario.expected:
            OUT.print(
                f"{'':15}   {expected.alarm}, within {expected.within_s:g} s: {expected.title}", markup=False
            )


async def _run(asked: Asked) -> int:
    folder = state_folder() / f"drill-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    environment = {
        **SETTINGS,
        **dict.fromkeys(_PORTS, "0"),
        "LLM_PLATFORM_STATE": str(folder),
        **write_files(folder),
    }
    os.environ.update(environment)
    OUT.print(f"drill: {', '.join(scenario.name for scenario in asked.chosen)}")
    OUT.print(f"[dim]state and logs in {folder}[/dim]", markup=True)
    telling, children = Telling(), list[Child]()
    platform = asyncio.create_task(up(telling, children), name="platform")
    drilling = asyncio.create_task(
        _drill(asked, telling, children, Path(environment["LLM_PLATFORM_PRICES"])), name="drill"
    )
    shown = asyncio.create_task(telling.show_waits())
    try:
        await asyncio.wait({platform, drilling}, return_when=asyncio.FIRST_COMPLETED)
        if drilling.done() and not telling.asked_to_stop.is_set() and asked.keep and not drilling.exception():
            OUT.print("\nthe platform goes on until Ctrl-C")
            await asyncio.wait({platform})
    finally:
        for task in (drilling, shown, platform):
            task.cancel()
        await asyncio.gather(drilling, shown, return_exceptions=True)
        with suppress(asyncio.CancelledError, ChildFailed):
            await platform
    if telling.asked_to_stop.is_set() and (drilling.cancelled() or not drilling.done()):
        return _INTERRUPTED
    if drilling.cancelled():  # a part of the platform ended; that was told
        return 1
    well = drilling.result()
    if well and not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if well else 1


async def _drill(asked: Asked, telling: Telling, children: Sequence[Child], prices: Path) -> bool:
    """All of it; whether all was as it has to be."""
    began = datetime.now(UTC)
    running = await telling.running
    async with prepared(telling, running, children, asked.chosen, prices) as parts:
        story = Drill(parts, asked.chosen)
        await story.run()
        told = tallies(parts.clients.requests, story.outages)
        telling.summary(story.incidents, running.console_url)
        telling.traffic(told)
        telling.others(story.others)
    ended = datetime.now(UTC)
    problems = sum(len(incident.all_problems(running.console_url)) for incident in story.incidents)
    unexplained = sum(one.unexplained for one in told)
    if asked.json_file is not None:
        facts = {
            "began_at": began.isoformat(),
            "ended_at": ended.isoformat(),
            "scenarios": [facts_of(incident, running.console_url) for incident in story.incidents],
            "requests": sum(one.requests for one in told),
            "failed": sum(one.failed for one in told),
            "unexplained": unexplained,
            "problems": problems,
        }
        text = json.dumps(facts, indent=2) + "\n"
        await asyncio.to_thread(asked.json_file.write_text, text, encoding="utf-8")
    well = not problems and not unexplained
    minutes = (ended - began).total_seconds() / 60
    verdict = "[bold green]all rang[/bold green]" if well else f"[bold red]{problems} problems[/bold red]"
    if unexplained:
        verdict += f", [bold red]{unexplained} requests failed without a reason[/bold red]"
    OUT.print(f"\n{verdict}, in {minutes:.1f} minutes, {began:%Y-%m-%d %H:%M}Z to {ended:%H:%M}Z")
    return well


def main() -> None:
    """Entry of the command: an error is one line on stderr and exit status 1."""
    try:
        app()
    except (CommandFailed, NothingRuns, RunsAlready, PlatformFault) as failed:
        fail(str(failed))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        line = foreign_fault(error)
        if line is None:
            raise
        fail(line)


if __name__ == "__main__":
    main()
