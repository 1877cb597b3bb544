"""`python -m gateway`: settings -> bootstrap -> run, until SIGTERM or SIGINT.

With `--until-stdin-ends` it also ends, in order, with its standard input: a laptop's `up` holds that, so that
no gateway is left on the port without a platform behind it.
"""

import argparse
import asyncio
import gc
import sys

import uvloop

from gateway.bootstrap import assembled
from gateway.http.server import serve
from gateway.settings import EnvironmentSettings, GatewaySettings, read_settings
from llmplatform.errors import ConfigFault
from llmplatform.process.logging import configure_logging
from llmplatform.process.parent import add_until_stdin_ends, end_with_stdin

_CONFIG_FAULT = 2


def main() -> None:
    """Run the gateway. Exits with 0 after an orderly end, 2 when it is misconfigured."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The gateway, until SIGTERM.")
    add_until_stdin_ends(parser)
    arguments = parser.parse_args()
    configure_logging("gateway")
    try:
        settings, environment = read_settings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, environment, until_stdin_ends=arguments.until_stdin_ends))
    except ConfigFault as fault:
        sys.stderr.write(f"gateway: {fault}\n")
        sys.exit(_CONFIG_FAULT)


async def _run(
    settings: GatewaySettings, environment: EnvironmentSettings, *, until_stdin_ends: bool
) -> None:
    if until_stdin_ends:
        end_with_stdin()
    async with assembled(settings, environment) as gateway:
        # What start-up made lives as long as the process: no collection needs to walk it again.
        gc.collect()
        gc.freeze()
        # A request leaves few cycles behind; at the default of 700 allocations the collector paused all
        # streams for up to 10 ms, several times a minute.
        gc.set_threshold(20_000, 20, 50)
        await serve(
            gateway.app,
            host=settings.host,
            port=settings.port,
            grace_s=settings.shutdown_grace_s,
            on_stop=gateway.stop_admitting,
            on_grace_over=gateway.cut_streams,
        )


if __name__ == "__main__":
    main()
