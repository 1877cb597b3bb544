"""A drill as a person sees it: what happens, with the time, what is waited for meanwhile, and the sum."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.markup import escape
from rich.status import Status
from rich.table import Table

from operator_cli.console import ERR, OUT, print_table
from operator_cli.drill.course import Course, Heard, Incident, Shown, seconds
from operator_cli.drill.requests import Tally
from sandbox.state import Running

_REMIND_S: Final = 60.0
_MESSAGE_LINES: Final = 16


@dataclass(slots=True)
class _Wait:
    what: str
    within_s: float
    since_s: float


class Telling:
    """Writes to the terminal, or to a file; also the audience of `sandbox.up.up`."""

    def __init__(self) -> None:
        self.running: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        self.asked_to_stop = asyncio.Event()
        self._waits: list[_Wait] = []
        self._status = Status("", console=OUT) if OUT.is_terminal else None

    # -- of the platform

    def step(self, name: str, seconds: float) -> None:
        """Print a step of the platform's start or end."""
        OUT.print(f"  [green]✓[/green] {name} [dim]{seconds:.1f} s[/dim]")

    def note(self, text: str) -> None:
        """Print something to know."""
        OUT.print(f"{_now()}  [yellow]![/yellow] {escape(text)}")

    def failed(self, reason: str) -> None:
        """Print why the platform ends."""
        ERR.print(f"[red]error:[/red] {escape(reason)}")

    def stopping(self) -> None:
        """Take note that the end has begun."""
        OUT.print("\nstopping; Ctrl-C again ends everything at once")
        self.asked_to_stop.set()

    def ready(self, running: Running, seconds: float) -> None:
        """Everything answers."""
        OUT.print(f"  platform ready in {seconds:.1f} s: gateway {running.gateway_url}")
        OUT.print(f"  console {running.console_url}")
        self.running.set_result(running)

    # -- of the drill

    def say(self, text: str, *, who: str = "") -> None:
        """Print a line with the time; plain text."""
        name = f"[bold]{who:15}[/bold] " if who else ""
        OUT.print(f"{_now()}  {name}{escape(text)}")

    def broken(self, incident: Incident) -> None:
        """Print what was broken."""
        OUT.print(
            f"{_clock(incident.broken_at)}  [bold]{incident.name:15}[/bold] "
            f"[red]broken:[/red] {escape(incident.broken)}"
        )

    def healed(self, incident: Incident) -> None:
        """Print what was mended."""
        OUT.print(
            f"{_clock(incident.healed_at)}  [bold]{incident.name:15}[/bold] "
            f"[green]mended:[/green] {escape(incident.healed)}"
        )

    def rang(self, name: str, course: Course) -> None:
        """Print that an alarm rang."""
        expected = course.expected
        if course.rang_at is None:
            self._bad(name, f"{expected.alarm} did not ring within {expected.within_s:g} s")
            return
        after_s = seconds(course.since, course.rang_at)
        OUT.print(
            f"{_clock(course.rang_at)}  [bold]{name:15}[/bold] [red]alarm:[/red]  {escape(expected.alarm)}, "
            f"{after_s:.0f} s after it was {expected.since} (bound {expected.within_s:g} s)"
        )
        OUT.print(f"{'':27}[dim]{escape(course.reason)}[/dim]")

    def heard(self, name: str, course: Course, *, dead: Sequence[str] = ()) -> None:
        """Print the message as a person gets it."""
        heard = course.heard
        if heard is None or course.rang_at is None:
            self._bad(name, f"no message of {course.told_as} within {course.heard_within_s:g} s")
            return
        self._message(name, heard, f"{seconds(course.rang_at, heard.at):.1f} s after the alarm")
        lines = heard.said.text().splitlines()
        for line in lines[:_MESSAGE_LINES]:
            OUT.print(f"{'':27}[dim]|[/dim] {escape(line)}".rstrip())
        if len(lines) > _MESSAGE_LINES:
            OUT.print(f"{'':27}[dim]| (more lines: {len(lines) - _MESSAGE_LINES})[/dim]")
        for link in dead:
            self._bad(name, f"a link of the message leads nowhere: {link}")

    def shown(self, name: str, course: Course, shown: Shown | None) -> None:
        """Print what the console showed."""
        if shown is None:
            self._bad(name, f"the console did not show {course.told_as}")
            return
        OUT.print(f"{_clock(shown.at)}  [bold]{name:15}[/bold] console: {escape(shown.line)}")
        OUT.print(f"{'':27}[dim]{escape(shown.url)}[/dim]")
        OUT.print(f"{'':27}{escape(shown.page_line)}")
        OUT.print(f"{'':27}[dim]{escape(shown.page_url)}[/dim]")

    def quiet(self, name: str, course: Course) -> None:
        """Print the end of an alarm."""
        if course.quiet_at is None or course.healed_at is None:
            self._bad(name, f"{course.expected.alarm} still rings")
            return
        OUT.print(
            f"{_clock(course.quiet_at)}  [bold]{name:15}[/bold] [green]quiet:[/green]  "
            f"{escape(course.expected.alarm)}, "
            f"{seconds(course.healed_at, course.quiet_at):.0f} s after all was well"
        )

    def over(self, name: str, course: Course) -> None:
        """Print the message that an alarm is over."""
        if course.over is None or course.quiet_at is None:
            self._bad(name, f"no message that {course.told_as} is over")
        else:
            self._message(name, course.over, f"{seconds(course.quiet_at, course.over.at):.1f} s after that")

    @contextmanager
    def waiting(self, who: str, what: str, within_s: float) -> Iterator[None]:
        """Show what is waited for, since when, and for how long at most."""
        wait = _Wait(f"{who}: {what}", within_s, time.monotonic())
        self._waits.append(wait)
        try:
            yield
        finally:
            self._waits.remove(wait)

    async def show_waits(self) -> None:
        """Keep a line about all waits at the foot of the terminal; elsewhere one a minute."""
        told_s = time.monotonic()
        if self._status is not None:
            self._status.start()
        try:
            while True:
                await asyncio.sleep(1)
                waits = [
                    f"{wait.what} {time.monotonic() - wait.since_s:.0f}/{wait.within_s:.0f} s"
                    for wait in self._waits
                ]
                if self._status is not None:
                    self._status.update(f"[dim]waiting for {escape('; '.join(waits))}[/dim]" if waits else "")
                elif waits and time.monotonic() - told_s >= _REMIND_S:
                    told_s = time.monotonic()
                    OUT.print(f"{_now()}  [dim]waiting for {escape('; '.join(waits))}[/dim]")
        finally:
            if self._status is not None:
                self._status.stop()

    def summary(self, incidents: Sequence[Incident], console_url: str) -> None:
        """Print a table of all alarms, then whatever was not as it has to be."""
        table = Table(box=None, pad_edge=False)
        for column in (
            "scenario",
            "alarm",
            "broken",
            "rang",
            "after",
            "bound",
            "message",
            "console",
            "over",
            "",
        ):
            table.add_column(column, no_wrap=True)
        for incident in incidents:
            for course in incident.courses:
                table.add_row(*_row(incident, course, console_url))
        OUT.print("")
        print_table(table)
        problems = [
            (incident.name, problem)
            for incident in incidents
            for problem in incident.all_problems(console_url)
        ]
        OUT.print("")
        for name, problem in problems:
            OUT.print(f"[red]✗[/red] {name}: {escape(problem)}")
        for incident in incidents:
            for note in incident.notes:
                OUT.print(f"[dim]{incident.name}: {escape(note)}[/dim]")

    def traffic(self, tallies: Sequence[Tally]) -> None:
        """Print what became of the requests."""
        total, failed = sum(one.requests for one in tallies), sum(one.failed for one in tallies)
        OUT.print(f"\n{total:,} requests, {failed:,} failed")
        for one in tallies:
            if one.failed:
                kinds = ", ".join(f"{count} × {kind}" for kind, count in one.failures)
                within = one.failed - one.unexplained
                OUT.print(
                    f"  {one.tenant} → {one.model}: {one.failed} of {one.requests} ({kinds}); "
                    f"{within} while its endpoint was down",
                    markup=False,
                )

    def others(self, heard: Sequence[Heard]) -> None:
        """Print the messages that no scenario waited for."""
        if heard:
            OUT.print(f"\n{len(heard)} other messages:")
        for one in heard:
            OUT.print(f"  {_clock(one.at)}  {one.topic}: {one.said.alarm} {one.said.state}", markup=False)

    def _message(self, name: str, heard: Heard, when: str) -> None:
        OUT.print(
            f"{_clock(heard.at)}  [bold]{name:15}[/bold] message to {heard.topic}, {when}: "
            f"{escape(heard.said.subject)}"
        )

    def _bad(self, name: str, text: str) -> None:
        OUT.print(f"{_now()}  [bold]{name:15}[/bold] [red]✗ {escape(text)}[/red]")


def _row(incident: Incident, course: Course, console_url: str) -> tuple[str, ...]:
    problems = course.problems(console_url)
    return (
        incident.name,
        course.expected.alarm,
        _clock(course.since),
        _clock(course.rang_at),
        _after(course.since, course.rang_at),
        f"{course.expected.within_s:g} s",
        _clock(course.heard.at if course.heard else None),
        _clock(course.shown.at if course.shown else None),
        _clock(course.over.at if course.over else None),
        "[red]✗[/red]" if problems else "[green]✓[/green]",
    )


def _after(first: datetime, last: datetime | None) -> str:
    return "–" if last is None else f"{seconds(first, last):.0f} s"


def _clock(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%H:%M:%S}Z"


def _now() -> str:
    return _clock(datetime.now(UTC))
