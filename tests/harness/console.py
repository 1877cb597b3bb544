"""The console in a test's own process, before tenants and roles of the test's: no sockets, no AWS."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import MISSING, dataclass, fields
from datetime import timedelta
from typing import Any, Self

import httpx
from fastapi import APIRouter
from starlette.types import ASGIApp

from harness.scripted_cloudwatch import ScriptedCloudWatch
from llmplatform import apikeys
from llmplatform.access import Access, render_access
from llmplatform.apikeys import Role
from llmplatform.aws.access import AccessSource
from llmplatform.aws.parameters import InMemoryPolicySource
from llmplatform.catalogue import load_catalogue
from llmplatform.prices import load_prices
from llmplatform.testing import FakeClock, make_policy
from watch.alarming.alarm_states import AlarmState
from watch.console.app import create_app
from watch.console.pages import PAGES
from watch.console.parts import ConsoleParts
from watch.console.sessions import SessionSeal
from watch.limits import Limits
from watch.reading.aws_calls import count_call
from watch.reading.metrics import MetricReader
from watch.reading.standing import StandingReader
from watch.settings import WatchSettings

OPERATOR_KEY = apikeys.mint_role_key("operator", bytes(range(32)))
BILLING_KEY = apikeys.mint_role_key("billing", bytes(range(1, 33)))
ACME_KEY = apikeys.mint(make_policy("acme").tenant_id, bytes(range(2, 34)))
ZETA_KEY = apikeys.mint(make_policy("zeta").tenant_id, bytes(range(3, 35)))
_CATALOGUE = load_catalogue()
_PRICES = load_prices()
HOST = "127.0.0.1:8100"


class SsmOfRoles:
    """Parameter Store as far as roles are read from it."""

    def __init__(self) -> None:
        self.access = Access()

    async def get_parameters(self, **_: Any) -> dict[str, Any]:
        """The one document."""
        return {"Parameters": [{"Value": render_access(self.access)}]}

    async def __aenter__(self) -> Self:
        """Open: nothing to do."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closed."""


class QuietAlarms:
    """Alarms of which none rings."""

    async def all(self) -> tuple[AlarmState, ...]:
        """None."""
        return ()

    async def ringing(self) -> tuple[AlarmState, ...]:
        """None either."""
        return ()


class NoRows:
    """Tables without a row."""

    async def batch_get_item(self, **_: Any) -> dict[str, Any]:
        """None of them."""
        count_call()
        return {"Responses": {}}


class _NotGiven:
    """A part that a test did not expect to be used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Fail, and say how not to."""
        raise AssertionError(f"console(parts={{{self._name!r}: ...}}): the page uses {attribute} of it")


@dataclass
class Console:
    """A console with tenants acme and zeta, and a key of each role."""

    clock: FakeClock
    policies: InMemoryPolicySource
    ssm: SsmOfRoles
    access: AccessSource
    parts: ConsoleParts
    app: ASGIApp

    def browser(self, *, key: str | None = None, host: str = HOST, **headers: str) -> httpx.AsyncClient:
        """A client that accepts pages; with `key` it sends that along."""
        sent = {"accept": "text/html", **headers}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        scheme = "https" if self.parts.settings.secure else "http"
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url=f"{scheme}://{host}",
            headers=sent,
        )

    def put_roles(self, **keys: str) -> None:
        """Set the keys of the roles; heeded with the next `await access.refresh()`."""
        now = self.clock.now()
        self.ssm.access = Access.model_validate(
            {role: (apikeys.record_of(key, now),) for role, key in keys.items()}
        )

    def put_tenant(self, tenant: str, *keys: str, expires_in: timedelta | None = None, **fields: Any) -> None:
        """Set a tenant's policy and keys."""
        now = self.clock.now()
        until = None if expires_in is None else now + expires_in
        self.policies.put(
            make_policy(tenant, **fields), *(apikeys.record_of(key, now, until) for key in keys)
        )


@asynccontextmanager
async def console(
    *,
    pages: Sequence[Callable[[ConsoleParts], APIRouter]] = PAGES,
    parts: Any = None,
    cloudwatch: ScriptedCloudWatch | None = None,
    **settings: Any,
) -> AsyncIterator[Console]:
    """A console of `pages` with `settings`, before metrics as `cloudwatch` tells them; nothing rings.

    `parts`, a mapping, sets fields of ConsoleParts; a reader that is not set fails who reads with it.
    """
    clock = FakeClock()
    policies = InMemoryPolicySource(clock)
    ssm = SsmOfRoles()
    client: Any = ssm
    now = clock.now()
    roles: dict[Role, str] = {"operator": OPERATOR_KEY, "billing": BILLING_KEY}
    ssm.access = Access.model_validate({role: (apikeys.record_of(key, now),) for role, key in roles.items()})
    scripted: Any = cloudwatch or ScriptedCloudWatch()
    rows: Any = NoRows()
    async with (
        AccessSource(lambda: client, clock) as access,
        MetricReader(scripted, clock) as metrics,
    ):
        known: dict[str, Any] = {
            "clock": clock,
            "policies": policies,
            "access": access,
            "catalogue": _CATALOGUE,
            "prices": _PRICES,
            "seal": SessionSeal(b"k" * 32),
            "settings": WatchSettings(**settings),
            "metrics": metrics,
            "standing": StandingReader(rows, clock),
            "alarms": QuietAlarms(),
            "limits": Limits(),
            **(parts or {}),
        }
        for field in fields(ConsoleParts):
            if field.default is MISSING:
                known.setdefault(field.name, _NotGiven(field.name))
        made = ConsoleParts(**known)
        app = create_app(made, pages)
        whole = Console(clock, policies, ssm, access, made, app)
        whole.put_tenant("acme", ACME_KEY, display_name="Acme & Sons")
        whole.put_tenant("zeta", ZETA_KEY)
        yield whole


async def sign_in(browser: httpx.AsyncClient, key: str, *, next_path: str = "/") -> httpx.Response:
    """Fill in the login form, as a person does."""
    form = await browser.get("/login")
    token = hidden(form.text, "csrf_token")
    return await browser.post("/login", data={"csrf_token": token, "key": key, "next": next_path})


def hidden(page: str, name: str) -> str:
    """The value of a form's hidden field."""
    return page.partition(f'name="{name}" value="')[2].partition('"')[0]
