"""Starts the laptop's AWS and every process of the product, watches them, and stops them in order.

The gateway is told where AWS is through the variables that AWS SDKs honour, and through nothing else. Who
shows all this to a person is `operator_cli.up`.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from sandbox.background import (
    ALARMS,
    BILLING,
    CONSOLE,
    DRIFT,
    EVALUATION,
    Background,
    Listener,
    cost_job,
)
from sandbox.children import Child, ChildFailed
from sandbox.ports import free_port
from sandbox.settings import SandboxSettings
from sandbox.state import (
    Running,
    Sandbox,
    forget_running,
    held,
    read_ports,
    state_folder,
    write_ports,
    write_running,
)

DEFAULT_GATEWAY_PORT: Final = 8080
DEFAULT_BILLING_PORT: Final = 8090
DEFAULT_CONSOLE_PORT: Final = 8100
SANDBOX_READY_WITHIN_S: Final = 120.0
GATEWAY_READY_WITHIN_S: Final = 60.0
# The gateway lets streams end for 20 s and its sinks deliver for 4 s; see gateway/settings.py.
GATEWAY_STOPS_WITHIN_S: Final = 35.0
SANDBOX_STOPS_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.1
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Audience(Listener, Protocol):
    """Who is told what happens."""

    def ready(self, running: Running, seconds: float) -> None:
        """Everything answers."""
        ...

    def failed(self, reason: str) -> None:
        """The platform did not start, or a part of it ended; what still runs is stopped next."""
        ...

    def stopping(self) -> None:
        """The end has begun."""
        ...


class CannotStart(Exception):
    """The platform did not start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a process is to listen."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """How a client on this machine reaches it."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host
        return f"http://{host}:{self.port}"


async def up(audience: Audience, children: list[Child] | None = None) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; a second one ends it by force.

    `children` is given those that run, for whoever wants to end one of them and see it started again. Raises
    CannotStart, ChildFailed (of which the audience knows already) or RunsAlready; by then nothing is left
    running.
    """
    folder = state_folder()
    with held(folder):
        children = [] if children is None else children
        work = asyncio.create_task(_run(folder, audience, children), name="up")
        asked = asyncio.Event()

        def stop() -> None:
            if not asked.is_set():
                asked.set()
                audience.stopping()
                work.cancel()
            else:
                for child in children:
                    child.kill()

        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, stop)
        try:
            await work
        except asyncio.CancelledError:
            if not asked.is_set():
                raise
        finally:
            forget_running(folder)
            for number in _ENDING:
                loop.remove_signal_handler(number)


async def _run(folder: Path, audience: Audience, children: list[Child]) -> None:
    """Start all, then wait for a child that ends by itself; what was started is stopped on every way out."""
    started = time.monotonic()
    last = read_ports(folder)
    address = address_of("GATEWAY", os.environ, last, DEFAULT_GATEWAY_PORT, audience.note)
    billing = address_of("COST_API", os.environ, last, DEFAULT_BILLING_PORT, audience.note)
    console = address_of("WATCH", os.environ, last, DEFAULT_CONSOLE_PORT, audience.note)
    async with contextlib.AsyncExitStack() as stack, _telling_of_failure(audience):

        async def watched(child: Child, stops_within_s: float) -> Child:
            children.append(child)
            stack.push_async_callback(_stop, child, stops_within_s, audience)
            return child

        aws = await watched(await _start_sandbox(folder, last), SANDBOX_STOPS_WITHIN_S)
        sandbox = await _sandbox_ready(aws, audience)
        gateway_started = time.monotonic()
        gateway = await watched(await _start_gateway(folder, sandbox, address), GATEWAY_STOPS_WITHIN_S)
        await _gateway_ready(gateway, address)
        audience.step("gateway", time.monotonic() - gateway_started)
        running = Running(
            pid=os.getpid(),
            started_at=datetime.now(UTC),
            gateway_url=address.url,
            billing_url=billing.url,
            console_url=console.url,
            sandbox=sandbox,
        )
        write_running(folder, running)
        write_ports(folder, running.ports)
        audience.ready(running, time.monotonic() - started)
        listening = {"COST_API": billing, "WATCH": console}
        environment = child_environment(os.environ, _background_environment(sandbox, listening, os.environ))
        jobs = (CONSOLE, EVALUATION, DRIFT, cost_job(SandboxSettings.read().cost_every_s), BILLING, ALARMS)
        await stack.enter_async_context(Background(folder, environment, audience, children, jobs))
        await asyncio.wait({aws.ended, gateway.ended}, return_when=asyncio.FIRST_COMPLETED)
        raise next(child for child in (gateway, aws) if child.returncode is not None).failure()


@contextlib.asynccontextmanager
async def _telling_of_failure(audience: Audience) -> AsyncIterator[None]:
    """Say why before anything is stopped for it."""
    try:
        yield
    except ChildFailed as failed:
        audience.failed(str(failed))
        raise


def address_of(
    name: str,
    environ: Mapping[str, str],
    last: Mapping[str, int],
    at_first: int,
    note: Callable[[str], None],
) -> Address:
    """Where a process is to listen: its variables `{name}_HOST` and `{name}_PORT`.

    Without the latter, on the port of the `last` start or, if that is taken, on any.
    """
    variable = f"{name}_PORT"
    host = environ.get(f"{name}_HOST") or "127.0.0.1"
    wish = environ.get(variable)
    if wish is None:
        usual = last.get(variable, at_first)
        port = free_port(host, usual)
        if port is None:
            port = free_port(host, 0)
            note(f"port {usual} is taken: {port} instead; {variable} chooses one")
    else:
        port = free_port(host, int(wish)) if wish.isascii() and wish.isdigit() else None
    if port is None:
        raise CannotStart(f"{variable}={wish} cannot be had on {host}; 0 takes any free port")
    return Address(host, port)


def sandbox_ports(environ: Mapping[str, str], last: Mapping[str, int]) -> dict[str, str]:
    """The `last` ports of the sandbox that are free and that `environ` leaves open, as variables."""
    chosen = {value for name, value in environ.items() if name.endswith("_PORT")}
    return {
        name: str(port)
        for name, port in last.items()
        if name.startswith("SANDBOX_")
        and name not in environ
        and str(port) not in chosen
        and free_port("127.0.0.1", port) is not None
    }


def child_environment(environ: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Ours with `more`, and without what would send a child to a real account or through a proxy."""
    ours = {name: value for name, value in environ.items() if not name.startswith(("AWS_", "OTEL_EXPORTER_"))}
    return {**ours, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **more}


