"""A function on AWS Lambda: Lambda's runtime API on a socket, and the real runtime client as its child.

Held to the API of "Using the Lambda runtime API for custom runtimes" (AWS Lambda developer guide, version
2018-06-01): the client fetches the next invocation, and posts what the handler gave or raised.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from harness.platform import isolated
from sandbox.children import Child
from sandbox.emulator import ACCOUNT_ID, REGION

WITHIN_S: Final = 60.0
_FUNCTIONS: Final = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function"
_VERSION: Final = "/2018-06-01/runtime"


class FunctionError(Exception):
    """What a handler raised, as Lambda would tell it."""


@dataclass
class Function:
    """A function that is loaded and waits: `await function.invoke(event)`."""

    name: str
    log_file: Path
    _child: Child | None = None
    _invocations: asyncio.Queue[tuple[str, Any]] = field(default_factory=asyncio.Queue)
    _answers: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def invoke(self, event: Any) -> Any:
        """What the handler gives for an event. Raises FunctionError for what it raised."""
        number = f"00000000-0000-0000-0000-{next(self._numbers):012d}"
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._invocations.put((number, event))
        ended = self._child.ended if self._child is not None else asyncio.Future[int]()
        await asyncio.wait({answer, ended}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise TimeoutError(self.log_file.read_text()[-3_000:])
        return answer.result()

    def figures(self) -> list[dict[str, Any]]:
        """The metric lines that it wrote to standard output, which Lambda takes to its log group."""
        return [line for line in self._lines() if "_aws" in line]

    def logged(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [line for line in self._lines() if "message" in line]

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    async def _next(self, _request: web.Request) -> web.Response:
        number, event = await self._invocations.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": number,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + WITHIN_S) * 1_000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"{_FUNCTIONS}:{self.name}",
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
        }
        return web.json_response(event, headers=headers)

    async def _responded(self, request: web.Request) -> web.Response:
        self._answers[request.match_info["number"]].set_result(await request.json())
        return web.Response(status=202)

    async def _failed(self, request: web.Request) -> web.Response:
        told = await request.json()
        error = FunctionError(f"{told['errorType']}: {told['errorMessage']}")
        for number, answer in self._answers.items():
            if not answer.done() and request.match_info.get("number", number) == number:
                answer.set_exception(error)
        return web.Response(status=202)


@asynccontextmanager
async def serve_function(
    folder: Path, name: str, handler: str, environment: Mapping[str, str]
) -> AsyncIterator[Function]:
    """A function as the image starts it (`python -m awslambdaric HANDLER`), until the block ends."""
    function = Function(name, folder / f"{name}.log")
    app = web.Application()
    app.router.add_get(f"{_VERSION}/invocation/next", function._next)
    app.router.add_post(f"{_VERSION}/invocation/{{number}}/response", function._responded)
    app.router.add_post(f"{_VERSION}/invocation/{{number}}/error", function._failed)
    app.router.add_post(f"{_VERSION}/init/error", function._failed)
    async with TestServer(app) as server:
        told = {**environment, "AWS_LAMBDA_RUNTIME_API": f"{server.host}:{server.port}"}
        function._child = child = await Child.start(
            name, "awslambdaric", [handler], environment=isolated(told), log_file=function.log_file
        )
        try:
            yield function
        finally:
            child.kill()
            await child.ended
