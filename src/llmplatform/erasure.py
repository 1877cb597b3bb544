"""Tombstones: which tenants were erased, when, and with which key.

One parameter a tenant, `/llm-platform/_platform/erased/{tenant_id}`. What an erased tenant did is still in
the ledger and has to be paid for: the cost job finds here whose rows those are. Who erases is
`llmplatform.aws.erasure`.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from llmplatform.aws.parameters import PREFIX
from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient

ERASED: Final = "_platform/erased"


class Tombstone(BaseModel):
    """What is left of a tenant that was erased."""

    model_config = ConfigDict(frozen=True)

    tenant_id: TenantId
    erased_at: AwareDatetime
    """When it was erased for the first time; erasing it again does not move this."""
    kms_key: str | None = None
    """ARN of the key that its content was under."""
    key_deleted_at: datetime | None = None
    """When KMS deletes that key for good; until then the deletion can be cancelled."""


class Tombstones:
    """Tombstones in Parameter Store, through an open client."""

    def __init__(self, ssm: "SSMClient", *, prefix: str = PREFIX) -> None:
        self._ssm = ssm
        self._folder = f"{prefix.rstrip('/')}/{ERASED}"

    async def put(self, tombstone: Tombstone) -> None:
        """Store a tombstone, or replace the tenant's former one."""
        await self._ssm.put_parameter(
            Name=f"{self._folder}/{tombstone.tenant_id}",
            Value=tombstone.model_dump_json(exclude_none=True),
            Type="String",
            Overwrite=True,
        )

    async def get(self, tenant: TenantId) -> Tombstone | None:
        """A tenant's tombstone, or None where it was never erased."""
        answer = await self._ssm.get_parameters(Names=[f"{self._folder}/{tenant}"])
        return next((_parsed(one["Name"], one["Value"]) for one in answer["Parameters"]), None)

    async def list(self) -> tuple[Tombstone, ...]:
        """All tombstones by tenant. Raises ConfigFault when one does not parse: none is passed over."""
        paginator = self._ssm.get_paginator("get_parameters_by_path")
        found = [
            _parsed(one["Name"], one["Value"])
            async for page in paginator.paginate(Path=self._folder)
            for one in page["Parameters"]
        ]
        return tuple(sorted(found, key=lambda tombstone: tombstone.tenant_id))


def _parsed(name: str, document: str) -> Tombstone:
    try:
        return Tombstone.model_validate_json(document)
    except ValidationError as error:
        raise ConfigFault(f"parameter {name} is no tombstone") from error
