from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

from llmplatform import apikeys
from llmplatform.aws.parameters import InMemoryPolicySource, ParameterPolicySource, parse_tenant
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.testing import FakeClock


def test_a_tenant_without_keys_or_rate_is_whole() -> None:
    tenant = parse_tenant(TenantId("acme"), {"policy": "{}"})
    assert tenant.policy == TenantPolicy(tenant_id=TenantId("acme"))
    assert tenant.keys == ()


def test_resolving_awaits_nothing_and_follows_what_was_put() -> None:
    source = InMemoryPolicySource(SystemClock())
    tenant = TenantId("a" * 48)
    key = apikeys.mint(tenant, bytes(range(32)))
    policy = TenantPolicy(tenant_id=tenant)
    source.put(policy, apikeys.record_of(key, datetime.now(UTC)))
    assert source.resolve(key) is policy
    source.put(policy)
    assert source.resolve(key) is None


class SlowStore:
    """A Parameter Store with nothing in it, that takes three seconds to say so."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def get_paginator(self, _operation: str) -> Self:
        return self

    async def paginate(self, **_: Any) -> AsyncIterator[dict[str, Any]]:
        self._clock.advance(s=3)
        yield {"Parameters": []}


async def test_what_was_read_is_as_old_as_the_beginning_of_the_reading() -> None:
    """A tenant that is made meanwhile may be missing: nothing of it is to be called nobody's."""
    clock = FakeClock()

    @asynccontextmanager
    async def client() -> AsyncIterator[Any]:
        yield SlowStore(clock)

    async with ParameterPolicySource(client, clock) as source:
        assert source.age_s == 3
