"""Who may look at all tenants: the keys of the roles `operator` and `billing`, as one document.

Its home is Parameter Store, `/llm-platform/_platform/access`, a SecureString with hashes only; who reads and
writes it is in `llmplatform.aws.access`. What a key looks like is in `llmplatform.apikeys`. Pure.
"""

from datetime import datetime
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from llmplatform import apikeys
from llmplatform.apikeys import KeyRecord, Role
from llmplatform.errors import ConfigFault

MAX_KEYS_PER_ROLE: Final = 9
"""Both roles share one parameter of 4 KiB."""


class Access(BaseModel):
    """The keys of each role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: tuple[KeyRecord, ...] = ()
    billing: tuple[KeyRecord, ...] = ()

    def keys_of(self, role: Role) -> tuple[KeyRecord, ...]:
        """All keys of a role, those that have expired too."""
        return self.operator if role == "operator" else self.billing

    def with_keys(self, role: Role, keys: tuple[KeyRecord, ...]) -> Self:
        """The same but for the keys of one role."""
        return self.model_copy(update={role: keys})

    def role_of(self, key: str, now: datetime) -> Role | None:
        """The role that `key` opens at `now`; None for a wrong, revoked or expired key, or a tenant's."""
        role = apikeys.role_of(key)
        if role is None:
            return None
        return role if self.still_opens(role, apikeys.key_hash(key), now) else None

    def still_opens(self, role: Role, key_sha256: str, now: datetime) -> bool:
        """Whether the key with this hash opens a role at `now`: for a session that keeps no key."""
        record = apikeys.matching(self.keys_of(role), key_sha256)
        return record is not None and record.live_at(now)


def parse_access(document: str) -> Access:
    """The access that a document spells. Raises ConfigFault that names each field and quotes no value."""
    try:
        return Access.model_validate_json(document)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors())
        raise ConfigFault(f"access of the platform's roles: {problems.removeprefix(': ')}") from None


def render_access(access: Access) -> str:
    """The JSON that `parse_access` reads."""
    return access.model_dump_json(exclude_none=True)