async def _start_sandbox(folder: Path, last: Mapping[str, int]) -> Child:
    more = {"LLM_PLATFORM_STATE": str(folder), **sandbox_ports(os.environ, last)}
    return await Child.start(
        "sandbox",
        "sandbox",
        ("--until-stdin-ends",),
        environment=child_environment(os.environ, more),
        log_file=folder / "sandbox.log",
        piped=True,
    )


async def _sandbox_ready(child: Child, audience: Audience) -> Sandbox:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SANDBOX_READY_WITHIN_S):
            while line := await child.line():
                told = json.loads(line)
                if "ready" in told:
                    return Sandbox.model_validate(told["ready"])
                audience.step(told["step"], told["seconds"])
            await child.ended
            raise child.failure()
    raise ChildFailed(f"the sandbox was not ready in {SANDBOX_READY_WITHIN_S:g} s; its log:\n{child.tail()}")


async def _start_gateway(folder: Path, sandbox: Sandbox, address: Address) -> Child:
    environment = {
        **sandbox.environment,
        "AWS_EMF_AGENT_ENDPOINT": sandbox.emf_address,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sandbox.otlp_url,
        "LLM_PLATFORM_CATALOGUE": os.environ.get("LLM_PLATFORM_CATALOGUE") or str(sandbox.catalogue),
        "GATEWAY_HOST": address.host,
        "GATEWAY_PORT": str(address.port),
    }
    return await Child.start(
        "gateway",
        "gateway",
        ("--until-stdin-ends",),
        environment=child_environment(os.environ, environment),
        log_file=folder / "gateway.log",
    )


def _background_environment(
    sandbox: Sandbox, listening: Mapping[str, Address], environ: Mapping[str, str]
) -> dict[str, str]:
    return {
        **sandbox.environment,
        "AWS_EMF_AGENT_ENDPOINT": sandbox.emf_address,
        "LLM_PLATFORM_CATALOGUE": environ.get("LLM_PLATFORM_CATALOGUE") or str(sandbox.catalogue),
        **{name: environ.get(name) or value for name, value in sandbox.settings.items()},
        **{f"{name}_HOST": address.host for name, address in listening.items()},
        **{f"{name}_PORT": str(address.port) for name, address in listening.items()},
        # Who links to the console must know where it is, its port being chosen here.
        "WATCH_PUBLIC_URL": environ.get("WATCH_PUBLIC_URL") or listening["WATCH"].url,
    }


async def _gateway_ready(child: Child, address: Address) -> None:
    deadline = time.monotonic() + GATEWAY_READY_WITHIN_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
        while time.monotonic() < deadline:
            if child.returncode is not None:
                raise child.failure()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with client.get(f"{address.url}/readyz") as response:
                    if response.ok:
                        return
            await asyncio.sleep(_POLL_S)
    raise ChildFailed(
        f"the gateway was not ready in {GATEWAY_READY_WITHIN_S:g} s; {child.log_file} ends:\n{child.tail()}"
    )


async def _stop(child: Child, within_s: float, audience: Audience) -> None:
    if child.returncode is not None:
        return
    started = time.monotonic()
    if not await child.stop(within_s):
        audience.note(f"{child.name} did not stop in {within_s:g} s and was ended by force")
    else:
        audience.step(f"{child.name} stopped", time.monotonic() - started)
