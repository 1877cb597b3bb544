"""What is asked of a platform: tenants, requests, tokens, models, and how unevenly all that comes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Final, Literal, assert_never

from llmplatform.catalogue import Catalogue
from llmplatform.errors import ConfigFault

Growth = Literal["tenants", "traffic"]
"""More tenants of the same size, or the same tenants with more requests: other things are full first."""

SECONDS_A_DAY: Final = 86_400
_MINUTES_A_DAY: Final = 1_440


@dataclass(frozen=True, slots=True)
class Workload:
    """A platform's day. The defaults of the command are the design's."""

    tenants: int
    requests_per_day: int
    tokens_per_request: int
    """Prompt and output together."""
    models: Mapping[str, Decimal]
    """Public names, and their shares of the requests; the shares add up to 1."""
    models_per_tenant: int
    """That a tenant uses: each makes series and alarms."""
    output_share: Decimal
    """Of a request's tokens."""
    sample_rate: Decimal
    peak_to_mean: Decimal
    """Requests of the busiest minute over those of a minute in the mean."""
    largest_tenant: Decimal
    """Its share of the requests."""

    @property
    def requests_per_s(self) -> Decimal:
        """In the mean."""
        return Decimal(self.requests_per_day) / SECONDS_A_DAY

    @property
    def peak_per_s(self) -> Decimal:
        """In the busiest minute."""
        return self.requests_per_s * self.peak_to_mean

    @property
    def output_tokens(self) -> Decimal:
        """Of a request."""
        return self.tokens_per_request * self.output_share

    @property
    def input_tokens(self) -> Decimal:
        """Of a request."""
        return self.tokens_per_request - self.output_tokens

    def peak_per_minute(self, model: str) -> Decimal:
        """A model's requests in the busiest minute."""
        return self.models[model] * self.requests_per_day * self.peak_to_mean / _MINUTES_A_DAY

    def times(self, factor: Decimal, growth: Growth) -> "Workload":
        """So many times as much of it. More tenants are of the same size; of fewer, each is smaller."""
        requests = _whole(self.requests_per_day * factor)
        match growth:
            case "tenants":
                tenants = _whole(self.tenants * factor)
                largest = self.largest_tenant / max(factor, Decimal(1))
                return replace(self, requests_per_day=requests, tenants=tenants, largest_tenant=largest)
            case "traffic":
                return replace(self, requests_per_day=requests)
            case _:
                assert_never(growth)


def shares_of(text: str, catalogue: Catalogue) -> dict[str, Decimal]:
    """The mix that a text spells: `a,b` in equal parts, or `a=3,b=1` by weight.

    Raises ConfigFault for a model that the catalogue does not have, and for a weight that is none.
    """
    weights: dict[str, Decimal] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, weight = part.partition("=")
        if name not in catalogue.models:
            known = ", ".join(sorted(catalogue.models))
            raise ConfigFault(f"--models: no model {name!r} in the catalogue; there are {known}")
        if name in weights:
            raise ConfigFault(f"--models: {name} stands there twice")
        try:
            weights[name] = Decimal(weight or "1")
        except ArithmeticError:
            raise ConfigFault(f"--models: {weight!r} is no weight of {name}, write {name}=2") from None
        if not weights[name].is_finite() or weights[name] <= 0:
            raise ConfigFault(f"--models: the weight of {name} must be above 0")
    if not weights:
        raise ConfigFault("--models: name at least one model, such as claude-haiku-4-5")
    whole = sum(weights.values(), Decimal(0))
    return {name: weight / whole for name, weight in weights.items()}


def _whole(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_CEILING))
