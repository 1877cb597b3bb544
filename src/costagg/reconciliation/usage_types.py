"""What a line of the bill is about: its usage type as our service, model, token class, tier or instance.

Data, not code: `usage_types.toml` beside this file. What it does not know is None and is reported as such.
Pure but for `load_usage_types`, which reads once at start-up.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from costagg.reconciliation.charges import Charge
from llmplatform.costs import ChargeClass, CostLine
from llmplatform.datafile import held_to, parse_toml, read_text
from llmplatform.prices import DEFAULT_TIER, TokenClass

DEFAULT_USAGE_TYPES: Final = Path(__file__).with_name("usage_types.toml")

WHOLE_SERVICE: Final = "(whole service)"
_TIERS: Final = ("flex", "priority", "batch")
_PLAIN_UNITS: Final = ("", "units")
_SUFFIX: Final = re.compile(r"[-_]")
_GLOBAL: Final = "global"
_REGIONAL: Final = "regional"


@dataclass(frozen=True, slots=True)
class Meter:
    """What is counted and priced, spelled so that the bill and we say the same."""

    service: str
    about: str
    """`anthropic.claude-sonnet-4-6/global`, `ml.g5.12xlarge`, or the whole service."""
    charge_class: ChargeClass
    service_tier: str
    region: str

    @property
    def estimated(self) -> bool:
        """Whether our side is an estimate: a service that the platform itself uses."""
        return self.charge_class == "service"


@dataclass(frozen=True, slots=True)
class Metered:
    """A charge's meter, and how much of ours one unit of its amount is."""

    meter: Meter
    per_unit: Decimal


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    effective_from: date
    effective_to: date | None = None
    source: str = Field(min_length=1)
    retrieved_on: date

    def holds_on(self, day: date) -> bool:
        """Whether AWS spelled it so."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


class _Spelled(_Row):
    service: str
    product_codes: tuple[str, ...] = Field(min_length=1)
    pattern: re.Pattern[str]

    @field_validator("pattern", mode="before")
    @classmethod
    def _compiled(cls, pattern: object) -> object:
        try:
            return re.compile(str(pattern))
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None


class TokenMeter(_Spelled):
    """How usage types spell tokens."""

    units_hold: int = Field(gt=0)
    """Tokens in a unit, where `pricing_unit` says nothing but `Units`."""
    product_name: str | None = None
    """What the product's name ends in, where product codes are made up per product (AWS Marketplace)."""


class InstanceMeter(_Spelled):
    """How usage types spell instance-hours."""


class LeftOut(_Spelled):
    """Usage types of a product that are no part of the comparison."""

    what: str


class Model(_Row):
    """How the bill calls a model."""

    base_model: str
    names: tuple[str, ...] = Field(min_length=1)


class Services(_Row):
    """Services that are compared as a whole."""

    product_codes: tuple[str, ...] = Field(min_length=1)


