"""Tenant policies, API keys and the sampling brake, as a process reads them from Parameter Store.

`/llm-platform/{tenant_id}/` holds `policy`, `eval_sample_rate` and, as SecureString under the key of the
class "access", `api_keys`; `/llm-platform/_platform/sampling_factor/{reason}` holds the brake. The request
path asks memory only: a copy of all of it is read at the start and again within a minute, whole or not at
all. Who may read a path may read all that is below it (Systems Manager user guide, "How Parameter Store
authorizes parameter retrieval"): what keeps API keys from a process is that it may not decrypt. Who writes
these parameters is in `llmplatform.tenants`.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from pydantic import ValidationError

from llmplatform import apikeys, ids
from llmplatform.apikeys import KeyRecord
from llmplatform.clock import Clock
from llmplatform.errors import ConfigFault, GatewayOverloaded
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy, parse_policy
from llmplatform.process.refreshing import end, kept_fresh
from llmplatform.sampling import SamplingBrake, smallest_live

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient

logger = logging.getLogger(__name__)

PREFIX: Final = "/llm-platform"
POLICY: Final = "policy"
EVAL_SAMPLE_RATE: Final = "eval_sample_rate"
API_KEYS: Final = "api_keys"

REFRESH_S: Final = 45.0  # 36 to 54 s with the jitter: never over a minute
LOAD_WITHIN_S: Final = 30.0
READ_WITHIN_S: Final = 1.0
READ_AGAIN_AFTER_S: Final = 5.0
# A client may invent tenant ids. Parameter Store answers 40 reads a second for the whole account.
MAX_READS_PER_WINDOW: Final = 20
MAX_REMEMBERED_READS: Final = 1_000
NOT_LOADED_RETRY_AFTER_S: Final = 5
_BRAKES: Final = "_platform/sampling_factor/"
_PAGE: Final = 10  # the most that GetParametersByPath gives


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as the request path needs it."""

    policy: TenantPolicy
    keys: tuple[KeyRecord, ...] = ()


class PolicySource(Protocol):
    """Who is asking, and what they may do."""

    @property
    def age_s(self) -> float | None:
        """Seconds since the last whole reading of it began; None when there has been none yet."""
        ...

    @property
    def broken(self) -> Mapping[str, str]:
        """Tenants whose documents do not parse, with what is wrong; they keep their last good ones."""
        ...

    def resolve(self, api_key: str) -> TenantPolicy | None:
        """The policy of the tenant that `api_key` belongs to, from memory; None for a key not known here."""
        ...

    async def resolve_unknown(self, api_key: str) -> TenantPolicy | None:
        """The same for a key that `resolve` does not know, which may be newer than our copy.

        Bounded in time, and in how often it asks. Raises GatewayOverloaded when nothing was ever read, so
        that a good key is not called bad.
        """
        ...

    def still_opens(self, tenant_id: str, key_sha256: str) -> bool:
        """Whether the key with this hash is a tenant's, from memory: for a session that keeps no key."""
        ...

    def policy_of(self, tenant_id: str) -> TenantPolicy | None:
        """The policy of a tenant by its id, from memory: for work on its behalf, without its key."""
        ...

    def policies(self) -> tuple[TenantPolicy, ...]:
        """Every tenant's policy, from memory: for jobs that go through all of them."""
        ...

    def sampling_factor(self, now: datetime) -> float:
        """The smallest live sampling brake, 1 when there is none."""
        ...

    def sampling_brakes(self) -> Mapping[str, SamplingBrake]:
        """Every brake that was last read, by its reason, expired ones too: for who shows them."""
        ...


def resolve_in(tenants: Mapping[TenantId, Tenant], api_key: str, clock: Clock) -> TenantPolicy | None:
    """The policy that `api_key` opens among `tenants`; None for a wrong, revoked or expired key."""
    tenant_id = apikeys.tenant_of(api_key)
    tenant = tenants.get(tenant_id) if tenant_id is not None else None
    return tenant.policy if tenant is not None and _holds(tenant, apikeys.key_hash(api_key), clock) else None


