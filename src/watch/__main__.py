"""`python -m watch`: serves the console until SIGTERM or SIGINT.

With `--until-stdin-ends` it also ends, in order, with its standard input.
"""

import argparse
import asyncio
import sys
from typing import Final

import uvloop

from llmplatform.errors import ConfigFault, PlatformFault
from llmplatform.process.logging import configure_logging
from llmplatform.process.parent import add_until_stdin_ends, end_with_stdin
from watch.bootstrap import console
from watch.console.server import serve
from watch.limits import Limits
from watch.settings import EnvironmentSettings, WatchSettings, read_limits, read_settings

_FAILED: Final = 1
_CONFIG_FAULT: Final = 2


def main() -> None:
    """Serve. Exits with 0 after an orderly end, 2 when it cannot start as it is configured."""
    parser = argparse.ArgumentParser(prog="python -m watch", description="The console, as web pages.")
    add_until_stdin_ends(parser)
    arguments = parser.parse_args()
    configure_logging("watch")
    status = 0
    try:
        settings, environment = read_settings()
        limits = read_limits()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, environment, limits, until_stdin_ends=arguments.until_stdin_ends))
    except PlatformFault as fault:
        sys.stderr.write(f"watch: {fault}\n")
        status = _CONFIG_FAULT if isinstance(fault, ConfigFault) else _FAILED
    sys.exit(status)


async def _run(
    settings: WatchSettings, environment: EnvironmentSettings, limits: Limits, *, until_stdin_ends: bool
) -> None:
    if until_stdin_ends:
        end_with_stdin()
    async with console(settings, environment, limits) as app:
        await serve(app, host=settings.host, port=settings.port)


if __name__ == "__main__":
    main()
