"""The keys of the platform's roles in Parameter Store: read and kept fresh, and written by an operator.

Requests ask memory only: a copy is read at the start and again within a minute, and stays as it was while
the store is down or its document is broken.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from llmplatform import apikeys
from llmplatform.access import MAX_KEYS_PER_ROLE, Access, parse_access, render_access
from llmplatform.apikeys import Role
from llmplatform.aws.parameters import (
    LOAD_WITHIN_S,
    NOT_LOADED_RETRY_AFTER_S,
    PREFIX,
    READ_AGAIN_AFTER_S,
    READ_WITHIN_S,
    REFRESH_S,
)
from llmplatform.aws.tables import ACCESS_KEY
from llmplatform.clock import Clock
from llmplatform.errors import ConfigFault, GatewayOverloaded
from llmplatform.process.refreshing import end, kept_fresh

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_ssm import SSMClient

logger = logging.getLogger(__name__)

DOCUMENT: Final = "_platform/access"
"""Its name below the prefix."""


class AccessFault(ConfigFault):
    """What the operator asked for cannot be done: no such key, or too many of them."""

    code = "access"


class AccessSource:
    """Roles by key: `async with AccessSource(lambda: session.client("ssm"), clock) as source`.

    Entering reads once and does not fail if that fails: `age_s` stays None and the reading goes on.
    """

    def __init__(
        self,
        open_client: "Callable[[], AbstractAsyncContextManager[SSMClient]]",
        clock: Clock,
        *,
        refresh_s: float = REFRESH_S,
        prefix: str = PREFIX,
    ) -> None:
        self._open_client = open_client
        self._clock = clock
        self._refresh_s = refresh_s
        self._prefix = prefix
        self._access = Access()
        self._loaded_ns: int | None = None
        self._asked_ns: int | None = None
        self._read: asyncio.Task[bool] | None = None
        self._exit = contextlib.AsyncExitStack()
        self._ssm: SSMClient | None = None

    @property
    def age_s(self) -> float | None:
        """Seconds since the document was last read; None when that has not happened yet."""
        return None if self._loaded_ns is None else self._seconds_since(self._loaded_ns)

    def resolve(self, key: str) -> Role | None:
        """The role that `key` opens, from memory; None for a key not known here."""
        return self._access.role_of(key, self._clock.now())

    def still_opens(self, role: Role, key_sha256: str) -> bool:
        """Whether the key with this hash opens a role, from memory: for a session that keeps no key."""
        return self._access.still_opens(role, key_sha256, self._clock.now())

    async def resolve_unknown(self, key: str) -> Role | None:
        """The same for a key that `resolve` does not know, which may be newer than our copy.

        Bounded in time, and in how often it reads. Raises GatewayOverloaded when nothing was ever read, so
        that a good key is not called bad.
        """
        if apikeys.role_of(key) is None:
            return None
        if self._read is None and (
            self._asked_ns is None or self._seconds_since(self._asked_ns) >= READ_AGAIN_AFTER_S
        ):
            self._asked_ns = self._clock.monotonic_ns()
            self._read = asyncio.create_task(self.refresh(), name="access-read")
            self._read.add_done_callback(self._read_is_over)
        if self._read is not None:
            with contextlib.suppress(TimeoutError):  # shielded: others wait for the answer too
                await asyncio.wait_for(asyncio.shield(self._read), READ_WITHIN_S)
        if self._loaded_ns is None:
            raise GatewayOverloaded("roles are not loaded yet", retry_after_s=NOT_LOADED_RETRY_AFTER_S)
        return self.resolve(key)

    async def refresh(self) -> bool:
        """Read the document now; tells whether that worked. Where it did not, the last good copy stays."""
        if self._ssm is None:
            raise RuntimeError("the access source is not open")
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                self._access = await _read_access(self._ssm, self._prefix)
        except Exception as error:  # whatever fails, the last good copy stays
            logger.warning("access of the platform's roles not read", exc_info=error)
            return False
        self._loaded_ns = self._clock.monotonic_ns()
        return True

    async def __aenter__(self) -> Self:
        """Open the client, read once, and keep reading beside the requests."""
        self._ssm = await self._exit.enter_async_context(self._open_client())
        try:
            await self._exit.enter_async_context(
                kept_fresh(self.refresh, every_s=self._refresh_s, name="access")
            )
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading and close the client."""
        if self._read is not None:
            await end(self._read)
        await self._exit.aclose()

    def _read_is_over(self, _: "asyncio.Task[bool]") -> None:
        self._read = None

    def _seconds_since(self, moment_ns: int) -> float:
        return (self._clock.monotonic_ns() - moment_ns) / 1e9


class AccessStore:
    """The document behind an open client, for who changes it. A key is returned once, when it is minted."""

    def __init__(self, ssm: "SSMClient", clock: Clock, *, prefix: str = PREFIX) -> None:
        self._ssm = ssm
        self._clock = clock
        self._prefix = prefix

    async def list(self) -> Access:
        """The keys of each role. Raises ConfigFault where the document is broken."""
        return await _read_access(self._ssm, self._prefix)

    async def add_key(self, role: Role, *, expires_in: timedelta | None = None) -> str:
        """Give a role another key and return it. Keys that have expired go. Raises AccessFault."""
        key = apikeys.mint_role_key(role, secrets.token_bytes(32))
        await self._add(role, key, expires_in)
        return key

    async def provide(self, role: Role, key: str) -> None:
        """See to it that a key that is known already opens a role; nothing changes where it does."""
        if (await self.list()).role_of(key, self._clock.now()) != role:
            await self._add(role, key, None)

    async def revoke_key(self, role: Role, key_id: str) -> None:
        """Take a key from a role; it opens nothing within a minute. Raises AccessFault if there is none."""
        access = await self.list()
        present = access.keys_of(role)
        rest = tuple(record for record in present if record.id != key_id)
        if len(rest) == len(present):
            known = ", ".join(record.id for record in present) or "none"
            raise AccessFault(f"role {role} has no key {key_id}; its keys: {known}")
        await self._put(access.with_keys(role, rest))

    async def _add(self, role: Role, key: str, expires_in: timedelta | None) -> None:
        if apikeys.role_of(key) != role:
            raise AccessFault(f"that is not written like a key of role {role}")
        now = self._clock.now()
        record = apikeys.record_of(key, now, None if expires_in is None else now + expires_in)
        access = await self.list()
        live = tuple(one for one in access.keys_of(role) if one.live_at(now) and one.id != record.id)
        if len(live) >= MAX_KEYS_PER_ROLE:
            raise AccessFault(f"role {role} has {len(live)} keys, the most there can be; revoke one first")
        await self._put(access.with_keys(role, (*live, record)))

    async def _put(self, access: Access) -> None:
        await self._ssm.put_parameter(
            Name=_name(self._prefix),
            Value=render_access(access),
            Type="SecureString",
            KeyId=ACCESS_KEY.alias,
            Overwrite=True,
        )


async def _read_access(ssm: "SSMClient", prefix: str) -> Access:
    answer = await ssm.get_parameters(Names=[_name(prefix)], WithDecryption=True)
    documents = [parameter["Value"] for parameter in answer["Parameters"]]
    return parse_access(documents[0]) if documents else Access()


def _name(prefix: str) -> str:
    return f"{prefix.rstrip('/')}/{DOCUMENT}"
