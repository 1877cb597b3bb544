"""`llm-platform tenant add --own-key`: a tenant with a KMS key of its own, or neither of the two."""

import asyncio

from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tenant_key import TenantKey, alias_of, give_up, provide_tenant_key
from llmplatform.clock import SystemClock
from llmplatform.policy import TenantPolicy
from llmplatform.tenants import Tenants
from operator_cli.console import ERR


def add_with_own_key(policy: TenantPolicy, region: str) -> str:
    """Make the key and then the tenant, and return its first API key. Raises TenantFault if it exists."""
    key, api_key = asyncio.run(_add(policy, region))
    ERR.print(f"[dim]its content is under {key.alias}, {'made' if key.made else 'kept'}: {key.arn}[/dim]")
    return api_key


async def _add(policy: TenantPolicy, region: str) -> tuple[TenantKey, str]:
    session = aws_session(region)
    async with session.client("ssm") as ssm, session.client("kms") as kms, session.client("sts") as sts:
        store = Tenants(ssm, SystemClock())
        await store.check_free(policy.tenant_id)
        key = await provide_tenant_key(
            kms, sts, policy.tenant_id, waiting=lambda line: ERR.print(f"[dim]{line}[/dim]")
        )
        try:
            owned = policy.model_copy(update={"kms_key": alias_of(policy.tenant_id)})
            return key, await store.create(owned)
        except BaseException:
            if key.made:
                await give_up(kms, key)
            raise
