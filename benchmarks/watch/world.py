"""A platform that is watched: 50 tenants of very different size, 10 models, the requests of 24 hours.

Nothing is held: a request is told by its tenant, hour, shard and number, which its ids name, and is made when
it is asked for. All chances are seeded, so that every process that imports this sees the same platform.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final
from zlib import crc32

from llmplatform import apikeys, ids
from llmplatform.access import Access, render_access
from llmplatform.apikeys import record_of
from llmplatform.aws.parameters import API_KEYS, EVAL_SAMPLE_RATE, POLICY, PREFIX
from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.catalogue import Catalogue, load_catalogue
from llmplatform.policy import TenantPolicy
from llmplatform.testing import make_policy

CATALOGUE_FILE: Final = Path(__file__).with_name("models.toml")
REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
TENANTS: Final = tuple(f"tenant-{number:02d}" for number in range(50))
HOURS: Final = 24
MODELS_OF_A_TENANT: Final = 3
JUDGE: Final = "5d41402abc4b2a76b9719d911017c592"
OPERATOR_KEY: Final = apikeys.mint_role_key("operator", bytes(range(32)))
SAMPLED_EVERY: Final = 20
"""5 % of requests have scores."""
_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SPREAD_MS: Final = 3_590_000
"""Of an hour: the last requests of it are completed in it too."""
_NONCE_BITS: Final = 16
_NONCES: Final = tuple(f"{nonce:04x}".encode() for nonce in range(256))


@cache
def catalogue() -> Catalogue:
    """The ten models."""
    return load_catalogue(CATALOGUE_FILE)


@cache
def models_of(tenant: str) -> tuple[str, ...]:
    """The models that a tenant uses."""
    names = sorted(catalogue().models)
    first = TENANTS.index(tenant)
    return tuple(sorted(names[(first + step * 3) % len(names)] for step in range(MODELS_OF_A_TENANT)))


@cache
def policies() -> tuple[TenantPolicy, ...]:
    """Of all tenants; every other one has budgets."""
    return tuple(
        make_policy(
            tenant,
            display_name=f"Tenant number {number}",
            content_mode="full",
            allowed_models=frozenset(models_of(tenant)),
            daily_budget_usd=Decimal(500) if number % 2 else None,
            daily_budget_tokens=500_000_000 if number % 2 else None,
        )
        for number, tenant in enumerate(TENANTS)
    )


def parameters() -> dict[str, str]:
    """Parameter Store by name."""
    access = Access().with_keys("operator", (record_of(OPERATOR_KEY, _BEGAN),))
    found = {f"{PREFIX.rstrip('/')}/_platform/access": render_access(access)}
    for number, policy in enumerate(policies()):
        at = f"{PREFIX.rstrip('/')}/{policy.tenant_id}"
        key = apikeys.mint(policy.tenant_id, number.to_bytes(32, "big"))
        document = policy.model_dump_json(exclude={"eval_sample_rate", "tenant_id"}, exclude_defaults=True)
        found[f"{at}/{POLICY}"] = document
        found[f"{at}/{EVAL_SAMPLE_RATE}"] = str(policy.eval_sample_rate)
        found[f"{at}/{API_KEYS}"] = apikeys.render_key_records([record_of(key, _BEGAN)])
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """One request: which tenant's, hour since the epoch, shard, and its number in that partition."""

    tenant: int
    hour: int
    shard: int
    number: int

    @property
    def trace_id(self) -> str:
        """32 hex digits of a UUID v4 that tell where it is."""
        return f"{self.hour:08x}{self.tenant:04x}4{self.shard:03x}8{self.number:015x}"

    @property
    def sampled(self) -> bool:
        """Whether it was chosen for evaluation."""
        return self.number % SAMPLED_EVERY == 0


def place_of_trace(trace_id: str) -> Place | None:
    """The request under a trace (32 hex digits); None where there is none."""
    try:
        place = Place(
            int(trace_id[8:12], 16), int(trace_id[:8], 16), int(trace_id[13:16], 16), int(trace_id[17:], 16)
        )
    except ValueError:
        return None
    return place if place.tenant < len(TENANTS) and place.shard < LEDGER_SHARDS else None


