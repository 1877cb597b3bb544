"""What was asked of the gateway, to the last dollar: gateway and cost job as processes, prices of our own.

Every amount is computed by hand beside it. Prices are for a million tokens, so 1,000 tokens at 3.30 are
1,000 x 3.30 / 1,000,000 = 0.0033.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec import structs

from harness.cost_account import (
    MINUTE,
    Bill,
    a_row,
    bedrock,
    put_rows,
    read_bill,
)
from harness.cost_job import Ended, costagg, ran, served_profiles
from harness.held import hold
from harness.leaving import left
from harness.platform import TENANT, GatewayProcess, Laptop, eventually, running_laptop, until
from harness.wall_clock import DAY, well_within
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine
from llmplatform.invocation import Outcome
from llmplatform.ledger import LedgerRow
from llmplatform.tenants import Tenants
from llmplatform.testing import make_policy
from llmplatform.usage import TokenUsage, UsageSource
from sandbox.emulator import sandbox_session
from sandbox.engines.engine import CacheDetail
from sandbox.engines.scripted import Script, ScriptedUsage
from sandbox.faults import Refuse, StreamException

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = "/v1/chat/completions"
OTHER = "globex"
PROFILE = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/team"
ROUTED_TO = [
    "arn:aws:bedrock:us-east-1::foundation-model/vendor.large-v1:0",
    "arn:aws:bedrock:us-west-2::foundation-model/vendor.large-v1:0",
]
LARGE, SMALL, UNPRICED = "vendor.large/geo", "vendor.small/in-region", "vendor.preview/geo"

CATALOGUE = f"""
[models.large]
endpoint_type = "bedrock"
backend_model_id = "us.vendor.large-v1:0"
dialect = "converse"
price_key = "{LARGE}"
max_attempts = 2
fallbacks = ["small"]

[models.small]
endpoint_type = "bedrock"
backend_model_id = "vendor.small-v1:0"
dialect = "converse"
price_key = "{SMALL}"
max_attempts = 1

[models.team]
endpoint_type = "bedrock"
backend_model_id = "{PROFILE}"
dialect = "converse"
price_key = "team"

[models.preview]
endpoint_type = "bedrock"
backend_model_id = "us.vendor.preview-v1:0"
dialect = "converse"
price_key = "{UNPRICED}"

[models.llama]
endpoint_type = "sagemaker"
backend_model_id = "llama"
dialect = "openai_chat"
price_key = "hosted"

[models.mistral-tgi]
endpoint_type = "sagemaker"
backend_model_id = "mistral-tgi"
dialect = "tgi"
price_key = "hosted"

[[endpoints.llama.variants]]
name = "AllTraffic"
instance_type = "ml.g5.xlarge"
gpu_count = 1

[[endpoints.mistral-tgi.variants]]
name = "AllTraffic"
instance_type = "ml.g5.xlarge"
gpu_count = 1
"""
_ROW = """
regions = ["us-east-1"]
effective_from = 2020-01-01
source = "a test"
retrieved_on = 2026-01-01
"""
PRICES = f"""
version = "end-to-end"

[[prices]]
price_key = "{LARGE}"
{_ROW}
[prices.usd_per_million_tokens]
input = 3.30
output = 16.50
cache_read = 0.33
cache_write = 4.125
cache_write_1h = 6.60

[[prices]]
price_key = "{SMALL}"
{_ROW}
usd_per_million_tokens = {{ input = 0.80, output = 3.20 }}

[[instance_prices]]
instance_type = "ml.g5.xlarge"
{_ROW}
usd_per_hour = 1.20

