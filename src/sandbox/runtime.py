"""Bedrock's and SageMaker's runtimes on one port, and the doors by which tests arrange them.

SageMaker's control plane answers there too, since the emulator has none.
``serve_runtime`` starts it in this process; ``main`` is the process of its own. What it answers is
arranged in process (``runtime.scripts[name] = Script(...)``) or over HTTP under ``/_sandbox/``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from sandbox.bedrock import BedrockRuntime
from sandbox.calls import CallLog
from sandbox.emf_intake import EmfIntake
from sandbox.engines.scripted import Script
from sandbox.hardware import Hardware
from sandbox.native_metrics import MetricSink, NativeMetrics, NoMetrics
from sandbox.registry import Registry, Scripts, Served
from sandbox.sagemaker import SageMakerRuntime
from sandbox.sagemaker_control import SageMakerControl
from sandbox.signing import SignatureCheck

_BODY_MAX_BYTES = 25_000_000
_SHUTDOWN_S = 1.0
_T = TypeVar("_T")


@dataclass(slots=True)
class SandboxRuntime:
    """A running runtime."""

    url: str
    registry: Registry
    calls: CallLog
    metrics: NativeMetrics | None
    hardware: dict[str, Hardware]
    """By endpoint name; what is in it exists."""
    _server: web.Server | None = field(repr=False)

    @property
    def scripts(self) -> Scripts:
        """Scripts by model id or endpoint name; set one to change what is answered."""
        return self.registry.scripts

    @property
    def open_connections(self) -> int:
        """Sockets that clients hold open, idle ones included."""
        return 0 if self._server is None else len(self._server.connections)

    @property
    def calls_in_flight(self) -> int:
        """Calls that have not ended."""
        return sum(call.ended is None for call in self.calls)


@asynccontextmanager
async def serve_runtime(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    served: Mapping[str, Served] | None = None,
    signatures: SignatureCheck | None = None,
    cloudwatch_url: str | None = None,
    metrics_interval_s: float = 5.0,
    endpoints: Mapping[str, Hardware] | None = None,
    intake: EmfIntake | None = None,
) -> AsyncGenerator[SandboxRuntime, None]:
    """Serve both runtimes on one port (0 is any) until the block ends.

    ``served`` fixes engine and container of names; with ``cloudwatch_url`` the metrics that AWS
    publishes by itself go there. ``endpoints`` exist and run from the start, others from their first call.
    ``intake`` can be switched off and on by the doors.
    """
    registry, calls = Registry(served), CallLog()
    hardware = dict(endpoints or {})
    checks = signatures or SignatureCheck()
    async with AsyncExitStack() as stack:
        stack.callback(registry.close)
        metrics: NativeMetrics | None = None
        if cloudwatch_url is not None:
            gathered = NativeMetrics(
                endpoint_url=cloudwatch_url, interval_s=metrics_interval_s, hardware=hardware
            )
            metrics = await stack.enter_async_context(gathered)
        sink: MetricSink = NoMetrics() if metrics is None else metrics
        app = web.Application(client_max_size=_BODY_MAX_BYTES)
        app.router.add_post("/model/{path:.+}", BedrockRuntime(registry, calls, checks, sink).handle)
        app.router.add_post("/endpoints/{path:.+}", SageMakerRuntime(registry, calls, checks, sink).handle)
        app.router.add_post("/", SageMakerControl(hardware, checks).handle)
        doors = _Doors(registry, calls, hardware, intake)
        doors.hang(app.router)
        # Without cancellation a handler that waits would not notice that its client has left.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound_port = runner.addresses[0][1]
        url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{bound_port}"
        yield SandboxRuntime(url, registry, calls, metrics, hardware, runner.server)


class _Intake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The intake of log lines, as the doors have it."""

    listening: bool


class _Doors:
    """The HTTP side of arranging: scripts, calls, hardware figures, the intake of log lines."""

    def __init__(
        self,
        registry: Registry,
        calls: CallLog,
        hardware: dict[str, Hardware],
        intake: EmfIntake | None,
    ) -> None:
        self._intake = intake
        self._scripts = registry.scripts
        self._calls = calls
        self._hardware = hardware

    def hang(self, router: web.UrlDispatcher) -> None:
        router.add_get("/_sandbox/health", self.health)
        router.add_get("/_sandbox/scripts", self.list_scripts)
        router.add_put("/_sandbox/scripts/{name:.+}", self.put_script)
        router.add_delete("/_sandbox/scripts", self.clear_scripts)
        router.add_delete("/_sandbox/scripts/{name:.+}", self.delete_script)
        router.add_get("/_sandbox/calls", self.list_calls)
        router.add_delete("/_sandbox/calls", self.clear_calls)
        router.add_get("/_sandbox/hardware", self.list_hardware)
        router.add_put("/_sandbox/hardware/{name}", self.put_hardware)
        if self._intake is not None:
            router.add_get("/_sandbox/intake", self.show_intake)
            router.add_put("/_sandbox/intake", self.put_intake)

    async def health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def list_scripts(self, _: web.Request) -> web.Response:
        return _json(dict(self._scripts))

    async def put_script(self, request: web.Request) -> web.Response:
        self._scripts[request.match_info["name"]] = await _read(request, Script)
        return web.Response(status=204)

    async def delete_script(self, request: web.Request) -> web.Response:
        self._scripts.pop(request.match_info["name"], None)
        return web.Response(status=204)

    async def clear_scripts(self, _: web.Request) -> web.Response:
        self._scripts.clear()
        return web.Response(status=204)

    async def list_calls(self, _: web.Request) -> web.Response:
        return _json(list(self._calls))

    async def clear_calls(self, _: web.Request) -> web.Response:
        self._calls.clear()
        return web.Response(status=204)

    async def list_hardware(self, _: web.Request) -> web.Response:
        return _json(self._hardware)

    async def put_hardware(self, request: web.Request) -> web.Response:
        """Change the fields that are named; null lets a figure follow the load again."""
        name = request.match_info["name"]
        try:
            self._hardware[name] = self._hardware.get(name, Hardware()).changed(await request.read())
        except msgspec.DecodeError as error:
            raise web.HTTPBadRequest(text=f"hardware of {name}: {error}") from None
        return web.Response(status=204)

    async def show_intake(self, _: web.Request) -> web.Response:
        return _json(_Intake(listening=self._intake is not None and self._intake.listening))

    async def put_intake(self, request: web.Request) -> web.Response:
        """Switch it off, as if the agent had died, or on again."""
        wanted = await _read(request, _Intake)
        if self._intake is not None:
            if wanted.listening:
                await self._intake.listen()
            else:
                self._intake.hang_up()
        return web.Response(status=204)


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def _read(request: web.Request, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


async def serve(host: str, port: int, cloudwatch_url: str | None) -> None:
    """Serve until SIGTERM or SIGINT; the first line of output is the URL."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serve_runtime(host=host, port=port, cloudwatch_url=cloudwatch_url) as runtime:
        print(runtime.url, flush=True)  # noqa: T201 - how the parent process learns the port
        await stopped.wait()


def main() -> None:
    """Run the runtimes as a process."""
    parser = argparse.ArgumentParser(description="Bedrock and SageMaker runtimes of the sandbox")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 is any free port")
    parser.add_argument("--cloudwatch-url", help="where to publish what AWS would publish by itself")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port, arguments.cloudwatch_url))


if __name__ == "__main__":
    main()
