"""Whether a judge was ever held against people's labels: its last record in the bucket of the history."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from llmplatform.aws.tables import CALIBRATIONS_PREFIX
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_s3 import S3Client

KEEP: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The last one of a judge."""

    at: datetime
    passed: bool


class CalibrationReader:
    """The bucket behind an SDK's client; what was read is kept for ten minutes. What S3 raises, passes."""

    def __init__(self, s3: "S3Client", bucket: Callable[[], Awaitable[str]], clock: Clock) -> None:
        """`bucket` tells the bucket's name, which may take a call."""
        self._s3 = s3
        self._bucket = bucket
        self._clock = clock
        self._known: dict[str, tuple[datetime, Calibration | None]] = {}

    async def of(self, judge_identity: str) -> Calibration | None:
        """The last calibration of a judge; None where there never was one. TelemetryFault for no record."""
        now = self._clock.now()
        known = self._known.get(judge_identity)
        if known is not None and now - known[0] < KEEP:
            return known[1]
        read = await self._read(judge_identity)
        self._known[judge_identity] = (now, read)
        return read

    async def _read(self, judge_identity: str) -> Calibration | None:
        bucket = await self._bucket()
        folder = f"{CALIBRATIONS_PREFIX}{quote(judge_identity, safe='')}/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
        # Named by when it was, so that the last one is the newest.
        names = [listed["Key"] async for page in pages for listed in page.get("Contents", ())]
        if not names:
            return None
        answer = await self._s3.get_object(Bucket=bucket, Key=max(names))
        async with answer["Body"] as body:
            return _decoded(await body.read())


def _decoded(data: bytes) -> Calibration:
    try:
        record: Mapping[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        return Calibration(datetime.fromisoformat(record["calibrated_at"]), bool(record.get("passed")))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        raise TelemetryFault("not the record of a calibration") from None
