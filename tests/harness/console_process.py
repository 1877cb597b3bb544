"""`python -m watch` as a process of its own, before an emulated account with two tenants and an operator."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from harness.platform import eventually, isolated, until
from llmplatform.aws.access import AccessStore
from llmplatform.clock import SystemClock
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from sandbox.children import Child
from sandbox.emulator import Emulator, sandbox_session


@dataclass
class ConsoleProcess:
    """A running console, and keys that open it."""

    child: Child
    url: str
    operator_key: str
    tenant_keys: dict[str, str]

    def browser(self, *, key: str | None = None) -> httpx.AsyncClient:
        """A client that accepts pages."""
        headers = {"accept": "text/html"} | ({"authorization": f"Bearer {key}"} if key else {})
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60.0)

    def logged(self) -> list[dict[str, Any]]:
        """What the process logged."""
        return [json.loads(line) for line in self.child.log_file.read_text().splitlines()]


@asynccontextmanager
async def console_process(
    folder: Path,
    aws: Emulator,
    *,
    tenants: tuple[str, ...] = ("acme", "zeta"),
    within_s: float = 60.0,
    **more: str,
) -> AsyncIterator[ConsoleProcess]:
    """A console with `more` in its environment, up `within_s`, killed at the end if it still runs."""
    async with sandbox_session().client("ssm", endpoint_url=aws.url) as ssm:
        operator_key = await AccessStore(ssm, SystemClock()).add_key("operator")
        keys = {name: await Tenants(ssm, SystemClock()).create(make_policy(name)) for name in tenants}
    environment = isolated({**aws.environment(), "WATCH_PORT": "0", **more})
    log_file = folder / f"watch-{secrets.token_hex(4)}.log"
    child = await Child.start(
        "watch", "watch", ("--until-stdin-ends",), environment=environment, log_file=log_file
    )
    try:
        url = await eventually(lambda: _url_of(child), within_s=within_s)
        process = ConsoleProcess(child, url, operator_key, keys)
        async with process.browser() as browser:
            await until(browser.get, "/readyz")
        yield process
    finally:
        child.kill()
        await child.ended


def _url_of(child: Child) -> str | None:
    if child.returncode is not None:
        raise child.failure()
    for line in child.log_file.read_text().splitlines():
        if '"console is ready"' in line:
            return str(json.loads(line)["url"])
    return None
