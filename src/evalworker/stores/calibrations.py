"""Records of calibrations, in the bucket of the history: kept for good, under the judge's identity.

    calibrations/{judge identity}/{when, so that names sort as time}.json

A record is figures alone: see `evalworker.calibration.record`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from evalworker.stores.objects import Objects
from llmplatform.aws.tables import CALIBRATIONS_PREFIX
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import moment_text


class Calibrations:
    """Keeps records and finds the newest. Raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def put(self, record: Mapping[str, Any]) -> None:
        """Keep a record, beside those of before."""
        calibrated_at = datetime.fromisoformat(record["calibrated_at"])
        key = f"{_folder(record['judge_identity'])}{moment_text(calibrated_at)}.json"
        await self._objects.put(key, msgspec.json.encode(record), content_type="application/json")

    async def newest(self, judge_identity: str) -> Mapping[str, Any] | None:
        """The last record of a judge; None where it was never calibrated.

        Raises TelemetryFault for what is no record.
        """
        keys = [listed.key async for listed in self._objects.list(_folder(judge_identity))]
        stored = await self._objects.get(keys[-1]) if keys else None
        if stored is None:
            return None
        try:
            record: Mapping[str, Any] = msgspec.json.decode(stored.data, type=dict[str, Any])
            datetime.fromisoformat(record["calibrated_at"])
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            raise TelemetryFault("not the record of a calibration") from None
        return record


def _folder(judge_identity: str) -> str:
    return f"{CALIBRATIONS_PREFIX}{quote(judge_identity, safe='')}/"
