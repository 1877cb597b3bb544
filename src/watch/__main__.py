"""`python -m watch`: serves the console. `python -m watch apply` keeps the alarms in place.

The console goes on until SIGTERM or SIGINT; `apply` ends when it is done, but with `--every`. With
`--until-stdin-ends` both also end, in order, with their standard input.
"""

import argparse
import asyncio
import sys
from typing import Final

import uvloop

from llmplatform.errors import ConfigFault, PlatformFault
from llmplatform.process.logging import configure_logging
from llmplatform.process.parent import add_until_stdin_ends, end_with_stdin
from llmplatform.process.stopping import a_pause
from watch.alarming.keeping import Keeping, keep
from watch.alarming.planning import Selection
from watch.bootstrap import console
from watch.console.server import serve
from watch.limits import Limits
from watch.settings import EnvironmentSettings, WatchSettings, read_limits, read_settings

_FAILED: Final = 1
_CONFIG_FAULT: Final = 2


def main() -> None:
    """Run a command.

    Exits with 0 after an orderly end, 1 when not all alarms were put in place, 2 when it cannot start as
    configured.
    """
    arguments = _parser().parse_args()
    configure_logging("watch")
    try:
        settings, environment = read_settings()
        limits = read_limits()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(_run(arguments, settings, environment, limits))
    except PlatformFault as fault:
        sys.stderr.write(f"watch: {fault}\n")
        status = _CONFIG_FAULT if isinstance(fault, ConfigFault) else _FAILED
    sys.exit(status)


async def _run(
    arguments: argparse.Namespace, settings: WatchSettings, environment: EnvironmentSettings, limits: Limits
) -> int:
    if arguments.until_stdin_ends:
        end_with_stdin()
    if arguments.command == "apply":
        selection = Selection(platform_wide=arguments.platform_wide)
        done = await keep(Keeping(settings, environment, limits, selection, arguments.every))
        return 0 if done else _FAILED
    async with console(settings, environment, limits) as app:
        await serve(app, host=settings.host, port=settings.port)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m watch", description="The console, as web pages; `apply` keeps the alarms in place."
    )
    add_until_stdin_ends(parser)
    commands = parser.add_subparsers(dest="command", metavar="")
    apply = commands.add_parser("apply", help="put the alarms in place and end, or go on with --every")
    apply.add_argument("--platform-wide", action="store_true", help="those about the platform too")
    apply.add_argument("--every", type=a_pause, metavar="SECONDS", help="go on, until SIGTERM")
    add_until_stdin_ends(apply)
    return parser


if __name__ == "__main__":
    main()
