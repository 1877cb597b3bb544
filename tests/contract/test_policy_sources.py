"""What every PolicySource promises, over each of them: in memory, and Parameter Store on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

import aioboto3
import pytest
import pytest_asyncio
from aiobotocore.config import AioConfig

from harness.platform import eventually
from llmplatform import apikeys
from llmplatform.apikeys import KeyRecord
from llmplatform.aws.parameters import (
    InMemoryPolicySource,
    ParameterPolicySource,
    PolicySource,
)
from llmplatform.aws.tables import ACCESS_KEY
from llmplatform.errors import GatewayOverloaded
from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.sampling import SamplingBrake
from llmplatform.tenants import TenantFault, Tenants
from llmplatform.testing import START, FakeClock
from sandbox.emulator import REGION, Emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACME, GLOBEX = TenantId("acme"), TenantId("globex-health")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a key that is not known waits for a reading as long as a busy machine takes."""
    monkeypatch.setattr("llmplatform.aws.parameters.READ_WITHIN_S", 60.0)


def key(tenant: TenantId, seed: int) -> str:
    return apikeys.mint(tenant, bytes([seed]) * 32)


class World(Protocol):
    """A source, and what its truth is changed with."""

    clock: FakeClock

    @property
    def source(self) -> PolicySource: ...

    async def store(self, policy: TenantPolicy, *keys: KeyRecord) -> None: ...

    async def brake(self, **factors: SamplingBrake) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.source = InMemoryPolicySource(self.clock)

    async def store(self, policy: TenantPolicy, *keys: KeyRecord) -> None:
        self.source.put(policy, *keys)

    async def brake(self, **factors: SamplingBrake) -> None:
        self.source.brake(**factors)


@dataclass
class StoreWorld:
    """Parameter Store under a prefix of this test's own."""

    ssm: Any
    prefix: str
    clock: FakeClock
    source: ParameterPolicySource

    async def put(self, name: str, value: str, kind: str = "String") -> None:
        await self.ssm.put_parameter(Name=f"{self.prefix}/{name}", Value=value, Type=kind, Overwrite=True)

    async def store(self, policy: TenantPolicy, *keys: KeyRecord) -> None:
        await Tenants(self.ssm, self.clock, prefix=self.prefix).put_policy(policy)
        document = apikeys.render_key_records(keys)
        await self.put(f"{policy.tenant_id}/api_keys", document, "SecureString")
        assert await self.source.refresh()

    async def brake(self, **factors: SamplingBrake) -> None:
        for reason, brake in factors.items():
            await self.put(f"_platform/sampling_factor/{reason}", brake.model_dump_json())
        assert await self.source.refresh()


def client_of(url: str) -> Any:
    session = aioboto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    config = AioConfig(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 1})
    return session.client("ssm", endpoint_url=url, config=config)


@asynccontextmanager
async def recording(client: Any, asked: list[Any]) -> AsyncIterator[Any]:
    """A client that keeps what it is asked with."""
    async with client as ssm:
        ssm.meta.events.register("before-parameter-build", lambda params, **_: asked.append(params))
        yield ssm


@asynccontextmanager
async def store_world(url: str) -> AsyncIterator[StoreWorld]:
    prefix, clock = f"/llm-platform-{uuid4().hex}", FakeClock()
    async with (
        client_of(url) as ssm,
        ParameterPolicySource(lambda: client_of(url), clock, prefix=prefix) as source,
    ):
        yield StoreWorld(ssm, prefix, clock, source)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@pytest_asyncio.fixture(loop_scope="module", name="stored")
async def parameter_store(aws: Emulator) -> AsyncIterator[StoreWorld]:
    async with store_world(aws.url) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module", params=["memory", "parameter-store"], name="world")
async def either(request: pytest.FixtureRequest, aws: Emulator) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
    else:
        async with store_world(aws.url) as world:
            yield world


# -- what both promise ------------------------------------------------------------------------------------


async def test_a_key_opens_its_own_tenants_policy(world: World) -> None:
    acme = TenantPolicy(tenant_id=ACME, content_mode=ContentMode.FULL, allowed_models=frozenset({"a", "b"}))
    globex = TenantPolicy(tenant_id=GLOBEX, content_mode=ContentMode.HASH_ONLY, eval_sample_rate=0.0)
    await world.store(acme, apikeys.record_of(key(ACME, 1), START))
    await world.store(globex, apikeys.record_of(key(GLOBEX, 2), START))
    assert world.source.resolve(key(ACME, 1)) == acme
    assert world.source.resolve(key(GLOBEX, 2)) == globex