class Requests:
    """Which requests there were in the 24 hours until now."""

    def __init__(self, rows: int, now: datetime) -> None:
        self._ids: dict[Place, str] = {}
        last = int(now.timestamp()) // 3_600
        self.hours = range(last - HOURS + 1, last + 1)
        weights = [1 / (rank + 3) for rank in range(len(TENANTS))]
        day = [1.2 + math.sin((hour % 24 - 8) / 24 * math.tau) for hour in self.hours]
        a_weight = rows / (sum(weights) * sum(day) * LEDGER_SHARDS)
        self._counts = {
            (tenant, hour): round(a_weight * weight * busy)
            for tenant, weight in enumerate(weights)
            for hour, busy in zip(self.hours, day, strict=True)
        }

    def count(self, tenant: int, hour: int) -> int:
        """How many there are in each of an hour's partitions, those that are not there yet included."""
        return self._counts.get((tenant, hour), 0)

    def arrival_ms(self, place: Place) -> int:
        """When one came, in milliseconds since the epoch: evenly over the hour, no two of a partition."""
        count = self.count(place.tenant, place.hour)
        within = (place.number * LEDGER_SHARDS + place.shard) * _SPREAD_MS // (count * LEDGER_SHARDS)
        return place.hour * 3_600_000 + within

    def total(self) -> int:
        """All of them, those of the running hour that are not there yet included."""
        return sum(self._counts.values()) * LEDGER_SHARDS

    def request_id(self, place: Place) -> str:
        """The id of a request, which is in the shard that it says."""
        known = self._ids.get(place)
        if known is None:
            known = self._ids[place] = self._made_id(place)
        return known

    def _made_id(self, place: Place) -> str:
        told = (place.tenant << 56 | place.shard << 52 | place.number << _NONCE_BITS) & ((1 << 62) - 1)
        beginning = ids.request_id(self.arrival_ms(place), told.to_bytes(10, "big"))[:-4]
        crc = crc32(beginning.encode())
        for nonce in _NONCES:
            if crc32(nonce, crc) % LEDGER_SHARDS == place.shard:
                return beginning + nonce.decode()
        raise AssertionError("unreachable: every eighth is")

    def place_of(self, request_id: str) -> Place | None:
        """The request of an id; None where there is none."""
        arrival, digits = ids.arrival_of(request_id), request_id.replace("-", "")
        if arrival is None:
            return None
        told = int(digits[16:], 16) & ((1 << 62) - 1)
        place = Place(
            told >> 56,
            int(arrival.timestamp()) // 3_600,
            told >> 52 & 0xF,
            told >> _NONCE_BITS & ((1 << 36) - 1),
        )
        known = place.tenant < len(TENANTS) and place.number < self.count(place.tenant, place.hour)
        return place if known and self.request_id(place) == request_id else None

    def some(self, number: int) -> Iterator[Place]:
        """So many, of all tenants and hours that are over, the same ones each time."""
        chance = random.Random(6)
        for _ in range(number):
            tenant, hour = chance.randrange(len(TENANTS)), chance.choice(self.hours[:-2])
            shard = chance.randrange(LEDGER_SHARDS)
            scored = chance.randrange(0, max(1, self.count(tenant, hour)), SAMPLED_EVERY)
            yield Place(tenant, hour, shard, scored)


def published_values() -> Mapping[str, tuple[str, ...]]:
    """What dimensions of our metrics are published with, but for tenants and models."""
    return {
        "endpoint_name": tuple(catalogue().endpoints),
        "component": ("gateway",),
        "outcome": ("completed", "client_cancelled", "backend_failed", "refused"),
        "judge_identity": (JUDGE,),
        "eval_dimension": ("relevance", "coherence", "factual_fidelity", "absence_of_hallucination"),
    }


def midnight(now: datetime) -> datetime:
    """The beginning of a moment's UTC day."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def minutes(first: datetime, last: datetime, every: int) -> Iterator[datetime]:
    """Every so manieth minute from the first to the last."""
    at = first
    while at <= last:
        yield at
        at += timedelta(minutes=every)
