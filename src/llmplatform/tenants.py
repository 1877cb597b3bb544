"""Tenants as the operator sees them: create, list, change, remove, and their keys, in Parameter Store.

The one writer of `policy`, `eval_sample_rate` and `api_keys`; who reads them at request time is
`llmplatform.aws.parameters`. A key is returned once, when it is minted: only its hash is stored.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from llmplatform import apikeys, ids
from llmplatform.apikeys import KeyRecord
from llmplatform.aws.parameters import API_KEYS, EVAL_SAMPLE_RATE, POLICY, PREFIX, parse_tenant
from llmplatform.aws.tables import ACCESS_KEY
from llmplatform.clock import Clock
from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient


_NAMES_PER_DELETE: Final = 10  # the most that DeleteParameters takes


class TenantFault(ConfigFault):
    """What the operator asked for cannot be done: no such tenant or key, or one that is there already."""

    code = "tenant"


@dataclass(frozen=True, slots=True)
class StoredTenant:
    """A tenant's documents. `policy` is None when they do not parse; `problem` then says why."""

    tenant_id: TenantId
    policy: TenantPolicy | None
    keys: tuple[KeyRecord, ...] = ()
    problem: str | None = None


class Tenants:
    """Tenants in Parameter Store, through an open client."""

    def __init__(self, ssm: "SSMClient", clock: Clock, *, prefix: str = PREFIX) -> None:
        self._ssm = ssm
        self._clock = clock
        self._prefix = prefix.rstrip("/")

    async def create(self, policy: TenantPolicy, *, key: str | None = None) -> str:
        """Store a new tenant and return its first key, minted unless one is given.

        Raises TenantFault if the tenant exists. Keys are stored before the policy: a tenant appears whole.
        """
        tenant = policy.tenant_id
        await self.check_free(tenant)
        key = key or apikeys.mint(tenant, secrets.token_bytes(32))
        await self._put_keys(tenant, (apikeys.record_of(key, self._clock.now()),), overwrite=False)
        await self.put_policy(policy)
        return key

    async def check_free(self, tenant: TenantId) -> None:
        """Raise TenantFault if there is a tenant of that name."""
        if await self._documents(tenant):
            raise TenantFault(f"tenant {tenant} exists already; `tenant show {tenant}` shows it")

    async def put_policy(self, policy: TenantPolicy) -> None:
        """Store or replace a tenant's policy and sample rate."""
        document = policy.model_dump_json(
            exclude={"eval_sample_rate", "tenant_id"}, exclude_defaults=True, exclude_none=True
        )
        await self._put(policy.tenant_id, EVAL_SAMPLE_RATE, str(policy.eval_sample_rate))
        await self._put(policy.tenant_id, POLICY, document)

    async def list(self, *, keys: bool = True) -> tuple[StoredTenant, ...]:
        """All tenants by name, those with broken documents too; `keys` decrypts the records of their keys."""
        found: dict[TenantId, dict[str, str]] = {}
        paginator = self._ssm.get_paginator("get_parameters_by_path")
        async for page in paginator.paginate(Path=self._prefix, Recursive=True, WithDecryption=keys):
            for parameter in page["Parameters"]:
                owner, _, name = parameter["Name"].removeprefix(f"{self._prefix}/").partition("/")
                tenant = ids.tenant_id(owner)
                if tenant is not None and (keys or parameter["Type"] != "SecureString"):
                    found.setdefault(tenant, {})[name] = parameter["Value"]
        return tuple(_stored(tenant, found[tenant]) for tenant in sorted(found))

    async def get(self, tenant: TenantId) -> StoredTenant:
        """One tenant. Raises TenantFault if there is none of that name."""
        documents = await self._documents(tenant)
        if not documents:
            raise TenantFault(f"no tenant {tenant}; `tenant list` shows those there are")
        return _stored(tenant, documents)

    async def remove(self, tenant: TenantId) -> None:
        """Delete all of a tenant's parameters; gateways refuse its keys within a minute.

        What it did stays: ledger rows until their time to live ends, samples and logs as long as they are
        kept. Raises TenantFault if there is no such tenant.
        """
        paginator = self._ssm.get_paginator("get_parameters_by_path")
        names: list[str] = []
        async for page in paginator.paginate(Path=f"{self._prefix}/{tenant}", Recursive=True):
            names += [parameter["Name"] for parameter in page["Parameters"]]
        if not names:
            raise TenantFault(f"no tenant {tenant}; `tenant list` shows those there are")
        for start in range(0, len(names), _NAMES_PER_DELETE):
            await self._ssm.delete_parameters(Names=names[start : start + _NAMES_PER_DELETE])

    async def add_key(
        self, tenant: TenantId, *, key: str | None = None, retire_others_after: timedelta | None = None
    ) -> str:
        """Give a tenant another key (minted unless given) and return it.

        `retire_others_after` makes the keys it has expire that much later, so that clients can change over.
        """
        now = self._clock.now()
        present = tuple(record for record in (await self._keys(tenant)) if record.live_at(now))
        if len(present) >= apikeys.MAX_KEYS_PER_TENANT:
            raise TenantFault(
                f"tenant {tenant} has {len(present)} keys, the most there can be; revoke one first"
            )
        if retire_others_after is not None:
            present = tuple(_expiring(record, now + retire_others_after) for record in present)
        key = key or apikeys.mint(tenant, secrets.token_bytes(32))
        kept = tuple(record for record in present if record.live_at(now))
        await self._put_keys(tenant, (*kept, apikeys.record_of(key, now)))
        return key

    async def revoke_key(self, tenant: TenantId, key_id: str) -> None:
        """Take a key from a tenant. Gateways stop taking it within their next refresh, a minute at most."""
        present = await self._keys(tenant)
        rest = tuple(record for record in present if record.id != key_id)
        if len(rest) == len(present):
            known = ", ".join(record.id for record in present) or "none"
            raise TenantFault(f"tenant {tenant} has no key {key_id}; its keys: {known}")
        await self._put_keys(tenant, rest)

    async def _keys(self, tenant: TenantId) -> tuple[KeyRecord, ...]:
        documents = await self._documents(tenant)
        if not documents:
            raise TenantFault(f"no tenant {tenant}; `tenant list` shows those there are")
        return apikeys.parse_key_records(tenant, documents.get(API_KEYS, "[]"))

    async def _documents(self, tenant: TenantId) -> Mapping[str, str]:
        names = [f"{self._prefix}/{tenant}/{name}" for name in (POLICY, EVAL_SAMPLE_RATE, API_KEYS)]
        answer = await self._ssm.get_parameters(Names=names, WithDecryption=True)
        return {
            parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in answer["Parameters"]
        }

    async def _put_keys(
        self, tenant: TenantId, records: tuple[KeyRecord, ...], *, overwrite: bool = True
    ) -> None:
        await self._ssm.put_parameter(
            Name=f"{self._prefix}/{tenant}/{API_KEYS}",
            Value=apikeys.render_key_records(records),
            Type="SecureString",
            KeyId=ACCESS_KEY.alias,  # AWS's own key for parameters may be used by everybody in the account
            Overwrite=overwrite,
        )

    async def _put(self, tenant: TenantId, name: str, value: str) -> None:
        await self._ssm.put_parameter(
            Name=f"{self._prefix}/{tenant}/{name}", Value=value, Type="String", Overwrite=True
        )


def _stored(tenant_id: TenantId, documents: Mapping[str, str]) -> StoredTenant:
    try:
        tenant = parse_tenant(tenant_id, documents)
    except ConfigFault as fault:
        return StoredTenant(tenant_id, None, problem=str(fault))
    return StoredTenant(tenant_id, tenant.policy, tenant.keys)


def _expiring(record: KeyRecord, moment: datetime) -> KeyRecord:
    """The record, expiring at `moment` at the latest."""
    if record.expires_at is not None and record.expires_at <= moment:
        return record
    return record.model_copy(update={"expires_at": moment})
