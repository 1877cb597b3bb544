"""API keys: how one is made, whose it is, and what is kept of it.

A key reads `llmp_{tenant_id}_{secret}`: a tenant id has no underscore and the secret is 43 letters and
digits (256 bits, base 62), so it parses in one way only and a double click selects it whole. What is
stored is its SHA-256 alone; with 256 bits of entropy a slow hash would add nothing but latency. Pure: the
caller brings randomness and the time. Where the records live is in `llmplatform.aws.parameters`.

A key of a role of the platform itself reads `llmp-{role}_{secret}`: with a dash where a tenant's has an
underscore, so that no tenant's name, be it `billing`, makes one of the other.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, cast, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId

MAX_KEYS_PER_TENANT: Final = 20
"""As many records as fit into one parameter (4 KiB) with room to spare."""

Role = Literal["operator", "billing"]
"""Who sees all tenants: people who run the platform, and the billing system."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES: Final = 32
_SECRET_CHARS: Final = 43  # 62**43 is just over 2**256
_KEY: Final = re.compile(rf"llmp_([a-z0-9-]{{1,48}})_[0-9A-Za-z]{{{_SECRET_CHARS}}}")
_ROLE_KEY: Final = re.compile(rf"llmp-({'|'.join(ROLES)})_[0-9A-Za-z]{{{_SECRET_CHARS}}}")
_ID_CHARS: Final = 12


class KeyRecord(BaseModel):
    """What is kept of one key: enough to recognise it, too little to use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    id: str = Field(min_length=1, max_length=32)
    """Short and public: what a listing shows and a revocation names."""
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    """When it stops working; None is never."""

    def live_at(self, now: datetime) -> bool:
        """Whether the key still works at `now`."""
        return self.expires_at is None or now < self.expires_at


_RECORDS: Final = TypeAdapter(tuple[KeyRecord, ...])


def mint(tenant: TenantId, random: bytes) -> str:
    """A new key of `tenant` from 32 random bytes."""
    return f"llmp_{tenant}_{_secret(random)}"


def mint_role_key(role: Role, random: bytes) -> str:
    """A new key of a role from 32 random bytes."""
    return f"llmp-{role}_{_secret(random)}"


def tenant_of(key: str) -> TenantId | None:
    """The tenant whose key `key` claims to be, or None when it is not written like a key."""
    match = _KEY.fullmatch(key)
    return TenantId(match[1]) if match else None


def role_of(key: str) -> Role | None:
    """The role whose key `key` claims to be, or None when it is not written like one."""
    match = _ROLE_KEY.fullmatch(key)
    return cast("Role", match[1]) if match else None


def key_hash(key: str) -> str:
    """SHA-256 of a key in lower-case hex: all that is ever stored of it."""
    return hashlib.sha256(key.encode()).hexdigest()


def record_of(key: str, created_at: datetime, expires_at: datetime | None = None) -> KeyRecord:
    """What to keep of a new key."""
    digest = key_hash(key)
    return KeyRecord(sha256=digest, id=digest[:_ID_CHARS], created_at=created_at, expires_at=expires_at)


def matching(records: Iterable[KeyRecord], digest: str) -> KeyRecord | None:
    """The record of the key with this hash, each compared in constant time."""
    found = None
    for record in records:
        if hmac.compare_digest(record.sha256, digest):
            found = record
    return found


def parse_key_records(tenant: TenantId, document: str) -> tuple[KeyRecord, ...]:
    """The records that the JSON of a tenant's `api_keys` spells.

    Raises ConfigFault that names the tenant and each field at fault, and quotes no value.
    """
    try:
        return _RECORDS.validate_json(document)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors())
        raise ConfigFault(f"api_keys of tenant {tenant}: {problems.removeprefix(': ')}") from None


def render_key_records(records: Iterable[KeyRecord]) -> str:
    """The JSON that `parse_key_records` reads."""
    rows = [record.model_dump(mode="json", exclude_none=True) for record in records]
    return json.dumps(rows, separators=(",", ":"))


def _secret(random: bytes) -> str:
    if len(random) != _SECRET_BYTES:
        raise ValueError("a key is made of 32 random bytes")
    value = int.from_bytes(random, "big")
    digits = []
    for _ in range(_SECRET_CHARS):
        value, digit = divmod(value, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
