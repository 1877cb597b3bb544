"""Child processes, and what the kernel says of them: processor time and memory, descendants included."""

import asyncio
import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STOP_WITHIN_S = 40.0
_POLL_S = 0.1


class NotReady(Exception):
    """A process that did not come up; the message holds the end of its log."""


@contextlib.asynccontextmanager
async def running(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], logs: Path, ready_url: str | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command until the block ends; it begins when `ready_url` answers 200.

    Without `ready_url` its standard output is a pipe to read. Raises NotReady.
    """
    log_file = logs / f"{name}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if ready_url is None else log,
            stderr=log,
            start_new_session=True,
        )
    try:
        if ready_url is not None:
            await _answers(name, process, ready_url, log_file)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _answers(name: str, process: asyncio.subprocess.Process, url: str, log_file: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.returncode is None:
        if await asyncio.to_thread(_is_ready, url):
            return
        await asyncio.sleep(_POLL_S)
    raise NotReady(f"{name} did not become ready; its log ends:\n{_end_of(log_file)}")


def _end_of(log_file: Path) -> str:
    return log_file.read_text(errors="replace")[-2_000:]


def _is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310
        return bool(response.status == 200)  # noqa: PLR2004
    return False


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """Processor seconds of the process, its living descendants and those that it has waited for."""
    total = 0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            total += sum(map(int, _stat_fields(member)[11:15]))  # utime, stime, cutime, cstime
    return total * _TICK_S


def rss_mib(pid: int) -> float:
    """Resident memory of the process and its descendants, in MiB."""
    pages = 0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def settled(pid: int, *, patience_s: float = 8.0) -> None:
    """Return when the process has come to rest, so that what it does afterwards is counted too.

    At rest is less than 2 % of a core over 0.4 s.
    """
    deadline = time.monotonic() + patience_s
    before = cpu_s(pid)
    while time.monotonic() < deadline:
        await asyncio.sleep(0.4)
        now = cpu_s(pid)
        if now - before <= _TICK_S:
            return
        before = now


def _tree(pid: int) -> list[int]:
    members = [pid]
    for member in members:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                members += map(int, (task / "children").read_text().split())
    return members


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
