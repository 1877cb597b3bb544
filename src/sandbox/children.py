"""Child processes that are started, watched and stopped in order, each with its log in a file."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

LOG_TAIL_BYTES: Final = 3_000
LOG_TAIL_LINES: Final = 12


class ChildFailed(Exception):
    """A child ended by itself, or did not become ready. Tells what its log said last."""


class Child:
    """One running child; `Child.start` makes it."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, log_file: Path, log_start: int = 0
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.log_start = log_start
        """Bytes in the log that are of an earlier life."""
        self._process = process
        self.ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(
        cls,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str],
        log_file: Path,
        piped: bool = False,
        again: bool = False,
    ) -> Self:
        """Start `python -m module`; with `piped`, `line` gives what it prints; `again` keeps the log's text.

        Its stdin is a pipe that ends with us, however we end: see `llmplatform.process.parent`.
        """
        pipe = asyncio.subprocess.PIPE
        with log_file.open("ab" if again else "wb") as log:
            log_start = log.tell()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                stdin=pipe,
                stdout=pipe if piped else log,
                stderr=log,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is for the parent, which stops its children in order
            )
        return cls(name, process, log_file, log_start)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.returncode

    async def line(self) -> bytes:
        """The next line that it prints; empty at its end."""
        if self._process.stdout is None:
            raise RuntimeError(f"{self.name} was not started with a pipe")
        return await self._process.stdout.readline()

    async def stop(self, within_s: float) -> bool:
        """Ask it to end, and wait; by force after `within_s`. Tells whether it ended by itself."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.ended), within_s)
            return True
        self.kill()
        await self.ended
        return False

    def kill(self) -> None:
        """End it by force, with what it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def failure(self) -> ChildFailed:
        """What to raise when it ended and should not have."""
        return ChildFailed(
            f"{self.name} ended with status {self.returncode}; its log ({self.log_file}) ends:\n{self.tail()}"
        )

    def tail(self) -> str:
        """The last lines of its log, indented."""
        with self.log_file.open("rb") as log:
            log.seek(max(0, self.log_file.stat().st_size - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:]) or "    (nothing)"

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
