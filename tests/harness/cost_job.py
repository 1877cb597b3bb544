"""The cost job and what it reads and leaves: as a process, or in process with a clock that a test moves."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from harness.platform import isolated
from llmplatform.costs import CostLine

Lines = dict[datetime, list[CostLine]]
"""What counts, by hour: as a reader has it."""

MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of the cost job that is over."""

    status: int
    told: str
    """What it wrote to stderr: its log, and what is for a person."""


class Process:
    """A running `python -m costagg`."""

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self.process = process
        self._log_file = log_file

    def told(self) -> str:
        """What it wrote to stderr so far."""
        return self._log_file.read_text()

    async def ended(self, within_s: float = 120.0) -> Ended:
        """How it ended, waited for."""
        async with asyncio.timeout(within_s):
            status = await self.process.wait()
        return Ended(status, self.told())


@asynccontextmanager
async def costagg(
    folder: Path, *arguments: str, environment: Mapping[str, str], piped: bool = False
) -> AsyncIterator[Process]:
    """`python -m costagg` with these arguments, killed at the end if it still runs; `piped` is its stdin."""
    log_file = folder / f"costagg-{secrets.token_hex(4)}.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "costagg", *arguments),
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            env=isolated(environment),
        )
    try:
        yield Process(process, log_file)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ran(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Ended:
    """How `python -m costagg` with these arguments ended."""
    async with costagg(folder, *arguments, environment=environment) as process:
        return await process.ended()


@asynccontextmanager
async def watched_dynamodb(url: str, on_call: Callable[[str], bool]) -> AsyncIterator[str]:
    """A way to DynamoDB that tells each operation before it gets there; False keeps it from getting there."""
    async with aiohttp.ClientSession() as client:

        async def pass_on(request: web.Request) -> web.Response:
            body = await request.read()
            if not on_call(request.headers["X-Amz-Target"].partition(".")[2]):
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            headers = {name: value for name, value in request.headers.items() if name != "Host"}
            async with client.post(url, data=body, headers=headers) as answer:
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    headers={"Content-Type": answer.headers["Content-Type"]},
                )

        async with _served("/", pass_on) as address:
            yield address


@asynccontextmanager
async def served_profiles(models: Mapping[str, Sequence[str]]) -> AsyncIterator[str]:
    """Bedrock's control plane, which knows these application inference profiles, by ARN, and their models."""

    async def tell(request: web.Request) -> web.Response:
        arn = request.match_info["arn"]
        return web.json_response(
            {
                "inferenceProfileName": "team",
                "inferenceProfileArn": arn,
                "inferenceProfileId": arn.rpartition("/")[2],
                "models": [{"modelArn": model} for model in models[arn]],
                "status": "ACTIVE",
                "type": "APPLICATION",
            }
        )

    async with _served("/inference-profiles/{arn:.+}", tell) as address:
        yield address


@asynccontextmanager
async def _served(path: str, handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    application = web.Application(client_max_size=25_000_000)
    application.router.add_route("*", path, handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