class UsageTypes(BaseModel):
    """The whole table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1)
    scopes: Mapping[str, str]
    tokens_per_unit: Mapping[str, int]
    regions: Mapping[str, str]
    token_meters: tuple[TokenMeter, ...]
    token_classes: Mapping[str, TokenClass]
    models: tuple[Model, ...]
    instance_meters: tuple[InstanceMeter, ...]
    left_out: tuple[LeftOut, ...] = ()
    services: tuple[Services, ...]

    @cached_property
    def detailed_codes(self) -> frozenset[str]:
        """Product codes whose line items are looked at one usage type after the other."""
        return frozenset(
            code for meter in (*self.token_meters, *self.instance_meters) for code in meter.product_codes
        )

    @cached_property
    def whole_codes(self) -> frozenset[str]:
        """Product codes that are compared as a whole."""
        return frozenset(code for row in self.services for code in row.product_codes)

    @cached_property
    def product_names(self) -> frozenset[str]:
        """What the names of products end in that are looked at, whatever their product code."""
        return frozenset(meter.product_name for meter in self.token_meters if meter.product_name)

    def service_of(self, charge: Charge) -> str | None:
        """The service that a charge belongs to; None is none that we attribute."""
        if charge.product_code in self.whole_codes:
            return charge.product_code
        for meter in (*self.token_meters, *self.instance_meters):
            if charge.product_code in meter.product_codes:
                return meter.service
        for meter in self.token_meters:
            if meter.product_name is not None and meter.product_name in charge.product_name:
                return meter.service
        return None

    def left_out_as(self, charge: Charge) -> str | None:
        """What a charge is that is left out; None is one that is compared."""
        _, usage_type = self._region_and_rest(charge)
        found = (row.what for row in self.left_out if _match(row, charge, usage_type) is not None)
        return next(found, None)

    def metered(self, charge: Charge) -> Metered | None:
        """What a usage charge counts; None is a usage type that the table does not know."""
        if charge.product_code in self.whole_codes:
            return Metered(_whole(charge.product_code), Decimal(1))
        region, usage_type = self._region_and_rest(charge)
        for instance in self.instance_meters:
            if (found := _match(instance, charge, usage_type)) is not None:
                meter = Meter(instance.service, found["instance"], "instance", DEFAULT_TIER, region)
                return Metered(meter, Decimal(1))
        for token in self.token_meters:
            if (found := _match(token, charge, usage_type)) is not None:
                return self._tokens(token, found, charge, region)
        return None

    def meter_of(self, line: CostLine) -> Meter:
        """The meter of one of our lines."""
        if line.charge_class == "service":
            return _whole(line.service)
        if line.charge_class == "instance":
            return Meter(line.service, line.price_key, "instance", DEFAULT_TIER, line.region)
        base, _, scope = line.price_key.rpartition("/")
        about = f"{base}/{self.scopes.get(scope, scope)}"
        return Meter(line.service, about, line.charge_class, line.service_tier, line.region)

    def _region_and_rest(self, charge: Charge) -> tuple[str, str]:
        """Without its region's prefix. Some have none, and a model's name may begin like one."""
        prefix, dash, rest = charge.usage_type.partition("-")
        if not dash or prefix not in self.regions:
            return charge.region, charge.usage_type
        return charge.region or self.regions[prefix], rest

    def _tokens(
        self, meter: TokenMeter, found: Mapping[str, str], charge: Charge, region: str
    ) -> Metered | None:
        base = self._base_model(found.get("model"), charge)
        if base is None:
            return None
        suffixes = {part.lower() for part in _SUFFIX.split(found["suffixes"]) if part}
        scope = _GLOBAL if _GLOBAL in suffixes else _REGIONAL
        tier = next((tier for tier in _TIERS if tier in suffixes), DEFAULT_TIER)
        unit = charge.pricing_unit.lower()
        per_unit = meter.units_hold if unit in _PLAIN_UNITS else self.tokens_per_unit.get(unit)
        if per_unit is None:
            return None
        token_class = self.token_classes[found["class"]]
        return Metered(Meter(meter.service, f"{base}/{scope}", token_class, tier, region), Decimal(per_unit))

    def _base_model(self, name: str | None, charge: Charge) -> str | None:
        """By the name in the usage type, else by the longest name that the product's own begins with."""
        best = ""
        base = None
        for model in self.models:
            if model.holds_on(charge.day):
                for known in model.names:
                    same = known == name if name else charge.product_name.startswith(f"{known} ")
                    if same and len(known) > len(best):
                        best, base = known, model.base_model
        return base


def parse_usage_types(text: str) -> UsageTypes:
    """The table that a TOML text spells. Raises ConfigFault that names each field at fault."""
    return held_to("usage types", UsageTypes, parse_toml("usage types", text))


def load_usage_types(path: Path | None = None) -> UsageTypes:
    """The table in `path`, by default the one that ships with the platform."""
    return parse_usage_types(read_text("usage types", path or DEFAULT_USAGE_TYPES, named_by="--usage-types"))


def _whole(service: str) -> Meter:
    return Meter(service, WHOLE_SERVICE, "service", DEFAULT_TIER, "")


def _match(row: _Spelled, charge: Charge, usage_type: str) -> Mapping[str, str] | None:
    """What the groups of a row's pattern hold, where the row is about the charge."""
    name = row.product_name if isinstance(row, TokenMeter) else None
    named = name is not None and name in charge.product_name
    if not row.holds_on(charge.day) or not (named or charge.product_code in row.product_codes):
        return None
    found = row.pattern.fullmatch(usage_type)
    return None if found is None else found.groupdict()
