"""How the present judge stands with people, as metrics: when it was last calibrated, or that it was not."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from evalworker.calibration.record import calibration_age_days
from llmplatform.emf import MetricValue
from llmplatform.metrics import CALIBRATION_AGE_DAYS, JUDGE_UNCALIBRATED

LOOK_AGAIN_AFTER: Final = timedelta(minutes=10)

NewestRecord = Callable[[], Awaitable[Mapping[str, Any] | None]]
"""Reads the judge's last calibration; None where it was never calibrated."""


class Standing:
    """Knows the last calibration of one judge, as of the last look."""

    def __init__(self, newest: NewestRecord) -> None:
        self._newest = newest
        self._record: Mapping[str, Any] | None = None
        self._looked_at: datetime | None = None

    async def look(self, now: datetime) -> None:
        """Read it again, if that is due. What the reading raises, passes; what was known stays."""
        if self._looked_at is None or now - self._looked_at >= LOOK_AGAIN_AFTER:
            self._record = await self._newest()
            self._looked_at = now

    def figures(self, now: datetime) -> Mapping[str, MetricValue]:
        """The metrics by name; nothing before it could be read. Who did not pass is uncalibrated."""
        if self._looked_at is None:
            return {}
        if self._record is None or self._record.get("passed") is not True:
            return {JUDGE_UNCALIBRATED.name: 1}
        age_days = round(calibration_age_days(self._record, now=now), 3)
        return {JUDGE_UNCALIBRATED.name: 0, CALIBRATION_AGE_DAYS.name: age_days}
