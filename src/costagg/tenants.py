"""Which tenants there are and were, and what their budgets are: from Parameter Store."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from llmplatform.clock import Clock
from llmplatform.erasure import Tombstones
from llmplatform.errors import ConfigFault
from llmplatform.policy import TenantPolicy
from llmplatform.redaction import describe_fault
from llmplatform.tenants import Tenants

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnownTenants:
    """Tenants as Parameter Store has them."""

    configured: tuple[str, ...]
    """Those with a policy, whether it parses or not."""
    erased: tuple[str, ...]
    policies: Mapping[str, TenantPolicy]
    """Of those whose policy parses."""


class TenantSource:
    """Tenants behind an open client."""

    def __init__(self, ssm: "SSMClient", clock: Clock) -> None:
        self._tenants = Tenants(ssm, clock)
        self._tombstones = Tombstones(ssm)

    async def read(self) -> KnownTenants | None:
        """All of them; None where they cannot be read whole: some would be missed."""
        try:
            stored = await self._tenants.list(keys=False)
            tombstones = await self._tombstones.list()
        except (BotoCoreError, ClientError, ConfigFault, OSError, aiohttp.ClientError) as error:
            logger.error("tenants cannot be read: %s", describe_fault(error))  # noqa: TRY400
            return None
        return KnownTenants(
            configured=tuple(tenant.tenant_id for tenant in stored),
            erased=tuple(tombstone.tenant_id for tombstone in tombstones),
            policies={tenant.tenant_id: tenant.policy for tenant in stored if tenant.policy is not None},
        )
