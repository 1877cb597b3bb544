"""The billing API before an emulated account, and cost lines to put into it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import uvicorn

from costagg.api.app import ApiParts, create_app
from costagg.api.observe import AsgiApp
from harness.cost_lines import INPUT, priced
from harness.served import QuietServer
from llmplatform.apikeys import Role
from llmplatform.aws.access import AccessSource, AccessStore
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import TENANT_COST
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine, HourStatus, amounts_by_owner, encode_line, encode_status
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import Tenants
from llmplatform.testing import FakeClock
from sandbox.emulator import CREDENTIALS, REGION, sandbox_session

_NEVER_S = 1e6
"""Tenants and roles are read anew when a test says so."""
NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
HOUR = INPUT.hour
ONE_LINE = replace(
    INPUT,
    model_id="small",
    price_key="vendor.small/geo",
    quantity=Decimal(1_000),
    unit_price_usd=Decimal("0.000003"),
    requests=2,
)


def a_line(tenant: str = "acme", hour: datetime = HOUR, **fields: Any) -> CostLine:
    """A line whose amount is quantity times price, unless that is given too."""
    line = replace(ONE_LINE, tenant_id=tenant, hour=hour, **fields)
    return line if "amount_usd" in fields else priced(line)


@dataclass
class Billing:
    """An account with cost lines, and the API before it."""

    clock: FakeClock
    dynamodb: Any
    ssm: Any
    policies: ParameterPolicySource
    access: AccessSource
    app: AsgiApp
    url: str
    keys: dict[str, str]

    async def put(self, *lines: CostLine, run: int = 1, closed: bool = True) -> None:
        """Lines of whole hours, with the statuses that a run leaves behind."""
        for line in lines:
            await self.dynamodb.put_item(TableName=TENANT_COST.name, Item=encode_line(line, run))
        for hour in {line.hour for line in lines}:
            of_hour = [line for line in lines if line.hour == hour]
            await self.put_status(
                HourStatus(
                    hour=hour,
                    state="closed" if closed else "open",
                    claimed_run=run,
                    run=run,
                    computed_at=hour + timedelta(hours=2),
                    ledger_rows=10,
                    amounts_usd=amounts_by_owner(of_hour),
                    unpriced_lines=sum(bool(li.unit_price_usd is None and li.quantity) for li in of_hour),
                    uncounted_requests=sum(li.requests for li in of_hour if li.quantity is None),
                    price_version="2026-11-01",
                )
            )

    async def put_status(self, status: HourStatus) -> None:
        await self.dynamodb.put_item(TableName=TENANT_COST.name, Item=encode_status(status))

    async def clear(self) -> None:
        """Take every row away."""
        names = [TENANT_COST.partition_key.name, TENANT_COST.sort_key.name]
        found = await self.dynamodb.scan(TableName=TENANT_COST.name)
        for item in found["Items"]:
            key = {name: item[name] for name in names}
            await self.dynamodb.delete_item(TableName=TENANT_COST.name, Key=key)

    async def get(self, path: str, who: str | None = None, **options: Any) -> httpx.Response:
        """The answer to `who`, a tenant or a role with a key; None has none."""
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers["authorization"] = f"Bearer {self.keys[who]}"
        async with httpx.AsyncClient(base_url=self.url, timeout=60.0) as client:
            return await client.get(path, headers=headers, **options)

    async def pages(self, path: str, who: str, **options: Any) -> list[httpx.Response]:
        """All pages from the first on, by their links."""
        answers = [await self.get(path, who, **options)]
        while "next" in answers[-1].links:
            following = answers[-1].url.join(answers[-1].links["next"]["url"])
            answers.append(await self.get(str(following), who, headers=options.get("headers", {})))
        return answers


@asynccontextmanager
async def billing(url: str, *, tenants: Iterable[str] = ("acme", "globex")) -> AsyncIterator[Billing]:
    """The API before the account at `url`, which has the table."""
    keys: dict[str, str] = {}
    roles: tuple[Role, ...] = ("billing", "operator")
    async with AsyncExitStack() as stack:
        session = sandbox_session()
        ssm = await stack.enter_async_context(session.client("ssm", endpoint_url=url))
        dynamodb = await stack.enter_async_context(session.client("dynamodb", endpoint_url=url))
        clock = FakeClock(NOW)
        for tenant in tenants:
            keys[tenant] = await Tenants(ssm, clock).create(TenantPolicy(tenant_id=TenantId(tenant)))
        for role in roles:
            keys[role] = await AccessStore(ssm, clock).add_key(role)
        policies = await stack.enter_async_context(
            ParameterPolicySource(lambda: session.client("ssm", endpoint_url=url), clock, refresh_s=_NEVER_S)
        )
        access = await stack.enter_async_context(
            AccessSource(lambda: session.client("ssm", endpoint_url=url), clock, refresh_s=_NEVER_S)
        )
        http = SignedHttp(
            service="dynamodb",
            url=url,
            region=REGION,
            credentials=lambda: CREDENTIALS,
            clock=SystemClock(),
            connections=16,
            timeout_s=60.0,
        )
        await stack.enter_async_context(http)
        reader = CostReader(DynamoDb(http), first_pause_s=0.01)
        app = create_app(ApiParts(reader=reader, policies=policies, access=access, clock=clock))
        address = await stack.enter_async_context(served(app))
        yield Billing(clock, dynamodb, ssm, policies, access, app, address, keys)


@asynccontextmanager
async def served(app: AsgiApp) -> AsyncIterator[str]:
    """The address of an application on a real socket."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, loop="none", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = QuietServer(config)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