[[service_prices]]
service = "AmazonDynamoDB"
name = "WriteRequestUnits"
unit = "units"
{_ROW}
usd_per_unit = 0.000001
"""
PROMPT = "a prompt of thirty-two characters"[:32]
"""32 bytes and a message: estimated at 32 / 3.2 + 4 = 14 tokens."""

Amounts = dict[tuple[str, str, str, str], Decimal | None]
"""By model, price key, class of charge and source of the usage."""


@dataclass
class World:
    """Gateway, account and cost job."""

    laptop: Laptop
    gateway: GatewayProcess
    keys: Mapping[str, str]
    profiles_url: str

    def environment(self, **more: str) -> dict[str, str]:
        """What the cost job and the billing API are told."""
        folder = self.laptop.folder
        return {
            **self.laptop.aws.environment(),
            "AWS_ENDPOINT_URL_SAGEMAKER": self.laptop.runtime.url,
            "AWS_ENDPOINT_URL_BEDROCK": self.profiles_url,
            "AWS_EMF_AGENT_ENDPOINT": self.laptop.emf.address,
            "LLM_PLATFORM_CATALOGUE": str(folder / "catalogue.toml"),
            "LLM_PLATFORM_PRICES": str(folder / "prices.toml"),
            "COST_LOOK_BACK_H": "4",
            "COST_CLOSE_AFTER_H": "2",
            **more,
        }

    async def run(self, *arguments: str, **more: str) -> Ended:
        """`python -m costagg run`."""
        return await ran(self.laptop.folder, "run", *arguments, environment=self.environment(**more))

    async def bill(self) -> Bill:
        return await read_bill(self.laptop.aws.url)

    async def ask(
        self, model: str, script: Script, *, tenant: str = TENANT, stream: bool = False
    ) -> httpx.Response:
        """One request, answered by a script."""
        self.laptop.runtime.scripts[_backend(model)] = script
        async with self.gateway.http() as client:
            return await client.post(ROUTE, json=body(model, stream=stream), headers=self._key(tenant))

    async def leave(self, model: str, script: Script) -> str:
        """A stream that its client leaves after the first pieces, before there are others: its request id."""
        go_on = hold(self.laptop.runtime, _backend(model), script, pieces=3)
        asked = body(model, stream=True) | {"max_tokens": 1_000}
        request_id = await left(self.gateway.url, self._key(TENANT), asked, events=3)
        go_on.set()
        return request_id

    def _key(self, tenant: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[tenant]}"}

    async def figures_of_run(self) -> dict[tuple[str, str], float]:
        """What the first run told, all of it: what a process wrote last may still be on its way."""
        async with asyncio.timeout(60):
            while ("availability", "costagg") not in await asyncio.to_thread(self.figures):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await self.laptop.emf.flush()  # what it wrote before
        return await asyncio.to_thread(self.figures)

    def figures(self) -> dict[tuple[str, str], float]:
        """The newest reading of each of the cost job's metrics, by name and dimension."""
        cloudwatch = self.laptop.boto3("cloudwatch")
        now = datetime.now(UTC)
        found = {}
        try:
            pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="LLMPlatform/Cost")
            pipeline = cloudwatch.get_paginator("list_metrics").paginate(Namespace="LLMPlatform/Pipeline")
            for metric in (one for page in (*pages, *pipeline) for one in page["Metrics"]):
                points = cloudwatch.get_metric_statistics(
                    **metric,
                    StartTime=now - timedelta(minutes=30),
                    EndTime=now + timedelta(minutes=5),
                    Period=1,
                    Statistics=["Maximum"],
                )["Datapoints"]
                names = ",".join(one["Value"] for one in metric["Dimensions"])
                if points:
                    found[metric["MetricName"], names] = max(points, key=lambda one: one["Timestamp"])[
                        "Maximum"
                    ]
        finally:
            cloudwatch.close()
        return found


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """What is known of both."""
    known = [amount for amount in (one, other) if amount is not None]
    return sum(known, Decimal(0)) if known else None


def body(model: str, *, stream: bool) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": stream}


def _backend(model: str) -> str:
    return {"large": "vendor.large-v1:0", "small": "vendor.small-v1:0", "preview": "vendor.preview-v1:0"}.get(
        model, model
    )


def reported(tokens: int, output: int, **fields: Any) -> Script:
    """An answer of which the backend tells these figures."""
    return Script(token_count=3, usage=ScriptedUsage(input_tokens=tokens, output_tokens=output, **fields))


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="world")
async def a_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("state")
    (folder / "catalogue.toml").write_text(CATALOGUE)
    (folder / "prices.toml").write_text(PRICES)
    async with AsyncExitStack() as stack:
        laptop = await stack.enter_async_context(running_laptop(folder, daily_budget_usd=Decimal(1)))
        async with sandbox_session().client("ssm", endpoint_url=laptop.aws.url) as ssm:
            other = await Tenants(ssm, SystemClock()).create(make_policy(OTHER))
        gateway = await stack.enter_async_context(
            laptop.gateway(LLM_PLATFORM_CATALOGUE=str(folder / "catalogue.toml"))
        )
        profiles = await stack.enter_async_context(served_profiles({PROFILE: ROUTED_TO}))
        yield World(laptop, gateway, {TENANT: laptop.key, OTHER: other}, profiles)


