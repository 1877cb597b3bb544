"""What tokens cost: dated price rows by price key, token class, region and service tier.

Data, not code: `prices.toml` beside this file, or the file that `LLM_PLATFORM_PRICES` names. A price that is
not there is unknown, never 0, and what an unknown price makes unknown says so. Amounts are exact: nothing is
rounded here. Not here: instance hours, and who pays. Pure but for `load_prices`, which reads at start-up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmplatform.datafile import held_to, parse_toml, read_text
from llmplatform.usage import TokenUsage

DEFAULT_PRICES = Path(__file__).with_name("prices.toml")
DEFAULT_TIER: Final = "default"
"""The service tier of a call that names none."""

TokenClass = Literal["input", "output", "cache_read", "cache_write", "cache_write_1h"]
"""Billed apart and disjoint. Reasoning is output; `cache_write` lives five minutes."""

_MILLION: Final = Decimal(1_000_000)
_PerMillion = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriceRow(_Data):
    """The prices of one price key, in some regions, for one tier, from one day on."""

    price_key: str = Field(pattern=r"^(sandbox/.+|.+/(in-region|geo|global))$")
    """Base model and routing scope: a geographic profile costs another price than a global one."""
    regions: tuple[str, ...] = Field(min_length=1)
    """Where the call was made: names, or patterns such as `eu-*`. The longest that matches counts."""
    service_tier: str = DEFAULT_TIER
    effective_from: date
    """UTC; the first day from which a source shows these prices."""
    effective_to: date | None = None
    """The first day on which they hold no longer."""
    source: str = Field(min_length=1)
    retrieved_on: date
    usd_per_million_tokens: Mapping[TokenClass, _PerMillion] = Field(min_length=1)
    """A class that is absent has no known price."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.effective_to is not None and self.effective_to <= self.effective_from:
            raise ValueError("effective_to must be later than effective_from")
        return self

    def holds_on(self, day: date) -> bool:
        """Whether these prices were in force."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)

    def overlaps(self, other: "PriceRow") -> bool:
        """Whether one call could be priced by both, neither being the closer one."""
        return (
            (self.price_key, self.service_tier) == (other.price_key, other.service_tier)
            and not set(self.regions).isdisjoint(other.regions)
            and (other.effective_to is None or self.effective_from < other.effective_to)
            and (self.effective_to is None or other.effective_from < self.effective_to)
        )


class _PriceFile(_Data):
    version: str = Field(min_length=1)
    prices: tuple[PriceRow, ...] = ()

    @model_validator(mode="after")
    def _no_call_has_two_prices(self) -> Self:
        for (i, one), (j, other) in combinations(enumerate(self.prices), 2):
            if one.overlaps(other):
                raise ValueError(
                    f"prices.{i} and prices.{j} ({one.price_key}) hold on the same day and region"
                )
        return self


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens of one class cost, and by which row."""

    usd_per_million_tokens: Decimal
    row: PriceRow

    def of(self, tokens: int) -> Decimal:
        """What so many tokens cost, in US dollars, exactly."""
        return tokens * self.usd_per_million_tokens / _MILLION


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
    """Price rows, looked up by what a ledger row knows of a call."""

    def __init__(self, version: str, rows: Sequence[PriceRow]) -> None:
        self.version = version
        self._rows: dict[tuple[str, str], list[PriceRow]] = {}
        for row in rows:
            self._rows.setdefault((row.price_key, row.service_tier), []).append(row)

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

    def _row(self, price_key: str, at: date, region: str, service_tier: str | None) -> PriceRow | None:
        found: PriceRow | None = None
        closeness = -1
        for row in self._rows.get((price_key, service_tier or DEFAULT_TIER), ()):
            if row.holds_on(at):
                for pattern in row.regions:
                    if len(pattern) > closeness and fnmatchcase(region, pattern):
                        found, closeness = row, len(pattern)
        return found


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
    return PriceTable(file.version, file.prices)


def load_prices(path: Path | None = None) -> PriceTable:
    """The prices in `path`, by default those that ship with the platform."""
    return parse_prices(read_text("prices", path or DEFAULT_PRICES, named_by="LLM_PLATFORM_PRICES"))
