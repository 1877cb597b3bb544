"""Moments as an operator writes them: `24h` and `7d` ago, a day, a day with a time. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

HELP: Final = "2026-11-23, 2026-11-23T10:00Z (UTC where no zone is named), or so long ago: 30m, 24h, 7d"

_AGO = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class When:
    """A moment, or so long before whatever now is."""

    text: str
    at: datetime | None = None
    ago: timedelta | None = None

    def moment(self, now: datetime) -> datetime:
        """The moment meant, UTC."""
        if self.ago is not None:
            return now - self.ago
        return self.at or now


def parse_when(text: str) -> When:
    """What `text` means. A day alone is its beginning, UTC. Raises ValueError that tells the forms."""
    said = text.strip()
    ago = _AGO.fullmatch(said.lower())
    if ago:
        return When(said, ago=int(ago[1]) * _UNITS[ago[2]])
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise ValueError(f"{text!r} is no time; give {HELP}") from None
    return When(said, at=at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC))


def last_day(start: datetime, end: datetime) -> date:
    """The last day (UTC) that has a moment from `start` until before `end`."""
    return max(start, end - timedelta(microseconds=1)).date()


def minute(moment: datetime) -> str:
    """A moment as a person reads it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"


def second(moment: datetime) -> str:
    """The same to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def iso(moment: datetime) -> str:
    """A moment as programs read it: ISO 8601 with Z, as everywhere else."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
