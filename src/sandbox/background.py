"""Evaluation, cost, alarms and the console as children of `up`, which does not end with them.

Inference comes first: what ends here is told and started again, after longer and longer pauses.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from sandbox.children import Child

FIRST_PAUSE_S: Final = 2.0
MAX_PAUSE_S: Final = 60.0
STEADY_S: Final = 60.0
"""Who has run so long and ends is not in a crash loop."""
LOOP: Final = 3
"""So many ends in a row are one."""
# Grace for what is being judged, then the consumer's end, then what is to be delivered: see evalworker.
STOPS_WITHIN_S: Final = 30.0
# Lines of their logs that say that they are at work.
LEASE_IS_TAKEN: Final = b'"lease is taken"'
HOURS_COMPUTED: Final = b'"costs are computed"'
ALARMS_IN_PLACE: Final = b'"alarms are in place"'
BILLING_LISTENS: Final = b'"billing API is ready"'
CONSOLE_LISTENS: Final = b'"console is ready"'
_POLL_S: Final = 0.5


class Listener(Protocol):
    """Who is told how it goes."""

    def step(self, name: str, seconds: float) -> None:
        """A step is done."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One of the processes."""

    name: str
    module: str
    arguments: tuple[str, ...]
    log_name: str
    missed: str
    """What is not done while it does not stay up."""
    ready_line: bytes | None = None
    """Of its log; with it, that it is ready is told."""


EVALUATION: Final = Job(
    "evaluation", "evalworker", ("run",), "evalworker.log", "answers are not evaluated", LEASE_IS_TAKEN
)
DRIFT: Final = Job("drift detection", "evalworker", ("drift",), "drift.log", "falling scores are not seen")
BILLING: Final = Job(
    "billing API", "costagg", ("serve",), "billing.log", "no bill can be asked for", BILLING_LISTENS
)

CONSOLE: Final = Job("console", "watch", (), "watch.log", "there is no console", CONSOLE_LISTENS)
ALARMS: Final = Job(
    "alarms job",
    "watch",
    ("apply", "--platform-wide", "--every", "60"),
    "alarms.log",
    "new tenants and scores have no alarms",
    ALARMS_IN_PLACE,
)


def cost_job(every_s: float) -> Job:
    """The job that prices what was used."""
    command = ("run", "--every", f"{every_s:g}")
    return Job("cost job", "costagg", command, "costagg.log", "what is used is not priced", HOURS_COMPUTED)


class Background:
    """All jobs, running while the block does."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        listener: Listener,
        children: list[Child],
        jobs: Sequence[Job],
    ) -> None:
        """`children` has those that run, for whoever must end them by force."""
        self._folder = folder
        self._environment = environment
        self._listener = listener
        self._children = children
        self._jobs = jobs
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to start them."""
        self._tasks = [asyncio.create_task(self._keep_running(job), name=job.name) for job in self._jobs]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them, in order and within bounds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_running(self, job: Job) -> None:
        ends_in_a_row = 0
        pause_s = FIRST_PAUSE_S
        while True:
            started = time.monotonic()
            child = await self._run(job, again=ends_in_a_row > 0)
            if time.monotonic() - started > STEADY_S:
                ends_in_a_row, pause_s = 0, FIRST_PAUSE_S
            ends_in_a_row += 1
            if ends_in_a_row < LOOP:
                self._listener.note(
                    f"{job.name} ended with status {child.returncode} and starts again in {pause_s:g} s; "
                    f"its log is {child.log_file}"
                )
            elif ends_in_a_row == LOOP:
                self._listener.note(
                    f"{job.name} does not stay up, and {job.missed}; it is tried at least every "
                    f"{MAX_PAUSE_S:g} s. Its log ({child.log_file}) ends:\n{child.tail()}"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _run(self, job: Job, *, again: bool) -> Child:
        """One life of a job; it is stopped when this is cancelled."""
        started = time.monotonic()
        child = await Child.start(
            job.name,
            job.module,
            (*job.arguments, "--until-stdin-ends"),
            environment=self._environment,
            log_file=self._folder / job.log_name,
            again=again,
        )
        self._children.append(child)
        try:
            if job.ready_line is not None and await _says(child, job.ready_line):
                self._listener.step(f"{job.name} is ready", time.monotonic() - started)
            await asyncio.shield(child.ended)
        finally:
            await self._stop(child)
            self._children.remove(child)
        return child

    async def _stop(self, child: Child) -> None:
        if child.returncode is not None:
            return
        started = time.monotonic()
        if await child.stop(STOPS_WITHIN_S):
            self._listener.step(f"{child.name} stopped", time.monotonic() - started)
        else:
            self._listener.note(
                f"{child.name} did not stop in {STOPS_WITHIN_S:g} s and was ended by force; "
                "what was unfinished comes again"
            )


async def _says(child: Child, line: bytes) -> bool:
    """Wait for a line in the log of this life; false when it ended without."""
    before = child.log_start
    while child.returncode is None:
        with child.log_file.open("rb") as log:
            log.seek(before)
            if line in log.read():
                return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(child.ended), _POLL_S)
    return False
