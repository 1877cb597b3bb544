"""The scripted Bedrock runtime of the sandbox as a process of its own, with the work's scripts in it.

Signatures are demanded but not recomputed: that would cost the machine, which all processes share, more than
the answers do.
"""

import asyncio
import signal
import sys

import uvloop

from sandbox.engines.scripted import Script
from sandbox.runtime import serve_runtime
from sandbox.signing import SignatureCheck

INTERVAL_MS = 20.0

SCRIPTS = {
    "whole": Script(token_count=100),
    "burst": Script(token_count=100),
    "paced": Script(token_count=100, ttft_ms=100, interval_ms=INTERVAL_MS),
    "short": Script(token_count=4, ttft_ms=30, interval_ms=INTERVAL_MS),
    "soak": Script(token_count=20, ttft_ms=5, interval_ms=2),
}


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with serve_runtime(port=port, signatures=SignatureCheck(verify=False)) as runtime:
        runtime.scripts.update(SCRIPTS)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