async def test_wrong_keys_open_nothing(world: World) -> None:
    await world.store(TenantPolicy(tenant_id=ACME), apikeys.record_of(key(ACME, 1), START))
    await world.store(TenantPolicy(tenant_id=GLOBEX), apikeys.record_of(key(GLOBEX, 2), START))
    for wrong in ("", "sk-x", key(ACME, 9), key(GLOBEX, 1), key(TenantId("nobody"), 1), "llmp_../_x"):
        assert world.source.resolve(wrong) is None
        assert await world.source.resolve_unknown(wrong) is None


async def test_several_keys_open_one_tenant_and_an_expired_one_does_not(world: World) -> None:
    policy = TenantPolicy(tenant_id=ACME)
    old = apikeys.record_of(key(ACME, 1), START, START + timedelta(hours=1))
    await world.store(policy, old, apikeys.record_of(key(ACME, 2), START))
    assert world.source.resolve(key(ACME, 1)) == world.source.resolve(key(ACME, 2)) == policy
    world.clock.advance(s=3_600)
    assert world.source.resolve(key(ACME, 1)) is None
    assert world.source.resolve(key(ACME, 2)) == policy


async def test_a_revoked_key_stops_and_a_changed_policy_holds(world: World) -> None:
    record = apikeys.record_of(key(ACME, 1), START)
    await world.store(TenantPolicy(tenant_id=ACME), record)
    await world.store(TenantPolicy(tenant_id=ACME, max_in_flight=1), record)
    changed = world.source.resolve(key(ACME, 1))
    assert changed is not None
    assert changed.max_in_flight == 1
    await world.store(TenantPolicy(tenant_id=ACME))
    assert world.source.resolve(key(ACME, 1)) is None


async def test_the_smallest_live_brake_holds_until_it_expires(world: World) -> None:
    assert world.source.sampling_factor(START) == 1.0
    await world.brake(
        lag=SamplingBrake(factor=0.5, expires_at=START + timedelta(minutes=10), writer="evalworker"),
        account_budget=SamplingBrake(factor=0.0, expires_at=START + timedelta(minutes=5), writer="costagg"),
        observability_budget=SamplingBrake(factor=0.1, expires_at=START, writer="costagg"),
    )
    assert world.source.sampling_factor(START) == 0.0
    assert world.source.sampling_factor(START + timedelta(minutes=5)) == 0.5
    assert world.source.sampling_factor(START + timedelta(minutes=10)) == 1.0


async def test_who_holds_sampling_down_and_until_when_can_be_told(world: World) -> None:
    month = SamplingBrake(factor=0.5, expires_at=START + timedelta(hours=13), writer="costagg account-budget")
    lag = SamplingBrake(factor=0.25, expires_at=START, writer="host/7")
    await world.brake(account_budget=month, lag=lag)
    assert world.source.sampling_brakes() == {"account_budget": month, "lag": lag}


async def test_an_age_is_known_and_nothing_is_broken(world: World) -> None:
    await world.store(TenantPolicy(tenant_id=ACME))
    assert world.source.age_s == 0
    assert not world.source.broken


# -- what Parameter Store adds ----------------------------------------------------------------------------


async def test_more_tenants_than_a_page_holds_are_all_read(stored: StoreWorld) -> None:
    tenants = [TenantId(f"tenant-{n}") for n in range(12)]
    for n, tenant in enumerate(tenants):
        await Tenants(stored.ssm, stored.clock, prefix=stored.prefix).create(
            TenantPolicy(tenant_id=tenant), key=key(tenant, n)
        )
    assert await stored.source.refresh()
    for n, tenant in enumerate(tenants):
        assert stored.source.resolve(key(tenant, n)) is not None


async def test_keys_are_stored_encrypted_and_hashed(stored: StoreWorld) -> None:
    minted = await Tenants(stored.ssm, stored.clock, prefix=stored.prefix).create(
        TenantPolicy(tenant_id=ACME)
    )
    answer = await stored.ssm.get_parameter(Name=f"{stored.prefix}/acme/api_keys", WithDecryption=True)
    assert answer["Parameter"]["Type"] == "SecureString"
    assert minted not in answer["Parameter"]["Value"]


async def test_keys_are_stored_under_the_key_of_access(stored: StoreWorld) -> None:
    """AWS's own key for parameters would let every role of the account decrypt them."""
    tenants = Tenants(stored.ssm, stored.clock, prefix=stored.prefix)
    await tenants.create(TenantPolicy(tenant_id=ACME))
    await tenants.add_key(ACME)
    described = await stored.ssm.describe_parameters(
        ParameterFilters=[{"Key": "Name", "Values": [f"{stored.prefix}/acme/api_keys"]}]
    )
    assert [one["KeyId"] for one in described["Parameters"]] == [ACCESS_KEY.alias]