def _still_opens(tenants: Mapping[TenantId, Tenant], tenant_id: str, key_sha256: str, clock: Clock) -> bool:
    tenant = tenants.get(TenantId(tenant_id))
    return tenant is not None and _holds(tenant, key_sha256, clock)


def _holds(tenant: Tenant, key_sha256: str, clock: Clock) -> bool:
    record = apikeys.matching(tenant.keys, key_sha256)
    return record is not None and (record.expires_at is None or record.live_at(clock.now()))


def _policy_in(tenants: Mapping[TenantId, Tenant], tenant_id: str) -> TenantPolicy | None:
    tenant = tenants.get(TenantId(tenant_id))
    return None if tenant is None else tenant.policy


def parse_tenant(tenant_id: TenantId, documents: Mapping[str, str]) -> Tenant:
    """The tenant that its documents, by name, spell. Raises ConfigFault that quotes no value."""
    if POLICY not in documents:
        raise ConfigFault(f"policy of tenant {tenant_id}: missing")
    policy = parse_policy(tenant_id, documents[POLICY], documents.get(EVAL_SAMPLE_RATE))
    return Tenant(policy, apikeys.parse_key_records(tenant_id, documents.get(API_KEYS, "[]")))


class InMemoryPolicySource:
    """Tenants handed in: for tests, and for a process that gets its tenants from elsewhere."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants: dict[TenantId, Tenant] = {}
        self._brakes: Mapping[str, SamplingBrake] = {}
        self.age_s: float | None = 0.0
        self.broken: Mapping[str, str] = MappingProxyType({})

    def put(self, policy: TenantPolicy, *keys: KeyRecord) -> None:
        """Set a tenant's policy and all of its keys."""
        self._tenants[policy.tenant_id] = Tenant(policy, keys)

    def brake(self, **brakes: SamplingBrake) -> None:
        """Set all sampling brakes, by reason."""
        self._brakes = brakes

    def resolve(self, api_key: str) -> TenantPolicy | None:
        """See PolicySource."""
        return resolve_in(self._tenants, api_key, self._clock)

    async def resolve_unknown(self, api_key: str) -> TenantPolicy | None:
        """See PolicySource: nothing is newer than memory."""
        return self.resolve(api_key)

    def still_opens(self, tenant_id: str, key_sha256: str) -> bool:
        """See PolicySource."""
        return _still_opens(self._tenants, tenant_id, key_sha256, self._clock)

    def policy_of(self, tenant_id: str) -> TenantPolicy | None:
        """See PolicySource."""
        return _policy_in(self._tenants, tenant_id)

    def policies(self) -> tuple[TenantPolicy, ...]:
        """See PolicySource."""
        return tuple(tenant.policy for tenant in self._tenants.values())

    def sampling_factor(self, now: datetime) -> float:
        """See PolicySource."""
        return smallest_live(self._brakes.values(), now)

    def sampling_brakes(self) -> Mapping[str, SamplingBrake]:
        """See PolicySource."""
        return self._brakes


@dataclass(slots=True)
class ReadCounts:
    """What became of the readings of Parameter Store, since the start."""

    loads: int = 0
    failed_loads: int = 0
    targeted_reads: int = 0
    failed_targeted_reads: int = 0
    refused_targeted_reads: int = 0
    """Not made, because too many keys of unknown tenants came at once."""


