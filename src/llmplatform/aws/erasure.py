"""Erases a tenant: first its key, then its parameters, then what is not under the key; and proves it.

Every step can be repeated, and the whole can: after a crash in the middle the same call goes on, and the
tombstone says with which key. What content is stored where is `stored_content`'s.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llmplatform.aws.envelope import (
    ContentKeys,
    ContentTampered,
    DataKeyLimits,
    KeyServiceFailed,
    KeyUnavailable,
)
from llmplatform.aws.stored_content import OnStream, Sealed, StoredContent
from llmplatform.clock import Clock
from llmplatform.erasure import Tombstone, Tombstones
from llmplatform.ids import TenantId
from llmplatform.tenants import StoredTenant, TenantFault, Tenants

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_kms import KMSClient

WAITING_PERIOD_DAYS: Final = 7  # the least that KMS takes
# Gateways and workers read policies within a minute; what they had begun is stored soon after.
SETTLE_S: Final = 75.0

# For the proof: each ciphertext is tried at KMS itself.
NO_MEMORY: Final = DataKeyLimits(unavailable_for_s=0.0, failed_for_s=0.0)

_GONE: Final = frozenset({"KMSInvalidStateException", "NotFoundException"})


@dataclass(frozen=True, slots=True)
class Key:
    """The key that a tenant's content is under."""

    arn: str
    deleted_at: datetime | None
    """When it is deleted for good; None where it is gone already."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of the attempt to open stored ciphertexts."""

    tried: int
    opened_before: int
    """Of those, how many could be opened before the key went; fewer where it had gone before."""
    opened_now: int
    refused_now: dict[str, int] = field(default_factory=dict)
    """By the reason that KMS gave."""

    @property
    def holds(self) -> bool:
        """Whether none can be opened, and for the reason that the key is gone or the ciphertext is none."""
        return self.opened_now == 0 and self.refused_now.keys() <= _GONE | {ContentTampered.code}


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done, and what was found afterwards."""

    tombstone: Tombstone
    key: Key | None
    results_cleared: int
    results_under_key: int
    history_deleted: int
    proof: Proof
    results_readable: int
    """Found after the end, as the next: both are to be 0."""
    history_left: int
    stream: OnStream
    """Cannot be deleted: ages out."""
    content_log_events: int
    """Likewise."""

    @property
    def proven(self) -> bool:
        """Whether nothing is readable but what can only age out."""
        return self.proof.holds and not (self.results_readable or self.history_left)


class Eraser:
    """Erases one tenant, through open clients. `open_keys` makes a ContentKeys of `NO_MEMORY`."""

    def __init__(
        self,
        tenant: TenantId,
        *,
        tenants: Tenants,
        tombstones: Tombstones,
        kms: "KMSClient",
        stored: StoredContent,
        open_keys: Callable[[], ContentKeys],
        clock: Clock,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._tenant = tenant
        self._tenants = tenants
        self._tombstones = tombstones
        self._kms = kms
        self._stored = stored
        self._open_keys = open_keys
        self._clock = clock
        self._settle_s = settle_s

    async def key(self) -> str | None:
        """ARN of the key that is to be deleted, None where the tenant has none.

        Raises TenantFault where there is no such tenant, or where its key must not be deleted.
        """
        present = {stored.tenant_id: stored for stored in await self._tenants.list()}
        mine = present.pop(self._tenant, None)
        buried = await self._tombstones.get(self._tenant)
        if mine is None and buried is None:
            raise TenantFault(f"no tenant {self._tenant}; `tenant list` shows those there are")
        if mine is not None and mine.policy is None:
            raise TenantFault(f"{mine.problem}; correct its parameter first: it names the key to delete")
        named = mine.policy.kms_key if mine is not None and mine.policy is not None else None
        if named is None:
            return buried.kms_key if buried is not None else None
        described = await self._describe(named)
        if described is None:
            raise TenantFault(
                f"KMS knows no key {named}; `tenant update --no-kms-key` if it is gone for good"
            )
        if described["KeyManager"] != "CUSTOMER":
            raise TenantFault(f"key {named} is AWS's own and cannot be deleted")
        if described.get("MultiRegion"):
            raise TenantFault(f"key {named} has copies in other regions: its owner has to delete them first")
        await self._check_not_shared(described["Arn"], present.values())
        return str(described["Arn"])

    async def erase(self, key_arn: str | None) -> Erased:
        """Do it, with the key that `key` told. Raises what the SDK raises; then call again."""
        sealed = await self._ciphertexts(key_arn)
        opened_before = await self._opened(sealed)
        key = await self._delete_key(key_arn) if key_arn is not None else None
        tombstone = await self._bury(key)
        await self._remove_parameters()
        done = await self._delete(key_arn)
        await asyncio.sleep(self._settle_s)
        done += await self._delete(key_arn)
        return await self._proven(tombstone, key, sealed, opened_before, done)

    async def _check_not_shared(self, arn: str, others: Iterable[StoredTenant]) -> None:
        for other in others:
            if other.policy is None:
                raise TenantFault(f"{other.problem}: it may use the same key; correct its parameter first")
            if other.policy.kms_key is None:
                continue
            described = await self._describe(other.policy.kms_key)
            if described is not None and described["Arn"] == arn:
                raise TenantFault(f"tenant {other.tenant_id} uses the same key: its content would go too")

    async def _describe(self, kms_key: str) -> Any:
        try:
            return (await self._kms.describe_key(KeyId=kms_key))["KeyMetadata"]
        except self._kms.exceptions.NotFoundException:
            return None

    async def _delete_key(self, arn: str) -> Key:
        described = await self._describe(arn)
        if described is None:
            return Key(arn, None)
        if described["KeyState"] == "PendingDeletion":
            return Key(arn, described.get("DeletionDate"))
        answer = await self._kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=WAITING_PERIOD_DAYS)
        return Key(arn, answer["DeletionDate"])

    async def _bury(self, key: Key | None) -> Tombstone:
        before = await self._tombstones.get(self._tenant)
        tombstone = Tombstone(
            tenant_id=self._tenant,
            erased_at=before.erased_at if before is not None else self._clock.now(),
            kms_key=key.arn if key is not None else None,
            key_deleted_at=key.deleted_at if key is not None else None,
        )
        await self._tombstones.put(tombstone)
        return tombstone

    async def _remove_parameters(self) -> None:
        try:
            await self._tenants.remove(self._tenant)
        except TenantFault:
            return  # by an earlier call, of which the tombstone tells

    async def _delete(self, key_arn: str | None) -> Counter[str]:
        return Counter(
            results=await self._stored.clear_results(key_arn),
            history=await self._stored.delete_history(),
        )

    async def _ciphertexts(self, key_arn: str | None) -> list[Sealed]:
        if key_arn is None:
            return []
        on_stream = await self._stored.on_stream(key_arn)
        return [*await self._stored.sealed_results(key_arn), *on_stream.sealed]

    async def _proven(
        self,
        tombstone: Tombstone,
        key: Key | None,
        sealed: Sequence[Sealed],
        opened_before: Counter[str],
        done: Counter[str],
    ) -> Erased:
        now = await self._opened(sealed)
        under_key, readable = await self._stored.count_results(tombstone.kms_key)
        return Erased(
            tombstone=tombstone,
            key=key,
            results_cleared=done["results"],
            results_under_key=under_key,
            history_deleted=done["history"],
            proof=Proof(
                tried=len(sealed),
                opened_before=opened_before[""],
                opened_now=now[""],
                refused_now={reason: number for reason, number in now.items() if reason},
            ),
            results_readable=readable,
            history_left=await self._stored.count_history(),
            stream=await self._stored.on_stream(tombstone.kms_key),
            content_log_events=await self._stored.in_content_log(),
        )

    async def _opened(self, sealed: Sequence[Sealed]) -> Counter[str]:
        """How many can be opened, under "", and the others by the reason that they cannot."""
        ends: Counter[str] = Counter()
        keys: ContentKeys = self._open_keys()
        try:
            for one in sealed:
                try:
                    await keys.open(
                        one.ciphertext,
                        kms_key=one.kms_key,
                        tenant_id=self._tenant,
                        request_id=one.request_id,
                    )
                except (KeyUnavailable, KeyServiceFailed) as fault:
                    ends[fault.reason] += 1
                except ContentTampered as fault:
                    ends[fault.code] += 1
                else:
                    ends[""] += 1
        finally:
            keys.close()
        return ends
