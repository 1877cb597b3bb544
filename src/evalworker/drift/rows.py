"""What the drift job keeps, as rows of the detector's table. Pure.

    owner    entry                                       what
    tenant   drift                                       how far it has read, every series, and how they stand
    tenant   drift.claim                                 the number of the run that may write
    tenant   hour#model#dimension#epoch#2026-11-23T20    an hour that is over, and the state at its end

All of it can be made again from stored results. The number of the run stands in every row: a run that was
overtaken by another finds a higher one, and writes nothing.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from evalworker.drift.fold import HourRow, SeriesFold
from llmplatform.aws.tables import EVAL_DETECTOR
from llmplatform.errors import TelemetryFault
from llmplatform.eval_series import Series
from llmplatform.eval_status import (
    LOOKED,
    STATUS_ENTRY,
    STATUSES,
    Look,
    SeriesStatus,
    decode_statuses,
    encode_look,
    encode_statuses,
)
from llmplatform.ledger import hour_of as hour_text

Item = dict[str, dict[str, Any]]

OWNER: Final = EVAL_DETECTOR.partition_key.name
ENTRY: Final = EVAL_DETECTOR.sort_key.name
CLAIM_ENTRY: Final = "drift.claim"
CLAIM: Final = "claim"

_RETENTION_S: Final = EVAL_DETECTOR.retention_days * 86_400


@dataclass(frozen=True, slots=True)
class Watched:
    """What the watchdog last found of a tenant without scores."""

    checked_at: datetime
    stage: str | None


@dataclass(frozen=True, slots=True)
class TenantDrift:
    """All that is kept of a tenant between two runs."""

    judged_through: datetime | None = None
    """Results judged before have been read."""
    last_judged_at: datetime | None = None
    watched: Watched | None = None
    folds: Mapping[str, SeriesFold] = field(default_factory=dict)
    """By the key of the series."""


def entry_prefix(series: Series) -> str:
    """What the entries of a series' hours begin with."""
    return f"hour#{series.key.partition('#')[2]}#"


def hour_entry(series: Series, hour: datetime) -> str:
    """The entry of one hour."""
    return entry_prefix(series) + hour_text(hour)


def encode_tenant(
    tenant_id: str, drift: TenantDrift, statuses: Sequence[SeriesStatus], claim: int, now: datetime
) -> Item:
    """The row of a tenant."""
    watched = drift.watched
    look = Look(now) if watched is None else Look(now, watched.stage, watched.checked_at)
    return {
        **_key(tenant_id, STATUS_ENTRY, claim, now),
        "state": {"B": zlib.compress(_ENCODER.encode(drift))},
        STATUSES: encode_statuses(statuses),
        LOOKED: encode_look(look),
    }


def decode_tenant(item: Mapping[str, Mapping[str, Any]]) -> TenantDrift:
    """What a tenant's row keeps. Raises TelemetryFault when another version wrote it: rebuild it."""
    try:
        return _TENANT.decode(zlib.decompress(item["state"]["B"]))
    except (KeyError, zlib.error, msgspec.DecodeError):
        raise TelemetryFault("the drift state of a tenant cannot be read: rebuild it") from None


def known_series(item: Mapping[str, Mapping[str, Any]]) -> tuple[Series, ...]:
    """The series that a tenant's row names, also where the rest of it cannot be read."""
    return tuple(status.series for status in decode_statuses(item))


def encode_hour(series: Series, row: HourRow, claim: int) -> Item:
    """The row of an hour."""
    hour = row.scores.hour
    return {
        **_key(series.tenant_id, hour_entry(series, hour), claim, hour),
        "state": {"B": _ENCODER.encode(row)},
    }


def decode_hour(item: Mapping[str, Mapping[str, Any]]) -> HourRow:
    """The hour that a row holds. Raises TelemetryFault when another version wrote it: rebuild it."""
    try:
        return _HOUR.decode(item["state"]["B"])
    except (KeyError, msgspec.DecodeError):
        raise TelemetryFault("an hour of a series cannot be read: rebuild it") from None


def _key(owner: str, entry: str, claim: int, kept_from: datetime) -> Item:
    return {
        OWNER: {"S": owner},
        ENTRY: {"S": entry},
        CLAIM: {"N": str(claim)},
        EVAL_DETECTOR.ttl_attribute: {"N": str(int(kept_from.timestamp()) + _RETENTION_S)},
    }


_ENCODER: Final = msgspec.msgpack.Encoder()
_TENANT: Final = msgspec.msgpack.Decoder(TenantDrift)
_HOUR: Final = msgspec.msgpack.Decoder(HourRow)
