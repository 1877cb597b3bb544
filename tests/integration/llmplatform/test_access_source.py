"""The roles' keys in Parameter Store on a real socket: read and kept, written by an operator."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import aioboto3
import pytest
import pytest_asyncio
from aiobotocore.config import AioConfig

from harness.platform import eventually
from llmplatform import apikeys
from llmplatform.access import MAX_KEYS_PER_ROLE
from llmplatform.aws.access import AccessFault, AccessSource, AccessStore
from llmplatform.aws.tables import ACCESS_KEY
from llmplatform.errors import ConfigFault, GatewayOverloaded
from llmplatform.ids import TenantId
from llmplatform.testing import FakeClock
from sandbox.emulator import REGION, Emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = apikeys.mint_role_key("billing", bytes(32))


def client_of(url: str) -> Any:
    session = aioboto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    config = AioConfig(retries={"total_max_attempts": 1})
    return session.client("ssm", endpoint_url=url, config=config)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a key that is not known waits for a reading as long as a busy machine takes."""
    monkeypatch.setattr("llmplatform.aws.access.READ_WITHIN_S", 60.0)


@dataclass
class World:
    """A store under a prefix of this test's own, and a source that reads it."""

    ssm: Any
    prefix: str
    clock: FakeClock
    store: AccessStore
    source: AccessSource

    async def put(self, document: str) -> None:
        name = f"{self.prefix}/_platform/access"
        await self.ssm.put_parameter(Name=name, Value=document, Type="SecureString", Overwrite=True)


async def world_at(url: str) -> AsyncIterator[World]:
    prefix, clock = f"/llm-platform-{uuid4().hex}", FakeClock()
    async with (
        client_of(url) as ssm,
        AccessSource(lambda: client_of(url), clock, prefix=prefix) as source,
    ):
        yield World(ssm, prefix, clock, AccessStore(ssm, clock, prefix=prefix), source)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@pytest_asyncio.fixture(loop_scope="module", name="world")
async def store_and_source(aws: Emulator) -> AsyncIterator[World]:
    async for world in world_at(aws.url):
        yield world


async def test_the_document_is_stored_under_the_key_of_access(world: World) -> None:
    await world.store.add_key("operator")
    described = await world.ssm.describe_parameters(
        ParameterFilters=[{"Key": "Name", "Values": [f"{world.prefix}/_platform/access"]}]
    )
    assert [(one["Type"], one["KeyId"]) for one in described["Parameters"]] == [
        ("SecureString", ACCESS_KEY.alias)
    ]


async def test_keys_open_their_roles_until_they_are_revoked(world: World) -> None:
    billing, operator = await world.store.add_key("billing"), await world.store.add_key("operator")
    assert await world.source.refresh()
    assert world.source.resolve(billing) == "billing"
    assert world.source.resolve(operator) == "operator"
    (record,) = (await world.store.list()).billing
    await world.store.revoke_key("billing", record.id)
    assert await world.source.refresh()
    assert world.source.resolve(billing) is None
    assert world.source.resolve(operator) == "operator"


async def test_what_is_stored_is_encrypted_and_hashed(world: World) -> None:
    key = await world.store.add_key("billing")
    name = f"{world.prefix}/_platform/access"
    parameter = (await world.ssm.get_parameter(Name=name, WithDecryption=True))["Parameter"]
    assert parameter["Type"] == "SecureString"
    assert key.rpartition("_")[2] not in parameter["Value"]


async def test_a_key_expires(world: World) -> None:
    key = await world.store.add_key("billing", expires_in=timedelta(hours=1))
    assert await world.source.resolve_unknown(key) == "billing"
    world.clock.advance(s=3_600)
    assert world.source.resolve(key) is None
    await world.store.add_key("billing")
    assert len((await world.store.list()).billing) == 1  # the expired one has gone


async def test_a_key_that_is_newer_than_the_copy_is_found(world: World) -> None:
    key = await world.store.add_key("billing")
    assert world.source.resolve(key) is None
    assert await world.source.resolve_unknown(key) == "billing"


async def test_unknown_keys_make_one_read_in_five_seconds(world: World) -> None:
    assert set(await asyncio.gather(*(world.source.resolve_unknown(UNKNOWN) for _ in range(20)))) == {None}
    key = await world.store.add_key("billing")
    world.clock.advance(s=4.9)
    assert await world.source.resolve_unknown(key) is None
    world.clock.advance(s=0.2)
    assert await world.source.resolve_unknown(key) == "billing"


async def test_a_tenants_key_asks_nothing(world: World) -> None:
    world.clock.advance(s=10)
    key = await world.store.add_key("billing")
    tenants = apikeys.mint(TenantId("billing"), bytes(32))
    assert await world.source.resolve_unknown(tenants) is None
    assert world.source.resolve(key) is None  # nothing was read


async def test_a_known_key_is_provided_once(world: World) -> None:
    for _ in range(3):
        await world.store.provide("billing", UNKNOWN)
    assert len((await world.store.list()).billing) == 1
    assert await world.source.resolve_unknown(UNKNOWN) == "billing"
    with pytest.raises(AccessFault, match="role operator"):
        await world.store.provide("operator", UNKNOWN)


async def test_a_broken_document_leaves_the_last_good_one_and_is_not_written_over(world: World) -> None:
    key = await world.store.add_key("billing")
    assert await world.source.refresh()
    await world.put('{"billing": "canary"}')
    assert not await world.source.refresh()
    assert world.source.resolve(key) == "billing"
    with pytest.raises(ConfigFault, match="billing: tuple_type"):
        await world.store.add_key("billing")


async def test_what_the_operator_cannot_do_is_told(world: World) -> None:
    with pytest.raises(AccessFault, match="role billing has no key nope; its keys: none"):
        await world.store.revoke_key("billing", "nope")
    for _ in range(MAX_KEYS_PER_ROLE):
        await world.store.add_key("operator")
    with pytest.raises(AccessFault, match="revoke one first"):
        await world.store.add_key("operator")
    await world.store.add_key("billing")


async def test_refreshing_goes_on_by_itself(aws: Emulator) -> None:
    prefix, clock = f"/llm-platform-{uuid4().hex}", FakeClock()
    async with (
        client_of(aws.url) as ssm,
        AccessSource(lambda: client_of(aws.url), clock, prefix=prefix, refresh_s=0.05) as source,
    ):
        store = AccessStore(ssm, clock, prefix=prefix)
        key = await store.add_key("billing")
        await eventually(lambda: source.resolve(key) == "billing" or None)
        (record,) = (await store.list()).billing
        await store.revoke_key("billing", record.id)
        await eventually(lambda: source.resolve(key) is None or None)


async def test_the_last_good_copy_goes_on_while_the_store_is_down(tmp_path_factory: Any) -> None:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        async for world in world_at(aws.url):
            key = await world.store.add_key("billing")
            assert await world.source.refresh()
            await aws.kill()
            world.clock.advance(s=90)
            assert not await world.source.refresh()
            assert world.source.age_s == 90
            assert world.source.resolve(key) == "billing"
            assert await world.source.resolve_unknown(UNKNOWN) is None


async def test_a_good_key_is_not_called_bad_before_anything_was_read(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with AccessSource(lambda: client_of(url), FakeClock()) as source:
        assert source.age_s is None
        with pytest.raises(GatewayOverloaded):
            await source.resolve_unknown(UNKNOWN)
