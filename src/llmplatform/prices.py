"""What things cost: dated price rows of tokens, of SageMaker instances and of what the platform itself uses.

Data, not code: `prices.toml` beside this file, or the file that `LLM_PLATFORM_PRICES` names. A price that is
not there is unknown, never 0, and what an unknown price makes unknown says so. Amounts are exact: nothing is
rounded here. Not here: who pays. Pure but for `load_prices`, which reads at start-up.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmplatform.datafile import held_to, parse_toml, read_text
from llmplatform.usage import TokenUsage

DEFAULT_PRICES = Path(__file__).with_name("prices.toml")
DEFAULT_TIER: Final = "default"
"""The service tier of a call that names none."""

TokenClass = Literal["input", "output", "cache_read", "cache_write", "cache_write_1h"]
"""Billed apart and disjoint. Reasoning is output; `cache_write` lives five minutes."""

_MILLION: Final = Decimal(1_000_000)

_PerMillion = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, decimal_places=6)]
"""Six places, so that any number of tokens costs a whole number of `llmplatform.costs.SMALLEST_USD`."""

_Region = Annotated[str, Field(pattern=r"^([a-z0-9-]+\*?|\*)$")]

_PerUnit = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, decimal_places=12)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Row(_Data):
    """What holds of each price: where, from when until when, and who says so."""

    regions: tuple[_Region, ...] = Field(min_length=1)
    """Where it was used: names, or beginnings such as `eu-*`. A name counts before a beginning, and a longer
    beginning before a shorter one."""
    effective_from: date
    """UTC; the first day from which a source shows this price."""
    effective_to: date | None = None
    """The first day on which it holds no longer."""
    source: str = Field(min_length=1)
    retrieved_on: date

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.effective_to is not None and self.effective_to <= self.effective_from:
            raise ValueError("effective_to must be later than effective_from")
        return self

    @property
    @abstractmethod
    def subject(self) -> tuple[str, ...]:
        """What is priced."""

    def holds_on(self, day: date) -> bool:
        """Whether this price was in force."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)

    def overlaps(self, other: "_Row") -> bool:
        """Whether one use could be priced by both, neither being the closer one."""
        return (
            self.subject == other.subject
            and not set(self.regions).isdisjoint(other.regions)
            and (other.effective_to is None or self.effective_from < other.effective_to)
            and (self.effective_to is None or other.effective_from < self.effective_to)
        )


class PriceRow(_Row):
    """The prices of one price key's tokens, in some regions, for one tier, from one day on."""

    price_key: str = Field(pattern=r"^(sandbox/.+|.+/(in-region|geo|global))$")
    """Base model and routing scope: a geographic profile costs another price than a global one."""
    service_tier: str = DEFAULT_TIER
    usd_per_million_tokens: Mapping[TokenClass, _PerMillion] = Field(min_length=1)
    """A class that is absent has no known price."""

    @property
    def subject(self) -> tuple[str, ...]:
        """Price key and tier."""
        return (self.price_key, self.service_tier)


class InstancePriceRow(_Row):
    """What an hour of a SageMaker hosting instance costs."""

    instance_type: str = Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")
    usd_per_hour: _PerUnit

    @property
    def subject(self) -> tuple[str, ...]:
        """The instance type."""
        return (self.instance_type,)


class ServicePriceRow(_Row):
    """What one unit of a service costs that the platform itself uses."""

    service: str = Field(pattern=r"^[A-Za-z0-9]+$")
    """AWS's product code."""
    name: str = Field(pattern=r"^[^/#\s]+$")
    """AWS's usage type without its region: `WriteRequestUnits`."""
    unit: str = Field(min_length=1)
    """What one is."""
    usd_per_unit: _PerUnit
    above_units: int = Field(default=0, ge=0)
    """So many units of an account's month are dearer: where volume has its price, a row for each step."""

    @property
    def subject(self) -> tuple[str, ...]:
        """Service and name, as they are looked up, and the step."""
        return (f"{self.service}/{self.name}", str(self.above_units))