@dataclass
class Spent:
    """Requests of every kind, and what the first run after them made of them."""

    world: World
    rows: dict[str, LedgerRow]
    cut: LedgerRow
    """Of SageMaker, left by its client."""
    bill: Bill
    began: datetime
    ended: datetime
    figures: dict[tuple[str, str], float]

    def amounts(self, owner: str, layer: str = "inference", endpoint_type: str = "bedrock") -> Amounts:
        """What an owner spent, hours added up: requests may have come in two of them."""
        sums: Amounts = {}
        for line in self.lines(owner):
            if (line.layer, line.endpoint_type) == (layer, endpoint_type):
                key = (line.model_id or "", line.price_key, line.charge_class, line.usage_source)
                sums[key] = _sum(sums.get(key), line.amount_usd)
        return sums

    def lines(self, owner: str | None = None) -> list[CostLine]:
        return [
            line
            for lines in self.bill.lines.values()
            for line in lines
            if owner is None or line.tenant_id == owner
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="spent")
async def everything_asked(world: World) -> Spent:
    """Requests to both backends, whole and in pieces, answered, cut, broken, retried; and a run."""
    await well_within(DAY, left=MINUTE)  # metrics tell of the day's
    long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    async with httpx.AsyncClient(base_url=world.laptop.runtime.url) as door:
        for name, instances in {"llama": 2, "mistral-tgi": 1}.items():
            hardware = {"instances": instances, "created_at": long_ago}
            assert (await door.put(f"/_sandbox/hardware/{name}", json=hardware)).is_success
    cached = reported(
        1_000,
        200,
        cache_read_tokens=4_000,
        cache_write_tokens=600,
        cache_details=(CacheDetail(ttl="1h", tokens=500), CacheDetail(ttl="5m", tokens=100)),
    )
    thinking = Script(
        token_count=3, reasoning_tokens=9, usage=ScriptedUsage(input_tokens=2_000, output_tokens=500)
    )
    fault = StreamException(exception_type="modelStreamErrorException", after_events=1)
    throttled = Refuse(status=429, error_type="ThrottlingException")
    replies = [
        await world.ask("large", cached),
        await world.ask("large", thinking, stream=True),
        # Broken in mid-answer, so it is not tried again: 8 + 8 bytes were said.
        await world.ask(
            "large",
            Script(pieces=("a piece ", "another ", "and more"), faults=(_after_pieces(2),), interval_ms=1),
            stream=True,
        ),
        # Broken before its first word: called again, and both calls are billed.
        await world.ask("large", _breaking(reported(70, 7), fault, times=1), stream=True),
        await world.ask("large", _breaking(reported(11, 3), throttled, times=1)),
    ]
    world.laptop.runtime.scripts["vendor.small-v1:0"] = reported(50, 5)
    replies += [
        # Broken twice: the other model answers, at its own price.
        await world.ask("large", _breaking(reported(99, 99), fault, times=2), stream=True),
        await world.ask("team", reported(100, 10)),
        await world.ask("preview", reported(5_000, 50)),
        await world.ask("llama", reported(200, 100)),
        await world.ask("llama", reported(60, 40), tenant=OTHER, stream=True),
        await world.ask("large", reported(10, 10), tenant=OTHER),
    ]
    assert {reply.status_code for reply in replies} == {200}
    drained = await world.leave("large", _slowly(reported(300, 40)))
    cut = await world.leave("mistral-tgi", Script(token_count=400, interval_ms=1))
    sent = {*(reply.headers["x-request-id"] for reply in replies), drained, cut}
    rows = await world.laptop.rows_of(sent)
    assert set(rows) == sent

    now = datetime.now(UTC) - timedelta(seconds=1)
    judging = bedrock("judge", SMALL, TokenUsage(input_tokens=1_200, output_tokens=60))
    await put_rows(
        world.laptop.aws.url,
        [
            a_row(tenant, now - timedelta(seconds=1), judging, origin="judge")
            for tenant in (TENANT, "_platform")
        ],
    )
    began = datetime.now(UTC)
    ended = await world.run()
    assert ended.status == 0, ended.told
    figures = await world.figures_of_run()
    assert not world.laptop.emf.rejected
    return Spent(world, rows, rows[cut], await world.bill(), began, datetime.now(UTC), figures)


def _after_pieces(pieces: int) -> StreamException:
    """A fault after so many pieces: the start of the message comes before them."""
    return StreamException(exception_type="modelStreamErrorException", after_events=1 + pieces)


def _breaking(script: Script, fault: StreamException | Refuse, *, times: int) -> Script:
    return structs.replace(script, faults=(structs.replace(fault, times=times),))


