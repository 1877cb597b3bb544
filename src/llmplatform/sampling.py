"""Which requests are evaluated and which traces are kept, decided by hashes that no client can steer.

Pure: the same ids give the same answer on any machine, and a higher rate keeps all that a lower one kept.
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

KeepReason = Literal["head", "failed", "slow", "evaluated"]

DEFAULT_HEAD_RATE: Final = 0.1

_SPACE: Final = float(1 << 64)


class SamplingBrake(BaseModel):
    """One writer's wish to sample less: a factor on every tenant's rate, until it expires."""

    model_config = ConfigDict(frozen=True)

    factor: float = Field(ge=0, le=1, allow_inf_nan=False)
    expires_at: AwareDatetime
    writer: str = ""


def smallest_live(brakes: Iterable[SamplingBrake], now: datetime) -> float:
    """The smallest factor that has not expired, 1 when there is none."""
    return min((brake.factor for brake in brakes if now < brake.expires_at), default=1.0)


def evaluation_chosen(request_id: str, rate: float) -> bool:
    """Whether a request is among the share `rate` that is evaluated.

    Compares the first 64 bits of BLAKE2b of the request id, which is ours: anyone can recompute it.
    """
    digest = blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * _SPACE


def head_sampled(trace_id: str, key: bytes, rate: float) -> bool:
    """Whether a trace is among the share `rate` that is kept whatever becomes of it.

    Clients choose trace ids and a UUID v4 has fixed bits, so the hash is keyed with the deployment's own
    `key` (its first 64 bytes): who does not hold it can neither force nor avoid being kept.
    """
    digest = blake2b(trace_id.encode(), digest_size=8, key=key[: blake2b.MAX_KEY_SIZE]).digest()
    return int.from_bytes(digest, "big") < rate * _SPACE


def effective_rate(policy_rate: float, factor: float) -> float:
    """The rate that applies: the tenant's, under the platform's brake; both are held to [0, 1]."""
    return min(max(policy_rate, 0.0), 1.0) * min(max(factor, 0.0), 1.0)


def keep_trace(
    trace_id: str, *, key: bytes, head_rate: float, failed: bool, slow: bool, evaluated: bool
) -> KeepReason | None:
    """Why a trace is kept, or None.

    Chance comes first, so that traces marked `head` stay an unbiased share of all of them.
    """
    if head_sampled(trace_id, key, head_rate):
        return "head"
    if failed:
        return "failed"
    if slow:
        return "slow"
    return "evaluated" if evaluated else None