async def test_who_may_not_decrypt_knows_every_tenant_and_no_key(stored: StoreWorld, aws: Emulator) -> None:
    minted = await Tenants(stored.ssm, stored.clock, prefix=stored.prefix).create(
        TenantPolicy(tenant_id=ACME)
    )
    await stored.put(f"{GLOBEX}/policy", "{}")
    await stored.put(f"{GLOBEX}/api_keys", "not what keys look like", "SecureString")
    asked: list[Any] = []

    def client() -> Any:
        return recording(client_of(aws.url), asked)

    async with ParameterPolicySource(client, stored.clock, prefix=stored.prefix, keys=False) as source:
        assert {policy.tenant_id for policy in source.policies()} == {ACME, GLOBEX}
        assert source.broken == {}
        assert source.resolve(minted) is None
        assert await source.resolve_unknown(minted) is None
    assert [one["WithDecryption"] for one in asked] == [False]


async def test_a_key_that_is_newer_than_the_copy_is_found(stored: StoreWorld) -> None:
    minted = await Tenants(stored.ssm, stored.clock, prefix=stored.prefix).create(
        TenantPolicy(tenant_id=ACME)
    )
    assert stored.source.resolve(minted) is None
    assert await stored.source.resolve_unknown(minted) is not None
    assert stored.source.resolve(minted) is not None


async def test_many_requests_with_unknown_keys_make_one_read_in_five_seconds(stored: StoreWorld) -> None:
    wrong = key(ACME, 9)
    assert await asyncio.gather(*(stored.source.resolve_unknown(wrong) for _ in range(50))) == [None] * 50
    assert stored.source.counts.targeted_reads == 1
    stored.clock.advance(s=4.9)
    await stored.source.resolve_unknown(wrong)
    assert stored.source.counts.targeted_reads == 1
    stored.clock.advance(s=0.2)
    await stored.source.resolve_unknown(wrong)
    assert stored.source.counts.targeted_reads == 2


async def test_invented_tenants_cannot_use_up_the_stores_quota(stored: StoreWorld) -> None:
    await asyncio.gather(
        *(stored.source.resolve_unknown(key(TenantId(f"invented-{n}"), 1)) for n in range(100))
    )
    assert stored.source.counts.targeted_reads == 20
    assert stored.source.counts.refused_targeted_reads == 80


async def test_who_stops_waiting_takes_the_answer_from_nobody(stored: StoreWorld) -> None:
    minted = await Tenants(stored.ssm, stored.clock, prefix=stored.prefix).create(
        TenantPolicy(tenant_id=ACME)
    )
    leaving = asyncio.create_task(stored.source.resolve_unknown(minted))
    staying = asyncio.create_task(stored.source.resolve_unknown(minted))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is not None


@pytest.mark.parametrize(
    "broken",
    [("policy", "{"), ("policy", '{"content_mod": "full"}'), ("eval_sample_rate", "2"), ("api_keys", "x")],
)
async def test_a_broken_tenant_keeps_its_last_good_documents_and_harms_no_other(
    stored: StoreWorld, broken: tuple[str, str]
) -> None:
    acme = TenantPolicy(tenant_id=ACME, content_mode=ContentMode.HASH_ONLY)
    await stored.store(acme, apikeys.record_of(key(ACME, 1), START))
    await stored.store(TenantPolicy(tenant_id=GLOBEX), apikeys.record_of(key(GLOBEX, 2), START))
    name, value = broken
    await stored.put(f"acme/{name}", value)
    await stored.put("globex-health/eval_sample_rate", "0.25")
    assert await stored.source.refresh()
    assert list(stored.source.broken) == ["acme"]
    assert name in stored.source.broken["acme"]
    assert stored.source.resolve(key(ACME, 1)) == acme
    assert await stored.source.resolve_unknown(key(ACME, 7)) is None
    assert stored.source.resolve(key(ACME, 1)) == acme
    globex = stored.source.resolve(key(GLOBEX, 2))
    assert globex is not None
    assert globex.eval_sample_rate == 0.25


async def test_a_removed_tenant_is_gone_after_a_refresh(stored: StoreWorld) -> None:
    await stored.store(TenantPolicy(tenant_id=ACME), apikeys.record_of(key(ACME, 1), START))
    names = [f"{stored.prefix}/acme/{name}" for name in ("policy", "eval_sample_rate", "api_keys")]
    await stored.ssm.delete_parameters(Names=names)
    assert await stored.source.refresh()
    assert stored.source.resolve(key(ACME, 1)) is None


