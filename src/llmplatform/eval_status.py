"""How each series of scores stands, as the drift job tells people: a row a tenant in the detector's table.

Beside the series the row tells when the job looked, and whether the tenant's scores are missing. What the
detector itself keeps is the worker's own affair and lies beside it; this is for whoever looks. Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from llmplatform.errors import TelemetryFault
from llmplatform.eval_series import Series

STATUS_ENTRY: Final = "drift"
"""Sort key of a tenant's row; the partition key is the tenant."""
STATUSES: Final = "statuses"
"""The attribute of that row with the series."""
LOOKED: Final = "looked"
"""The attribute with the job's look."""


class FallStatus(msgspec.Struct, frozen=True):
    """A fall that has not ended. Values in points of the scale."""

    onset: datetime
    alarmed_at: datetime
    baseline_mean: float
    level: float


class SeriesStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One series. None is unknown."""

    key: str
    """Of the series: `Series.of` reads it."""
    status: Literal["warming_up", "steady", "fallen"]
    current: bool
    """Whether this is the epoch that is published: one for a model and dimension."""
    began: datetime
    latest: datetime
    """The last minute with scores."""
    folded_to: datetime | None = None
    """The last minute that the detector has seen."""
    missing_samples: int | None = None
    """What a baseline still lacks, while warming up."""
    missing_hours: int | None = None
    baseline_mean: float | None = None
    baseline_samples: int | None = None
    fall: FallStatus | None = None
    drop_percent: float | None = None
    """How far the current mean is below the baseline's."""
    dropped: bool | None = None
    """Whether that is over the threshold, and no play of chance."""

    @property
    def series(self) -> Series:
        """Which series this is."""
        return Series.of(self.key)


class Look(msgspec.Struct, frozen=True, omit_defaults=True):
    """The job's last look at a tenant."""

    at: datetime
    missing_stage: str | None = None
    """Where the tenant's scores get lost; None where none are missing."""
    missing_checked_at: datetime | None = None
    """When that was found out: the request ledger is read now and then only. None while there are scores."""


def encode_statuses(statuses: Sequence[SeriesStatus]) -> dict[str, Any]:
    """The attribute of a tenant's row."""
    return {"S": _ENCODER.encode(statuses).decode()}


def decode_statuses(item: Mapping[str, Mapping[str, Any]]) -> tuple[SeriesStatus, ...]:
    """What a tenant's row tells of its series. Raises TelemetryFault when it is no such row."""
    try:
        return _DECODER.decode(item[STATUSES]["S"])
    except (KeyError, TypeError, msgspec.DecodeError):
        raise TelemetryFault("not the drift status of a tenant") from None


def encode_look(look: Look) -> dict[str, Any]:
    """The attribute of a tenant's row."""
    return {"S": _ENCODER.encode(look).decode()}


def decode_look(item: Mapping[str, Mapping[str, Any]]) -> Look | None:
    """When the job looked and what it missed; None where an older version wrote the row.

    Raises TelemetryFault for what is no look.
    """
    if LOOKED not in item:
        return None
    try:
        return _LOOK.decode(item[LOOKED]["S"])
    except (KeyError, TypeError, msgspec.DecodeError):
        raise TelemetryFault("not the look of the drift job") from None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(tuple[SeriesStatus, ...])
_LOOK: Final = msgspec.json.Decoder(Look)