class _PriceFile(_Data):
    version: str = Field(min_length=1)
    prices: tuple[PriceRow, ...] = ()
    instance_prices: tuple[InstancePriceRow, ...] = ()
    service_prices: tuple[ServicePriceRow, ...] = ()

    @model_validator(mode="after")
    def _nothing_has_two_prices(self) -> Self:
        tables: dict[str, Sequence[_Row]] = {
            "prices": self.prices,
            "instance_prices": self.instance_prices,
            "service_prices": self.service_prices,
        }
        for name, rows in tables.items():
            for (i, one), (j, other) in combinations(enumerate(rows), 2):
                if one.overlaps(other):
                    raise ValueError(
                        f"{name}.{i} and {name}.{j} ({one.subject[0]}) hold on the same day and region"
                    )
        return self


RowT = TypeVar("RowT", bound=_Row)


class _Dated(Generic[RowT]):
    """Rows by what they price."""

    def __init__(self, rows: Sequence[RowT]) -> None:
        self._rows: dict[tuple[str, ...], list[RowT]] = {}
        for row in rows:
            self._rows.setdefault(row.subject, []).append(row)

    def closest(self, subject: tuple[str, ...], at: date, region: str) -> RowT | None:
        """The row in force that names the region most closely."""
        found: RowT | None = None
        closeness = _ELSEWHERE
        for row in self._rows.get(subject, ()):
            if row.holds_on(at):
                for place in row.regions:
                    close = _closeness(place, region)
                    if close > closeness:
                        found, closeness = row, close
        return found


_ELSEWHERE: Final = -1


def _closeness(place: str, region: str) -> int:
    """How closely a name or a beginning names a region: no two different ones alike."""
    if place == region:
        return len(region) + 1
    beginning = place.removesuffix("*")
    return len(beginning) if beginning != place and region.startswith(beginning) else _ELSEWHERE


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens of one class cost, and by which row."""

    usd_per_million_tokens: Decimal
    row: PriceRow

    def of(self, tokens: int) -> Decimal:
        """What so many tokens cost, in US dollars, exactly."""
        return tokens * self.usd_per_million_tokens / _MILLION


@dataclass(frozen=True, slots=True)
class InstancePrice:
    """What an instance's hour costs, and by which row."""

    usd_per_hour: Decimal
    row: InstancePriceRow