def _slowly(script: Script) -> Script:
    return structs.replace(script, token_count=40, interval_ms=1)


async def test_tokens_of_bedrock_cost_what_they_cost(spent: Spent) -> None:
    assert spent.amounts(TENANT) == {
        # 1,000 whole, 2,000 reasoning, 70 after the retry, 11 after a throttled call: 3,081.
        ("large", LARGE, "input", "reported"): Decimal("0.0101673"),
        # 200 + 500 (reasoning among them) + 7 + 3 = 710 at 16.50.
        ("large", LARGE, "output", "reported"): Decimal("0.011715"),
        ("large", LARGE, "cache_read", "reported"): Decimal("0.00132"),  # 4,000 at 0.33
        ("large", LARGE, "cache_write", "reported"): Decimal("0.0004125"),  # 100 at 4.125
        ("large", LARGE, "cache_write_1h", "reported"): Decimal("0.0033"),  # 500 at 6.60
        # The client left and the stream was read to its end: 300 at 3.30, 40 at 16.50.
        ("large", LARGE, "input", "drained"): Decimal("0.00099"),
        ("large", LARGE, "output", "drained"): Decimal("0.00066"),
        # Four calls that broke, one of them in mid-answer: 4 x 14 at 3.30; 16 bytes / 3.2 = 5 at 16.50.
        ("large", LARGE, "input", "estimated"): Decimal("0.0001848"),
        ("large", LARGE, "output", "estimated"): Decimal("0.0000825"),
        # The fallback's, at its own price: 50 at 0.80, 5 at 3.20.
        ("small", SMALL, "input", "reported"): Decimal("0.00004"),
        ("small", SMALL, "output", "reported"): Decimal("0.000016"),
        # The application inference profile routes to the large model: 100 at 3.30, 10 at 16.50.
        ("team", LARGE, "input", "reported"): Decimal("0.00033"),
        ("team", LARGE, "output", "reported"): Decimal("0.000165"),
        # Nobody knows this price.
        ("preview", UNPRICED, "input", "reported"): None,
        ("preview", UNPRICED, "output", "reported"): None,
    }
    assert spent.amounts(OTHER) == {
        ("large", LARGE, "input", "reported"): Decimal("0.000033"),
        ("large", LARGE, "output", "reported"): Decimal("0.000165"),
    }
    quantities = {
        line.charge_class: line.quantity for line in spent.lines(TENANT) if line.price_key == UNPRICED
    }
    assert quantities == {"input": 5_000, "output": 50}


async def test_watching_is_attributed_apart(spent: Spent) -> None:
    judged = {
        ("judge", SMALL, "input", "reported"): Decimal("0.00096"),  # 1,200 at 0.80
        ("judge", SMALL, "output", "reported"): Decimal("0.000192"),  # 60 at 3.20
    }
    assert spent.amounts(TENANT, "observability-layer") == judged
    assert spent.amounts("_platform", "observability-layer") == judged
    # 13 requests of clients and 2 of a judge at 4 units, and 16 more for each judgement.
    writes = [line for line in spent.lines("_platform") if line.price_key.endswith("/WriteRequestUnits")]
    assert sum(line.quantity or 0 for line in writes) == 15 * 4 + 2 * 16
    assert sum(line.amount_usd or 0 for line in writes) == Decimal("0.000092")


