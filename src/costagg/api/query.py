"""What a client asks for: its query parameters as values, each fault with the field and the fix. Pure.

Both ends of a range are UTC days, the first in it and the last not, as FOCUS has charge periods. A month in
place of a day is its first day.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from costagg.api.table import DIMENSIONS
from llmplatform.bills import Granularity
from llmplatform.costs import CostLine
from llmplatform.errors import MalformedRequest

MAX_LIMIT: Final = 1_000
MAX_DAYS: Final[dict[Granularity, int]] = {"hour": 31, "day": 397, "month": 397}
"""A month by the hour, thirteen months by day or month."""
MAX_NAMES_TOLD: Final = 5
MAX_CHARS_TOLD: Final = 40

_YEARS: Final = range(2_000, 3_000)
"""None else is meant, and days can be added to each of them."""
_DAY: Final = re.compile(r"(\d{4}-\d{2})(-\d{2})?", re.ASCII)


def _day(text: object) -> date:
    match = _DAY.fullmatch(str(text))
    if match is None:
        raise ValueError("write a UTC day as 2026-11-23, or a month as 2026-11")
    day = date.fromisoformat(f"{match[1]}{match[2] or '-01'}")
    if day.year not in _YEARS:
        raise ValueError(f"give a year from {_YEARS[0]} to {_YEARS[-1]}")
    return day


def _names(text: object) -> tuple[str, ...]:
    names = str(text).split(",")
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown or len(set(names)) != len(names):
        raise ValueError(f"name some of {', '.join(DIMENSIONS)}, each once, with commas between them")
    return tuple(name for name in DIMENSIONS if name in names)


Day = Annotated[date, BeforeValidator(_day)]


class HoursParameters(BaseModel):
    """Query parameters of `/v1/hours`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    first: Day = Field(
        alias="from",
        description="First UTC day, `2026-11-23`; or a month, `2026-11`, for its first day.",
        examples=["2026-11-01"],
    )
    end: Day = Field(
        alias="to",
        description="The UTC day (or month) after the last one: itself no part of the answer.",
        examples=["2026-12-01"],
    )
    granularity: Granularity = Field(
        default="day", description="Length of a period. 31 days at most by hour, 397 by day or month."
    )
    limit: int = Field(default=200, ge=1, le=MAX_LIMIT, description="Most rows of a page.")
    cursor: str | None = Field(
        default=None, max_length=4_096, description="`next_cursor` of the page before, with the same query."
    )
    format: Literal["json", "csv"] | None = Field(
        default=None, description="In place of what `Accept` says; JSON by default."
    )


class CostParameters(HoursParameters):
    """Query parameters of the routes of costs."""

    group_by: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        default=DIMENSIONS,
        description="What rows are told apart by, comma-separated; all of it by default: "
        + ", ".join(f"`{name}`" for name in DIMENSIONS)
        + ".",
        examples=["model_id,endpoint_type"],
    )
    model_id: str | None = Field(
        default=None, min_length=1, max_length=256, description="Only this model, by its public name."
    )
    endpoint_type: Literal["bedrock", "sagemaker"] | None = Field(
        default=None, description="Only what such endpoints served."
    )


ParametersT = TypeVar("ParametersT", bound=HoursParameters)


def parameters(model: type[ParametersT], given: Iterable[tuple[str, str]]) -> ParametersT:
    """The parameters that a query string's names and values spell.

    Raises MalformedRequest that names what is unknown, given twice, missing or wrong, with the fix.
    """
    values: dict[str, str] = {}
    for name, value in given:
        if name in values:
            raise MalformedRequest(f"{_cut(name)}: given twice; give it once", param=_cut(name))
        values[name] = value
    try:
        asked = model.model_validate(values)
    except ValidationError as error:
        faults = {_cut(str(e["loc"][0])): e for e in error.errors()[:MAX_NAMES_TOLD]}
        told = "; ".join(f"{name}: {_fix(e, model)}" for name, e in faults.items())
        raise MalformedRequest(told, param=next(iter(faults))) from None
    _check_range(asked)
    return asked


@dataclass(frozen=True, slots=True)
class CostQuery:
    """What is asked of costs, but for the page."""

    first: date
    end: date
    """The day after the last."""
    granularity: Granularity
    group_by: tuple[str, ...] = DIMENSIONS
    model_id: str | None = None
    endpoint_type: str | None = None

    @property
    def last(self) -> date:
        """The last day."""
        return self.end - timedelta(days=1)

    @property
    def filtered(self) -> bool:
        """Whether only some lines are asked for."""
        return self.model_id is not None or self.endpoint_type is not None

    def chooses(self, line: CostLine) -> bool:
        """Whether a line is asked for."""
        return self.model_id in {None, line.model_id} and self.endpoint_type in {None, line.endpoint_type}

    @classmethod
    def of(cls, asked: CostParameters) -> "CostQuery":
        """The query of these parameters."""
        return cls(
            asked.first, asked.end, asked.granularity, asked.group_by, asked.model_id, asked.endpoint_type
        )


def digest_of(about: str, asked: HoursParameters) -> str:
    """What a cursor is bound to: whose rows, and the query but for its page and format."""
    told = asked.model_dump(mode="json", exclude={"limit", "cursor", "format"})
    return hashlib.sha256(json.dumps([about, told], sort_keys=True).encode()).hexdigest()[:24]


def _check_range(asked: HoursParameters) -> None:
    if asked.end <= asked.first:
        raise MalformedRequest(
            "to: the range is empty; give a day after `from`, itself not in it", param="to"
        )
    most = MAX_DAYS[asked.granularity]
    if (asked.end - asked.first).days > most:
        raise MalformedRequest(
            f"to: {most} days at most by {asked.granularity}; ask for less, or in longer periods", param="to"
        )
    if asked.granularity == "month":
        for name, day in (("from", asked.first), ("to", asked.end)):
            if day.day != 1:
                raise MalformedRequest(
                    f"{name}: whole months are needed by month; give the first day of one", param=name
                )


def _fix(error: Any, model: type[HoursParameters]) -> str:
    if error["type"] == "extra_forbidden":
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        return f"unknown parameter; known are {known}"
    if error["type"] == "missing":
        return "missing; give a UTC day, 2026-11-23, or a month, 2026-11"
    return str(error["msg"]).removeprefix("Value error, ")


def _cut(name: str) -> str:
    return name if len(name) <= MAX_CHARS_TOLD else f"{name[:MAX_CHARS_TOLD]}…"
