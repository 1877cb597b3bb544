"""What a worker says of itself, as a row: the watchdog of scores and the console read it.

A row a worker in the table of the detector, owner `_workers`, written every twenty seconds. Totals count
since the worker's start. `last_at` tells for each tenant what last happened and when, so that whoever finds a
tenant without scores can name the stage that they got lost at without comparing two rows. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from llmplatform.aws.tables import EVAL_DETECTOR
from llmplatform.errors import TelemetryFault

Item = dict[str, dict[str, Any]]

WORKERS: Final = "_workers"
"""The owner of all heartbeats: no tenant id begins with an underscore."""

READ: Final = "read"
SCORED: Final = "scored"
"""Judged, and stored; `known` counts as it."""
UNFINISHED: Final = "unfinished"
"""To be brought again: no judge answered; `unfinished:store`, with a reason, where something else did not."""
SKIPPED: Final = "skipped"
"""`skipped:budget`, with the reason."""
PARKED: Final = "parked"
"""`parked:malformed`, with the reason."""

SILENT_AFTER: Final = timedelta(minutes=3)
"""A worker that was not heard of for so long does not work."""

_KEEP_S: Final = 2 * 86_400
"""A worker that is gone is forgotten."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One worker, at one moment."""

    worker: str
    started_at: datetime
    at: datetime
    read: int
    scored: int
    known: int
    skipped: Mapping[str, int]
    """By reason."""
    parked: Mapping[str, int]
    unfinished: int
    lag_s: float | None
    judge_failed: Mapping[str, int]
    last_at: Mapping[str, Mapping[str, datetime]]
    """By tenant, then by what happened: see the names above."""


@dataclass(slots=True)
class Activity:
    """Collects `Heartbeat.last_at`. Only for tenants that exist: what a record claims is not bounded."""

    last_at: dict[str, dict[str, datetime]] = field(default_factory=dict)

    def note(self, tenant_id: str, what: str, at: datetime, *, reason: str | None = None) -> None:
        """Remember that this happened to a record of a tenant."""
        self.last_at.setdefault(tenant_id, {})[what if reason is None else f"{what}:{reason}"] = at


def last_of(tenant_id: str, workers: Iterable[Heartbeat]) -> dict[str, datetime]:
    """What last happened to the tenant's records, over all workers, those that are gone too."""
    last: dict[str, datetime] = {}
    for worker in workers:
        for what, at in worker.last_at.get(tenant_id, {}).items():
            last[what] = max(last.get(what, at), at)
    return last


def encode_heartbeat(heartbeat: Heartbeat) -> Item:
    """The row of a worker."""
    return {
        EVAL_DETECTOR.partition_key.name: {"S": WORKERS},
        EVAL_DETECTOR.sort_key.name: {"S": heartbeat.worker},
        EVAL_DETECTOR.ttl_attribute: {"N": str(int(heartbeat.at.timestamp()) + _KEEP_S)},
        "figures": {"S": _ENCODER.encode(heartbeat).decode()},
    }


def decode_heartbeat(item: Mapping[str, Mapping[str, Any]]) -> Heartbeat:
    """The worker that a row tells of. Raises TelemetryFault when it is none."""
    try:
        return _DECODER.decode(item["figures"]["S"])
    except (KeyError, TypeError, msgspec.DecodeError):
        raise TelemetryFault("not a worker's heartbeat") from None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Heartbeat)
