"""Runs the scripted AWS beside a benchmark, and says what a process must know to find it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SCRIPT = Path(__file__).with_name("scripted_aws.py")


@contextlib.contextmanager
def scripted_aws() -> Iterator[int]:
    """The port that it listens on, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryFile() as log:
        aws = subprocess.Popen([sys.executable, SCRIPT, str(port)], stderr=log)  # noqa: S603
        try:
            _wait_for(port)
            yield port
        finally:
            aws.terminate()
            aws.wait()


def environment_for(port: int) -> dict[str, str]:
    """Ours, with the scripted AWS for all services."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EVAL_"))},
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "OPENBLAS_NUM_THREADS": "1",
    }


def calls(port: int) -> dict[str, int]:
    """How often each operation was asked for."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/calls", timeout=5) as response:
        counted: dict[str, int] = json.load(response)
        return counted


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            calls(port)
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit("the scripted AWS did not start")
