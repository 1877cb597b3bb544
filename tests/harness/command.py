"""`llm-platform up` as a process of its own, and the command beside it, as an operator uses both."""
# ruff: noqa: S603 - what is started here is our own command

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

READY_WITHIN_S = 120
STOPPED_WITHIN_S = 60
ENDED_WITHIN_S = 120
ResultT = TypeVar("ResultT")
COMMAND = (sys.executable, "-m", "operator_cli")


def environment(state: Path, **more: str) -> dict[str, str]:
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BILLING_", "COST_", "EVAL_", "OPENAI_", "GATEWAY_", "SANDBOX_"))
    }
    ports = {"GATEWAY_PORT": "0", "COST_API_PORT": "0", "WATCH_PORT": "0"}
    # Nobody waits for an alarm here, and looking at hundreds of them takes the processor from the tests.
    seldom = {"SANDBOX_ALARMS_EVERY_S": "60"}
    return {**ours, "LLM_PLATFORM_STATE": str(state), **ports, **seldom, **more}


@dataclass
class Platform:
    """A running `llm-platform up`."""

    state: Path
    process: subprocess.Popen[bytes]
    output: Path

    def told(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def run(self, *arguments: str, status: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """The command with these arguments, which ends with `status`; None takes any."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=environment(self.state, **more),
            capture_output=True,
            text=True,
            timeout=ENDED_WITHIN_S,
            check=False,
        )
        assert status in {None, done.returncode}, done.stdout + done.stderr
        return done

    def env(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.run("env", "--json").stdout)
        return facts

    def gateway_answers(self) -> bool:
        address = urlsplit(re.search(r"gateway +(http\S+)", self.told())[1])  # type: ignore[index]
        with suppress(OSError), socket.create_connection((address.hostname, address.port), 60):
            return True
        return False

    def children(self) -> dict[str, int]:
        """Process ids of what `up` started, by module and command."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and b"-m" in arguments:
                    module = arguments[arguments.index(b"-m") + 1 :]
                    words = [word.decode() for word in module if word and not word.startswith(b"--")]
                    found[" ".join(words)] = int(entry.name)
        return found

    def eventually(self, look: Callable[[], ResultT | None], *, within_s: float) -> ResultT:
        """What `look` finds, as soon as it finds something."""
        deadline = time.monotonic() + within_s
        while True:
            if (found := look()) is not None:
                return found
            assert time.monotonic() < deadline, self.told() + self._logged()
            time.sleep(0.25)

    def _logged(self) -> str:
        return "".join((self.state / name).read_text() for name in ("evalworker.log", "costagg.log"))

    def stop(self, number: signal.Signals) -> None:
        """End it in order, and leave nothing running."""
        children = self.children()
        self.process.send_signal(number)
        assert self.process.wait(STOPPED_WITHIN_S) == 0, self.told()
        told = self.told()
        stopped = [told.index(f"{name} stopped") for name in ("evaluation", "gateway", "sandbox")]
        assert stopped == sorted(stopped), told
        assert not left_of(children)


def left_of(children: Mapping[str, int]) -> list[str]:
    """Those that still run."""
    return [name for name, pid in children.items() if Path(f"/proc/{pid}").exists()]


@contextmanager
def platform(state: Path, *, end: signal.Signals = signal.SIGINT, **more: str) -> Iterator[Platform]:
    """A platform that is up, and is ended by a signal and in order unless it has ended before."""
    output = state.with_suffix(".output")
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, "up"], env=environment(state, **more), stdout=out, stderr=subprocess.STDOUT
        )
    running = Platform(state, process, output)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while "Ctrl-C stops everything" not in running.told():
            assert process.poll() is None, running.told()
            assert time.monotonic() < deadline, running.told()
            time.sleep(0.1)
        yield running
    finally:
        if process.poll() is None:
            try:
                running.stop(end)
            finally:
                process.kill()


def failed_up(state: Path, **more: str) -> subprocess.CompletedProcess[str]:
    failed = subprocess.run(
        [*COMMAND, "up"],
        env=environment(state, **more),
        capture_output=True,
        text=True,
        timeout=READY_WITHIN_S,
        check=False,
    )
    assert failed.returncode == 1, failed.stdout
    return failed


def with_tokenizer_of(up: Platform, state: Path) -> Path:
    """A state folder that need not spend seconds on making the tokenizer again."""
    shutil.copytree(up.state / "tokenizers", state / "tokenizers")
    return state
