"""Three tenants whose policies differ in all that a policy decides, and the roles, with keys that stay."""

import secrets
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmplatform import apikeys
from llmplatform.aws.access import AccessStore
from llmplatform.aws.tenant_key import alias_of, provide_tenant_key
from llmplatform.clock import Clock
from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, Objectives, TenantPolicy
from llmplatform.tenants import TenantFault, Tenants
from sandbox.state import SeededTenant, read_keys, write_keys

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_kms import KMSClient
    from types_aiobotocore_ssm import SSMClient
    from types_aiobotocore_sts import STSClient

SEEDED: Final = (
    TenantPolicy(
        tenant_id=TenantId("acme"),
        display_name="Acme Robotics",
        content_mode=ContentMode.FULL,
        log_content=True,
        eval_sample_rate=1.0,  # on a laptop, every request shows what a sample looks like
        daily_budget_usd=Decimal(25),
    ),
    TenantPolicy(
        tenant_id=TenantId("globex-health"),
        display_name="Globex Health",
        content_mode=ContentMode.HASH_ONLY,
        allowed_models=frozenset({"smollm2-135m", "smollm2-135m-dedicated"}),
        objectives=Objectives(ttft_p50_ms=1_500, ttft_p99_ms=8_000),
        max_in_flight=4,
    ),
    TenantPolicy(
        tenant_id=TenantId("initech-bank"),
        display_name="Initech Bank",
        content_mode=ContentMode.FULL,
        eval_sample_rate=1.0,
        kms_key=alias_of(TenantId("initech-bank")),
    ),
)


async def seed(
    ssm: "SSMClient", kms: "KMSClient", sts: "STSClient", state: Path, clock: Clock
) -> tuple[SeededTenant, ...]:
    """Put in the tenants that are missing; one that is there keeps its policy, and gets its key back."""
    tenants = Tenants(ssm, clock)
    keys = read_keys(state)
    for policy in SEEDED:
        tenant = policy.tenant_id
        if policy.kms_key is not None:
            await provide_tenant_key(kms, sts, tenant)
        key = keys.get(tenant)
        if key is None or apikeys.tenant_of(key) != tenant:
            key = keys[tenant] = apikeys.mint(tenant, secrets.token_bytes(32))
        try:
            records = (await tenants.get(tenant)).keys
        except TenantFault:
            await tenants.create(policy, key=key)
        else:
            if apikeys.matching(records, apikeys.key_hash(key)) is None:
                await tenants.add_key(tenant, key=key)
    write_keys(state, keys)
    return tuple(SeededTenant(tenant_id=p.tenant_id, api_key=keys[p.tenant_id]) for p in SEEDED)


async def seed_roles(ssm: "SSMClient", state: Path, clock: Clock) -> dict[str, str]:
    """Give every role the key that it had at the last start, or one to begin with; by role."""
    access = AccessStore(ssm, clock)
    keys = read_keys(state)
    for role in apikeys.ROLES:
        key = keys.get(f"role/{role}")
        if key is None or apikeys.role_of(key) != role:
            key = keys[f"role/{role}"] = apikeys.mint_role_key(role, secrets.token_bytes(32))
        await access.provide(role, key)
    write_keys(state, keys)
    return {role: keys[f"role/{role}"] for role in apikeys.ROLES}
