"""An account with three tenants, and before it the gateway, the billing API and the console, each a process.

Two tenants have all that one can have: requests, scores, costs, alarms that ring, content under a key of its
own or in the log. The third attacks. What is behind the processes is told in `filling`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx

from costagg.api.page import encode_cursor
from costagg.api.query import CostParameters, digest_of, parameters
from harness.console import hidden
from harness.console_process import console_process
from harness.cost_job import costagg
from harness.platform import Laptop, eventually, running_laptop, until
from integration.isolation import filling
from integration.isolation.balancer import Balancer, balancer
from integration.isolation.forged import SEAL, SESSION_KEY
from integration.isolation.routes import BILLING, CONSOLE, GATEWAY, Process
from integration.isolation.subjects import ATTACKER, BANK, CLINIC, NOBODY, UNSAID, Subject, made_trace
from integration.isolation.wire import Wire
from llmplatform import apikeys, ids
from llmplatform.ids import TenantId
from watch.console.sessions import Session
from watch.requests.merging import Cursor

_UP_WITHIN_S: Final = 120.0


@dataclass
class World:
    """All of it, running."""

    laptop: Laptop
    balancer: Balancer
    wire: Wire
    urls: dict[Process, str]
    attacker: Subject
    others: tuple[Subject, ...]
    nobody: Subject

    @property
    def days(self) -> str:
        """A query for yesterday's and today's costs."""
        return urlencode(filling.asked_days())

    @property
    def console_port(self) -> int:
        """Of the console."""
        return urlsplit(self.urls[CONSOLE]).port or 0

    @property
    def session_cookie(self) -> str:
        """What the console calls its session's cookie."""
        return f"watch_session_{self.console_port}"

    def session(self, of: Subject) -> tuple[str, str]:
        """The header of a browser that a subject is signed in with."""
        return "Cookie", f"{self.session_cookie}={of.session}"


@asynccontextmanager
async def attacked(folder: Path) -> AsyncIterator[World]:
    """The world, filled; nothing has been attacked yet."""
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(running_laptop(folder, **filling.ATTACKERS_POLICY))
        catalogue = folder / "catalogue.toml"
        catalogue.write_text(filling.CATALOGUE)
        attacker = Subject(ATTACKER, key=laptop.key)
        others = tuple([await filling.tenant(laptop, name) for name in (BANK, CLINIC)])
        alb = await stack.enter_async_context(balancer())
        watching = {
            "AWS_ENDPOINT_URL_XRAY": laptop.traces.url,
            "LLM_PLATFORM_CATALOGUE": str(catalogue),
            "WATCH_SESSION_KEY": SESSION_KEY,
            **alb.environment(),
        }
        gateway, billing, console = await asyncio.gather(
            stack.enter_async_context(
                laptop.gateway(
                    within_s=_UP_WITHIN_S,
                    GATEWAY_TRACE_SAMPLE_RATE="1",
                    LLM_PLATFORM_CATALOGUE=str(catalogue),
                )
            ),
            stack.enter_async_context(_billing(laptop)),
            stack.enter_async_context(
                console_process(folder, laptop.aws, tenants=(), within_s=_UP_WITHIN_S, **watching)
            ),
        )
        world = World(
            laptop=laptop,
            balancer=alb,
            wire=await stack.enter_async_context(Wire()),
            urls={GATEWAY: gateway.url, BILLING: billing, CONSOLE: console.url},
            attacker=attacker,
            others=others,
            nobody=_nobody(others[0]),
        )
        await filling.fill(laptop, gateway.url, attacker, others, world.nobody)
        for one in others:
            await _look(world, one)
        await _look(world, attacker)
        yield world


@asynccontextmanager
async def _billing(laptop: Laptop) -> AsyncIterator[str]:
    environment = {**laptop.aws.environment(), "COST_API_PORT": "0"}
    async with costagg(laptop.folder, "serve", environment=environment) as process:
        url = await eventually(
            lambda: filling.address_in(process.told(), "billing API is ready"), within_s=_UP_WITHIN_S
        )
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            await until(http.get, "/readyz", within_s=_UP_WITHIN_S)
        yield url


def _nobody(like: Subject) -> Subject:
    """One that there is not, with words of the same form."""
    now = datetime.now(UTC)
    tenant = TenantId(NOBODY)
    session = Session(
        id=secrets.token_hex(16),
        role="tenant",
        tenant_id=NOBODY,
        key_sha256=secrets.token_hex(32),
        expires_s=int((now + timedelta(hours=12)).timestamp()),
    )
    digest = digest_of(NOBODY, parameters(CostParameters, [*filling.asked_days().items(), *filling.PAGED]))
    return replace(
        like,
        tenant=NOBODY,
        key=apikeys.mint(tenant, secrets.token_bytes(32)),
        old_key=apikeys.mint(tenant, secrets.token_bytes(32)),
        model=like.model.replace(like.tenant, NOBODY),
        trace=made_trace(),
        shared_trace=made_trace(),
        spent_trace=made_trace(),
        request=ids.request_id(int(now.timestamp() * 1_000), secrets.token_bytes(10)),
        alarm=like.alarm.replace(like.tenant, NOBODY),
        cursor=encode_cursor(digest, (NOBODY, f"{now:%Y-%m-%d}")),
        etag='"bm90aGluZyBoYXMgdGhpcyB0"',
        after=str(Cursor(now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1))),
        session=SEAL.seal(session),
        csrf=SEAL.csrf_token(session.id),
        secret=UNSAID,
        said=frozenset(),
    )


async def _look(world: World, one: Subject) -> None:
    """Have a tenant ask for its own bill and sign in, and keep what came: an attacker may get hold of it."""
    async with httpx.AsyncClient(base_url=world.urls[BILLING], timeout=60) as billing:
        asked = {**filling.asked_days(), **dict(filling.PAGED)}
        page = await billing.get(
            f"/v1/tenants/{one.tenant}/costs", params=asked, headers={"authorization": f"Bearer {one.key}"}
        )
        assert page.status_code == httpx.codes.OK, page.text
        one.cursor, one.etag = page.json()["next_cursor"], page.headers["etag"]
    console = world.urls[CONSOLE]
    async with httpx.AsyncClient(base_url=console, headers={"accept": "text/html"}, timeout=60) as browser:
        form = await browser.get("/login")
        sent = {"csrf_token": hidden(form.text, "csrf_token"), "key": one.key, "next": "/"}
        await browser.post("/login", data=sent)
        one.session = browser.cookies[world.session_cookie]
        one.csrf = hidden((await browser.get("/tenants")).text, "csrf_token")
    opened = SEAL.open(one.session, datetime.now(UTC))
    assert opened is not None
    assert opened.tenant_id == one.tenant
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    one.after = str(Cursor(hour, one.request))
