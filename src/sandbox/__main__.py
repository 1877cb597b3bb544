"""`python -m sandbox`: the laptop's AWS until SIGTERM, without the gateway.

Prints a line of JSON for each step of the start, and a last one, `ready`, that says where everything is. With
`--until-stdin-ends` it also ends with its standard input, so that it cannot outlive the parent that holds it.
"""

import argparse
import asyncio
import json
import signal
import sys

from llmplatform.errors import ConfigFault
from llmplatform.process.logging import configure_logging
from llmplatform.process.parent import add_until_stdin_ends, end_with_stdin
from sandbox.emulator import EmulatorError
from sandbox.laptop import serve_sandbox
from sandbox.settings import SandboxSettings


async def run(settings: SandboxSettings, *, until_stdin_ends: bool) -> None:
    """Serve until asked to stop."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    if until_stdin_ends:
        end_with_stdin()

    def tell(step: str, seconds: float) -> None:
        print(json.dumps({"step": step, "seconds": round(seconds, 3)}), flush=True)  # noqa: T201

    async with serve_sandbox(settings, tell) as sandbox:
        print(json.dumps({"ready": sandbox.model_dump(mode="json")}), flush=True)  # noqa: T201
        await asked.wait()


def main() -> int:
    """Exit status 1 when it cannot start, with one line that says why."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The laptop's AWS on loopback.")
    add_until_stdin_ends(parser)
    arguments = parser.parse_args()
    configure_logging("sandbox")
    try:
        asyncio.run(run(SandboxSettings.read(), until_stdin_ends=arguments.until_stdin_ends))
    except (ConfigFault, EmulatorError, FileNotFoundError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
