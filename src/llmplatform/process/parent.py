"""Ending with the parent: a process that is started with a pipe on its stdin outlives nobody who holds it.

The kernel closes the pipe however the parent dies, so this needs no process id and no polling.
"""

import asyncio
import os
import signal
import sys
from argparse import ArgumentParser


def add_until_stdin_ends(parser: ArgumentParser) -> None:
    """Give a command the option `--until-stdin-ends`; `end_with_stdin` is what it asks for."""
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the parent's pipe")


def end_with_stdin() -> None:
    """Have the running loop send this process SIGTERM when its stdin, a pipe, ends.

    The end is then whatever SIGTERM brings about. What is written to the pipe is read and dropped.
    """
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 1024):
            loop.remove_reader(stdin)
            os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(stdin, read)