class ParameterPolicySource:
    """Tenants from Parameter Store: `async with ParameterPolicySource(lambda: session.client("ssm"), clock)`.

    Entering reads once and does not fail if that fails: `age_s` stays None and the reading goes on. Without
    `keys` nothing is decrypted, and no API key opens anything: for who works for tenants and serves none.
    """

    def __init__(
        self,
        open_client: "Callable[[], AbstractAsyncContextManager[SSMClient]]",
        clock: Clock,
        *,
        refresh_s: float = REFRESH_S,
        prefix: str = PREFIX,
        keys: bool = True,
    ) -> None:
        self._open_client = open_client
        self._clock = clock
        self._refresh_s = refresh_s
        self._prefix = prefix.rstrip("/")
        self._keys = keys
        self._copy = _Copy()
        self._loaded_ns: int | None = None
        self._exit = contextlib.AsyncExitStack()
        self._ssm: SSMClient | None = None
        self._reads: dict[TenantId, asyncio.Task[None]] = {}
        self._read_ns: OrderedDict[TenantId, int] = OrderedDict()
        self._recent_reads_ns: deque[int] = deque(maxlen=MAX_READS_PER_WINDOW)
        self.counts = ReadCounts()

    @property
    def age_s(self) -> float | None:
        """See PolicySource."""
        return None if self._loaded_ns is None else self._seconds_since(self._loaded_ns)

    @property
    def broken(self) -> Mapping[str, str]:
        """See PolicySource."""
        return self._copy.broken

    def resolve(self, api_key: str) -> TenantPolicy | None:
        """See PolicySource."""
        return resolve_in(self._copy.tenants, api_key, self._clock)

    def still_opens(self, tenant_id: str, key_sha256: str) -> bool:
        """See PolicySource."""
        return _still_opens(self._copy.tenants, tenant_id, key_sha256, self._clock)

    def policy_of(self, tenant_id: str) -> TenantPolicy | None:
        """See PolicySource."""
        return _policy_in(self._copy.tenants, tenant_id)

    def policies(self) -> tuple[TenantPolicy, ...]:
        """See PolicySource."""
        return tuple(tenant.policy for tenant in self._copy.tenants.values())

    def sampling_factor(self, now: datetime) -> float:
        """See PolicySource."""
        return smallest_live(self._copy.brakes.values(), now)

    def sampling_brakes(self) -> Mapping[str, SamplingBrake]:
        """See PolicySource."""
        return self._copy.brakes

    async def resolve_unknown(self, api_key: str) -> TenantPolicy | None:
        """See PolicySource: reads that one tenant, once for all who wait for it."""
        tenant = apikeys.tenant_of(api_key)
        if tenant is None or not self._keys:
            return None
        read = self._reads.get(tenant) or self._begin_read(tenant)
        if read is not None:
            # Shielded: who waits for the answer may leave, others wait for it too.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(read), READ_WITHIN_S)
        if self._loaded_ns is None and tenant not in self._copy.tenants:
            raise GatewayOverloaded("tenants are not loaded yet", retry_after_s=NOT_LOADED_RETRY_AFTER_S)
        return self.resolve(api_key)

    async def refresh(self) -> bool:
        """Read everything now; tells whether that worked. The copy is replaced whole or not at all."""
        # What is written while we read may be missing from what we get.
        begun_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                parameters = await self._read_all()
        except Exception as error:  # whatever fails, the last good copy stays
            self.counts.failed_loads += 1
            logger.warning("tenant parameters not read", exc_info=error)
            return False
        known = self._copy
        self._copy = _Copy.of(parameters, known)
        self._loaded_ns = begun_ns
        self.counts.loads += 1
        for tenant, problem in self._copy.broken.items():
            if known.broken.get(tenant) != problem:
                logger.error("tenant %s keeps its last good documents: %s", tenant, problem)
        return True

    async def __aenter__(self) -> Self:
        """Open the client, read once, and keep reading beside the request path."""
        self._ssm = await self._exit.enter_async_context(self._open_client())
        try:
            await self._exit.enter_async_context(
                kept_fresh(self.refresh, every_s=self._refresh_s, name="tenant-parameters")
            )
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading and close the client."""
        for read in list(self._reads.values()):
            await end(read)
        await self._exit.aclose()

    async def _read_all(self) -> dict[str, str]:
        paginator = self._client().get_paginator("get_parameters_by_path")
        parameters = {}
        async for page in paginator.paginate(
            Path=self._prefix,
            Recursive=True,
            WithDecryption=self._keys,
            PaginationConfig={"PageSize": _PAGE},
        ):
            for parameter in page["Parameters"]:
                if self._keys or parameter["Type"] != "SecureString":
                    parameters[parameter["Name"].removeprefix(f"{self._prefix}/")] = parameter["Value"]
        return parameters

    def _begin_read(self, tenant: TenantId) -> asyncio.Task[None] | None:
        """Start reading one tenant, unless that was done a moment ago or too much is being read."""
        now_ns = self._clock.monotonic_ns()
        last_ns = self._read_ns.get(tenant)
        if last_ns is not None and self._seconds_since(last_ns) < READ_AGAIN_AFTER_S:
            return None
        recent = self._recent_reads_ns
        if len(recent) == recent.maxlen and self._seconds_since(recent[0]) < READ_AGAIN_AFTER_S:
            self.counts.refused_targeted_reads += 1
            return None
        recent.append(now_ns)
        self._read_ns[tenant] = now_ns
        self._read_ns.move_to_end(tenant)
        if len(self._read_ns) > MAX_REMEMBERED_READS:
            self._read_ns.popitem(last=False)
        read = asyncio.create_task(self._read_tenant(tenant), name="tenant-read")
        self._reads[tenant] = read
        read.add_done_callback(lambda _: self._reads.pop(tenant, None))
        return read

    async def _read_tenant(self, tenant: TenantId) -> None:
        self.counts.targeted_reads += 1
        names = [f"{self._prefix}/{tenant}/{name}" for name in (POLICY, EVAL_SAMPLE_RATE, API_KEYS)]
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                answer = await self._client().get_parameters(Names=names, WithDecryption=True)
        except Exception as error:  # as in `refresh`: what we have goes on
            self.counts.failed_targeted_reads += 1
            logger.warning("parameters of one tenant not read", exc_info=error)
            return
        found = {p["Name"].removeprefix(f"{self._prefix}/"): p["Value"] for p in answer["Parameters"]}
        if found:  # only a whole reading takes a tenant away
            self._copy = self._copy.with_tenant(tenant, found)

    def _client(self) -> "SSMClient":
        if self._ssm is None:
            raise RuntimeError("the policy source is not open")
        return self._ssm

    def _seconds_since(self, moment_ns: int) -> float:
        return (self._clock.monotonic_ns() - moment_ns) / 1e9


@dataclass(frozen=True, slots=True)
class _Copy:
    """All that one reading gave."""

    tenants: Mapping[TenantId, Tenant] = field(default_factory=dict)
    brakes: Mapping[str, SamplingBrake] = field(default_factory=dict)
    """By reason."""
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, str], known: "_Copy") -> "_Copy":
        """The copy that parameters (by name under the prefix) spell; a broken tenant stays as in `known`."""
        documents: dict[TenantId, dict[str, str]] = {}
        brakes: dict[str, SamplingBrake] = {}
        for name, value in parameters.items():
            owner, _, rest = name.partition("/")
            tenant_id = ids.tenant_id(owner)
            if tenant_id is not None:
                documents.setdefault(tenant_id, {})[rest] = value
            elif name.startswith(_BRAKES):
                with contextlib.suppress(ValidationError):
                    brakes[name.removeprefix(_BRAKES)] = SamplingBrake.model_validate_json(value)
        tenants, broken = {}, {}
        for tenant_id, own in documents.items():
            try:
                tenants[tenant_id] = parse_tenant(tenant_id, own)
            except ConfigFault as fault:
                broken[str(tenant_id)] = str(fault)
                if tenant_id in known.tenants:
                    tenants[tenant_id] = known.tenants[tenant_id]
        return cls(tenants, brakes, broken)

    def with_tenant(self, tenant: TenantId, parameters: Mapping[str, str]) -> "_Copy":
        """This copy with one tenant read anew."""
        one = _Copy.of(parameters, self)
        tenants = {name: value for name, value in self.tenants.items() if name != tenant}
        broken = {name: problem for name, problem in self.broken.items() if name != tenant}
        return _Copy({**tenants, **one.tenants}, self.brakes, {**broken, **one.broken})
