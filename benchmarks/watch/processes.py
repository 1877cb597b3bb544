"""The processes of the benchmark: the scripted AWS, the console, and what is known of them from outside."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from world import CATALOGUE_FILE, REGION

SCRIPT: Final = Path(__file__).with_name("scripted_aws.py")
_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ScriptedAws:
    """A running one."""

    port: int
    puts_per_s: float

    def calls(self) -> dict[str, int]:
        """How often each operation was asked for, and how often throttled."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/calls", timeout=30) as response:
            counted: dict[str, int] = json.load(response)
            return counted

    def environment(self, **more: str) -> dict[str, str]:
        """Ours, with it for all services."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WATCH_"))}
        return {
            **kept,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "LLM_PLATFORM_CATALOGUE": str(CATALOGUE_FILE),
            "WATCH_PUTS_PER_S": str(self.puts_per_s),
            "WATCH_BANDS": "false",  # 600 of them would be over the quota of anomaly detection models
            **more,
        }


@dataclass(frozen=True, slots=True)
class Used:
    """What a process used until now."""

    cpu_s: float
    waited_s: float
    """How long its first thread could have run while others had the cores."""

    def since(self, before: "Used") -> "Used":
        """The difference."""
        return Used(self.cpu_s - before.cpu_s, self.waited_s - before.waited_s)


def used_by(pid: int) -> Used:
    """What a process used: CPU time of all its threads, as finely as the scheduler counts it."""
    cpu_ns = waited_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        ran, waited, _ = (task / "schedstat").read_text("ascii").split()
        cpu_ns += int(ran)
        if task.name == str(pid):
            waited_ns = int(waited)
    return Used(cpu_ns / 1e9, waited_ns / 1e9)


def memory_mib(pid: int) -> float:
    """The most resident memory that a process had."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@contextlib.contextmanager
def scripted_aws(rows: int, latency_ms: float, puts_per_s: float) -> Iterator[ScriptedAws]:
    """It answers until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, str(SCRIPT), str(port), str(rows), str(latency_ms), str(puts_per_s)]
    aws = ScriptedAws(port, puts_per_s)
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(command, stderr=log)  # noqa: S603
        try:
            _wait_for(aws)
            yield aws
        finally:
            process.terminate()
            process.wait()
            if told := Path(log.name).read_text("utf-8"):
                sys.stderr.write(f"the scripted AWS:\n{told[-3_000:]}")


@dataclass(frozen=True, slots=True)
class Console:
    """A running `python -m watch`."""

    pid: int
    port: int
    log: Path


@contextlib.contextmanager
def console(environment: Mapping[str, str]) -> Iterator[Console]:
    """A console that serves until the block ends."""
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "watch"],
            env={**environment, "WATCH_PORT": "0"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Console(process.pid, _port_of(process, Path(log.name)), Path(log.name))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    until_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < until_s and process.poll() is None:
        for line in log.read_text("utf-8").splitlines():
            if '"console is ready"' in line:
                return int(json.loads(line)["url"].rpartition(":")[2].rstrip("/"))
        time.sleep(0.05)
    sys.exit(f"the console did not start:\n{log.read_text('utf-8')[-3_000:]}")


def _wait_for(aws: ScriptedAws) -> None:
    until_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < until_s:
        try:
            aws.calls()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("the scripted AWS did not start")
