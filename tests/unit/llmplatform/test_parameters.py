from datetime import UTC, datetime

from llmplatform import apikeys
from llmplatform.aws.parameters import InMemoryPolicySource, parse_tenant
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy


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