@dataclass(frozen=True, slots=True)
class ServicePrice:
    """What one unit of a service costs, and by which row."""

    usd_per_unit: Decimal
    unit: str
    service: str
    row: ServicePriceRow


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call cost. `amount_usd` is None as soon as any part of it is unknown."""

    amount_usd: Decimal | None
    known_usd: Decimal
    """The part that is known: at least so much was spent."""
    unpriced: tuple[TokenClass, ...]
    """Classes that were used and have no price."""
    uncounted: tuple[TokenClass, ...]
    """Classes that are always billed, of which the backend told no count."""
    price_version: str


class PriceTable:
    """Price rows, looked up by what is known of a use: what it was, when and where."""

    def __init__(
        self,
        version: str,
        rows: Sequence[PriceRow],
        instance_rows: Sequence[InstancePriceRow] = (),
        service_rows: Sequence[ServicePriceRow] = (),
    ) -> None:
        self.version = version
        self._price_keys = frozenset(row.price_key for row in rows)
        self._tokens = _Dated(rows)
        self._instances = _Dated(instance_rows)
        self._services = _Dated(service_rows)
        self._steps: dict[str, set[int]] = {}
        for row in service_rows:
            self._steps.setdefault(row.subject[0], set()).add(row.above_units)

    def knows(self, price_key: str) -> bool:
        """Whether tokens of a price key have a price at all: in some region, for some tier, on some day."""
        return price_key in self._price_keys

    def price_of(
        self,
        price_key: str,
        token_class: TokenClass,
        *,
        at: date,
        region: str,
        service_tier: str | None = None,
    ) -> Price | None:
        """The price of a class on a UTC day in the region of the call; None is unknown."""
        row = self._row(price_key, at, region, service_tier)
        price = None if row is None else row.usd_per_million_tokens.get(token_class)
        return None if row is None or price is None else Price(price, row)

    def cost_of(
        self, usage: TokenUsage, price_key: str, *, at: date, region: str, service_tier: str | None = None
    ) -> Cost:
        """What one call's tokens cost, at the prices of its UTC day."""
        row = self._row(price_key, at, region, service_tier)
        prices: Mapping[TokenClass, Decimal] = {} if row is None else row.usd_per_million_tokens
        known = Decimal(0)
        unpriced: list[TokenClass] = []
        for token_class, tokens in billed_tokens(usage).items():
            price = prices.get(token_class)
            if price is not None:
                known += tokens * price
            elif tokens:
                unpriced.append(token_class)
        known /= _MILLION
        uncounted: tuple[TokenClass, ...] = (
            *(("input",) if usage.input_tokens is None else ()),
            *(("output",) if usage.output_tokens is None else ()),
        )
        complete = not unpriced and not uncounted
        return Cost(known if complete else None, known, tuple(unpriced), uncounted, self.version)

    def instance_price(self, instance_type: str, *, at: date, region: str) -> InstancePrice | None:
        """The price of a SageMaker instance's hour on a UTC day; None is unknown."""
        row = self._instances.closest((instance_type,), at, region)
        return None if row is None else InstancePrice(row.usd_per_hour, row)

    def service_price(self, name: str, *, at: date, region: str) -> ServicePrice | None:
        """The price of `AmazonDynamoDB/WriteRequestUnits` and the like on a UTC day; None is unknown.

        Where volume has its price, the one that an account's month begins with.
        """
        row = self._services.closest((name, "0"), at, region)
        return None if row is None else ServicePrice(row.usd_per_unit, row.unit, row.service, row)

    def month_usd(self, name: str, units: Decimal, *, at: date, region: str) -> Decimal | None:
        """What so many units cost when they are all that an account uses in a month; None is unknown."""
        steps = [
            row
            for above in sorted(self._steps.get(name, ()))
            if (row := self._services.closest((name, str(above)), at, region)) is not None
        ]
        if not steps or steps[0].above_units:
            return None
        ends = [*(Decimal(row.above_units) for row in steps[1:]), units]
        return sum(
            (
                (min(units, end) - row.above_units) * row.usd_per_unit
                for row, end in zip(steps, ends, strict=True)
                if units > row.above_units
            ),
            Decimal(0),
        )

    def _row(self, price_key: str, at: date, region: str, service_tier: str | None) -> PriceRow | None:
        return self._tokens.closest((price_key, service_tier or DEFAULT_TIER), at, region)


def billed_tokens(usage: TokenUsage) -> dict[TokenClass, int]:
    """Tokens by the class they are billed in, disjoint; a class of which nothing is known is absent."""
    billed: dict[TokenClass, int] = {}
    if usage.input_tokens is not None:
        billed["input"] = usage.input_tokens
    if usage.output_tokens is not None:
        billed["output"] = usage.output_tokens
    if usage.cache_read_tokens is not None:
        billed["cache_read"] = usage.cache_read_tokens
    hour = usage.cache_write_1h_tokens
    if usage.cache_write_tokens is not None:
        billed["cache_write"] = max(usage.cache_write_tokens - (hour or 0), 0)
    if hour is not None:
        billed["cache_write_1h"] = hour
    return billed


def parse_prices(text: str) -> PriceTable:
    """The price table that a TOML text spells. Raises ConfigFault that names each field at fault."""
    file = held_to("prices", _PriceFile, parse_toml("prices", text, parse_float=Decimal))
    return PriceTable(file.version, file.prices, file.instance_prices, file.service_prices)


def load_prices(path: Path | None = None) -> PriceTable:
    """The prices in `path`, by default those that ship with the platform."""
    return parse_prices(read_text("prices", path or DEFAULT_PRICES, named_by="LLM_PLATFORM_PRICES"))