@pytest.mark.parametrize(
    "value",
    [
        "0.1",
        "{}",
        json.dumps({"factor": -1, "expires_at": "2099-01-01T13:00:00Z", "writer": "x"}),
        json.dumps({"factor": 2, "expires_at": "2099-01-01T13:00:00Z", "writer": "x"}),
        '{"factor": NaN, "expires_at": "2099-01-01T13:00:00Z", "writer": "x"}',
        json.dumps({"factor": 0, "expires_at": "2099-01-01T13:00:00", "writer": "no time zone"}),
        json.dumps({"factor": 0, "writer": "no expiry"}),
    ],
)
async def test_a_malformed_brake_brakes_nothing(stored: StoreWorld, value: str) -> None:
    await stored.put("_platform/sampling_factor/lag", value)
    assert await stored.source.refresh()
    assert stored.source.sampling_factor(START) == 1.0


async def test_the_last_good_copy_goes_on_while_the_store_is_down(tmp_path_factory: Any) -> None:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws, store_world(aws.url) as world:
        policy = TenantPolicy(tenant_id=ACME)
        await world.store(policy, apikeys.record_of(key(ACME, 1), START))
        await aws.kill()
        world.clock.advance(s=90)
        assert not await world.source.refresh()
        assert world.source.age_s == 90
        assert world.source.resolve(key(ACME, 1)) == policy
        assert await world.source.resolve_unknown(key(ACME, 2)) is None
        assert world.source.counts.failed_loads == 1
        assert world.source.counts.failed_targeted_reads == 1


async def test_a_good_key_is_not_called_bad_before_anything_was_read(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with ParameterPolicySource(lambda: client_of(url), FakeClock()) as source:
        assert source.age_s is None
        with pytest.raises(GatewayOverloaded):
            await source.resolve_unknown(key(ACME, 1))


async def test_refreshing_goes_on_by_itself(aws: Emulator) -> None:
    prefix, clock = f"/llm-platform-{uuid4().hex}", FakeClock()
    async with client_of(aws.url) as ssm:
        tenants = Tenants(ssm, clock, prefix=prefix)
        source = ParameterPolicySource(lambda: client_of(aws.url), clock, prefix=prefix, refresh_s=0.05)
        async with source:
            minted = await tenants.create(TenantPolicy(tenant_id=ACME))
            await eventually(lambda: source.resolve(minted) is not None or None)
            (record,) = (await tenants.get(ACME)).keys
            await tenants.revoke_key(ACME, record.id)
            await eventually(lambda: source.resolve(minted) is None or None)


async def test_rotation_lets_clients_change_over(stored: StoreWorld) -> None:
    tenants = Tenants(stored.ssm, stored.clock, prefix=stored.prefix)
    first = await tenants.create(TenantPolicy(tenant_id=ACME))
    second = await tenants.add_key(ACME, retire_others_after=timedelta(hours=1))
    assert await stored.source.refresh()
    assert stored.source.resolve(first) is not None
    assert stored.source.resolve(second) is not None
    stored.clock.advance(s=7_200)
    assert stored.source.resolve(first) is None
    assert stored.source.resolve(second) is not None
    third = await tenants.add_key(ACME, retire_others_after=timedelta())
    assert [record.sha256 for record in (await tenants.get(ACME)).keys] == [apikeys.key_hash(third)]


async def test_what_the_operator_cannot_do_is_told(stored: StoreWorld) -> None:
    tenants = Tenants(stored.ssm, stored.clock, prefix=stored.prefix)
    with pytest.raises(TenantFault, match="no tenant acme"):
        await tenants.get(ACME)
    with pytest.raises(TenantFault, match="no tenant acme"):
        await tenants.add_key(ACME)
    await tenants.create(TenantPolicy(tenant_id=ACME))
    with pytest.raises(TenantFault, match="exists already"):
        await tenants.create(TenantPolicy(tenant_id=ACME))
    with pytest.raises(TenantFault, match="has no key 123"):
        await tenants.revoke_key(ACME, "123")
    await stored.put("globex-health/policy", "{")
    broken, _ = sorted(await tenants.list(), key=lambda tenant: tenant.policy is not None)
    assert (broken.tenant_id, broken.policy) == (GLOBEX, None)
    assert broken.problem is not None
    assert "not valid JSON" in broken.problem


async def test_a_tenant_cannot_have_more_keys_than_fit(stored: StoreWorld) -> None:
    tenants = Tenants(stored.ssm, stored.clock, prefix=stored.prefix)
    await tenants.create(TenantPolicy(tenant_id=ACME))
    for _ in range(apikeys.MAX_KEYS_PER_TENANT - 1):
        await tenants.add_key(ACME)
    with pytest.raises(TenantFault, match="the most there can be"):
        await tenants.add_key(ACME)