async def test_instances_are_shared_and_no_minute_of_them_is_lost(spent: Spent) -> None:
    """Of the running hour the minutes that are over count: which ones is the clock's affair."""
    assert spent.cut.outcome is Outcome.CLIENT_CANCELLED
    assert spent.cut.usage_source is UsageSource.ESTIMATED
    assert 0 < (spent.cut.usage.output_tokens or 0) < 400
    for endpoint, instances in {"llama": 2, "mistral-tgi": 1}.items():
        for hour, status in spent.bill.statuses.items():
            lines = [line for line in spent.bill.lines.get(hour, ()) if line.endpoint_name == endpoint]
            over = [min(max((moment - hour) // MINUTE, 0), 60) for moment in (spent.began, spent.ended)]
            ran_min = sum((line.quantity or Decimal(0) for line in lines), Decimal(0)) * 60
            assert over[0] * instances <= round(ran_min, 6) <= over[1] * instances, status
            for line in lines:
                assert (line.usage_source, line.unit_price_usd) == ("described", Decimal("1.20"))
    tokens = {
        (line.tenant_id, line.endpoint_name): line.tokens
        for line in spent.lines()
        if line.endpoint_type == "sagemaker" and line.tokens is not None
    }
    known = spent.cut.usage.total_tokens
    # A line is there once a minute in which the endpoint was used is over.
    expected = {(TENANT, "llama"): 300, (OTHER, "llama"): 100, (TENANT, "mistral-tgi"): known}
    assert tokens.items() <= expected.items()


async def test_what_owners_pay_is_all_there_is(spent: Spent) -> None:
    for hour, status in spent.bill.statuses.items():
        lines = spent.bill.lines.get(hour, ())
        by_owner: defaultdict[str, Decimal] = defaultdict(Decimal)
        for line in lines:
            by_owner[line.tenant_id] += line.amount_usd or 0
        assert status.total_usd == sum(by_owner.values())
        assert {owner: amount or Decimal(0) for owner, amount in status.amounts_usd.items()} == by_owner
        assert status.unpriced_lines == sum(
            line.unit_price_usd is None and bool(line.quantity) for line in lines
        )
        assert (status.computed_from, status.price_version) == ("request-ledger", "end-to-end")
    assert sum(status.ledger_rows or 0 for status in spent.bill.statuses.values()) == 15
    assert spent.bill.hidden == 0


async def test_the_tenant_sees_its_bill_and_nobody_elses(spent: Spent) -> None:
    world = spent.world
    environment = world.environment(COST_API_PORT="0")
    days = {hour.date() for hour in spent.bill.statuses}
    query = {
        "from": min(days).isoformat(),
        "to": (max(days) + timedelta(days=1)).isoformat(),
        "granularity": "hour",
        "group_by": "model_id,endpoint_type,layer,price_key,charge_class,usage_source",
    }
    async with costagg(world.laptop.folder, "serve", environment=environment) as api:
        url = await eventually(lambda: _served_at(api.told()))
        async with httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {world.keys[TENANT]}"}, timeout=60
        ) as client:
            own = await until(client.get, f"/v1/tenants/{TENANT}/costs", params=query)
            assert (await client.get(f"/v1/tenants/{OTHER}/costs", params=query)).status_code == 404
        api.process.terminate()
        assert (await api.ended()).status == 0
    answer = own.json()
    told: dict[tuple[str, ...], Decimal | None] = {}
    for row in answer["rows"]:
        if (row["layer"], row["endpoint_type"]) == ("inference", "bedrock"):
            key = (row["model_id"], row["price_key"], row["charge_class"], row["usage_source"])
            amount = None if row["amount_usd"] is None else Decimal(row["amount_usd"])
            told[key] = _sum(told.get(key), amount)
    assert told == spent.amounts(TENANT)
    total = sum((line.amount_usd or 0 for line in spent.lines(TENANT)), Decimal(0))
    assert Decimal(answer["totals"]["known_amount_usd"]) == total


def _served_at(told: str) -> str | None:
    for line in map(json.loads, told.splitlines()):
        if line["message"] == "billing API is ready":
            return f"http://127.0.0.1:{line['port']}"
    return None


async def test_the_metrics_say_what_the_table_says(spent: Spent) -> None:
    midnight = spent.ended.replace(hour=0, minute=0, second=0, microsecond=0)
    today = [line for line in spent.lines() if line.hour >= midnight]

    def sum_of(**wanted: str) -> Decimal:
        return sum(
            (
                line.amount_usd or Decimal(0)
                for line in today
                if all(getattr(line, name) == value for name, value in wanted.items())
            ),
            Decimal(0),
        )

    figures = spent.figures
    for owner in (TENANT, OTHER, "_platform"):
        assert figures["cost_today_usd", owner] == pytest.approx(float(sum_of(tenant_id=owner)), rel=1e-9)
    used = sum_of(tenant_id=TENANT, layer="inference") * 100  # of one dollar
    assert figures["budget_used_percent", TENANT] == pytest.approx(float(used), rel=1e-9)
    assert ("budget_used_percent", OTHER) not in figures
    assert figures["unpriced_usage", UNPRICED] == 2
    assert figures["unpriced_usage", "costagg"] == sum(
        line.unit_price_usd is None and bool(line.quantity) for line in today
    )
    assert figures["uncounted_requests", "costagg"] == 0
    assert figures["availability", "costagg"] == 1
    # Since the hour before the running one was over.
    running = spent.ended.replace(minute=0, second=0, microsecond=0)
    least, most = ((moment - running).total_seconds() % 3_600 for moment in (spent.began, spent.ended))
    assert least <= figures["cost_age_seconds", "costagg"] <= most or least > most
