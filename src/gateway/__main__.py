"""`python -m gateway`: settings -> bootstrap -> run, until SIGTERM or SIGINT."""

import asyncio
import gc
import sys

import uvloop

from gateway.bootstrap import assembled
from gateway.http.server import serve
from gateway.settings import EnvironmentSettings, GatewaySettings, read_settings
from llmplatform.errors import ConfigFault
from llmplatform.process.logging import configure_logging

_CONFIG_FAULT = 2


def main() -> None:
    """Run the gateway. Exits with 0 after an orderly end, 2 when it is misconfigured."""
    configure_logging("gateway")
    try:
        settings, environment = read_settings()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, environment))
    except ConfigFault as fault:
        sys.stderr.write(f"gateway: {fault}\n")
        sys.exit(_CONFIG_FAULT)


async def _run(settings: GatewaySettings, environment: EnvironmentSettings) -> None:
    async with assembled(settings, environment) as gateway:
        # What start-up made lives as long as the process: no collection needs to walk it again.
        gc.collect()
        gc.freeze()
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
