"""A session as a signed cookie, and the tokens that its forms carry. Pure: randomness and time are given.

The cookie holds no key but its SHA-256, by which each request finds the key's record again: a session ends
with its key, when that is revoked or expires, without a list of sessions anywhere. From the hash of 256
random bits nobody finds the key; who steals the cookie has the session and nothing else.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watch.console.viewer import ViewerRole

_MOST_CHARS: Final = 2_048
_Purpose = Literal["session", "csrf", "login"]


class Session(BaseModel):
    """What a cookie says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=16, max_length=64)
    """Random: tells two sessions with one key apart."""
    role: ViewerRole
    tenant_id: str | None = None
    key_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    expires_s: int
    """Seconds since 1970."""

    @property
    def expires_at(self) -> datetime:
        """When the key is asked for again."""
        return datetime.fromtimestamp(self.expires_s, UTC)


@dataclass(frozen=True, slots=True)
class SessionSeal:
    """Signs what a browser brings back, each kind with its own purpose."""

    key: bytes

    def __repr__(self) -> str:
        """Without the key."""
        return "SessionSeal()"

    def seal(self, session: Session) -> str:
        """The cookie's value."""
        body = _base64(session.model_dump_json(exclude_none=True).encode())
        return f"{body}.{self._mac('session', body)}"

    def open(self, value: str, now: datetime) -> Session | None:
        """The session that a cookie holds; None for a forged, changed or expired one."""
        body, _, mac = value.rpartition(".")
        if len(value) > _MOST_CHARS or not body or not _same(mac, self._mac("session", body)):
            return None
        try:
            session = Session.model_validate_json(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (ValidationError, binascii.Error):
            return None
        return session if now < session.expires_at else None

    def csrf_token(self, session_id: str) -> str:
        """The token of the forms of a session, or of a person whom the load balancer knows."""
        return self._mac("csrf", session_id)

    def login_token(self, nonce: str) -> str:
        """The token of a login form that was given to a browser with this nonce."""
        return self._mac("login", nonce)

    def _mac(self, purpose: _Purpose, text: str) -> str:
        return _base64(hmac.new(self.key, f"{purpose}\0{text}".encode(), hashlib.sha256).digest())


def same_token(given: str, expected: str) -> bool:
    """Whether two tokens are the same, in constant time; an empty one never is."""
    return bool(expected) and _same(given, expected)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
