"""What a check of `llm-platform doctor` is."""

from dataclasses import dataclass
from typing import Final, Literal

LIFECYCLE_WARNING_DAYS: Final = 60

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do."""

    name: str
    status: Status
    found: str
    fix: str = ""
