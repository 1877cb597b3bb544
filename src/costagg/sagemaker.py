"""Instance hours of SageMaker: shared among those who used them, the rest to nobody by name.

Of each minute that instances ran, the part that was used goes to the hour's sharers in proportion to their
tokens, and the rest is `_unused`. A minute in which a call ran is used whole, unless the endpoint's rated
speed is known: then it is used as far as its tokens fill it. The cost of an endpoint's instances of one type
is rounded once for the hour and then shared to the smallest unit: see `rounding`. Minutes of which nobody
knows how many instances ran are lines of unknown quantity, never 0. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from costagg.rounding import apportioned, from_units, in_units
from costagg.usage import MINUTES, Endpoints, EndpointUse, HourUsage, InstanceMinutes, Sharer
from llmplatform.costs import INFERENCE_LAYER, UNUSED, CostLine, Layer
from llmplatform.prices import DEFAULT_TIER, PriceTable

BY_TOKENS: Final = "token-weight/1"
BY_REQUESTS: Final = "requests/1"
IDLE: Final = "idle-minutes/1"
RATED: Final = "rated-capacity/1"

UNKNOWN: Final = "unknown"
"""The usage source where nobody knows how many ran, and the price key where nobody knows what."""


@dataclass(slots=True)
class _Pool:
    """Instances of one type and source at one endpoint: what is priced, rounded and shared together."""

    instance_type: str
    source: str
    running: int = 0
    """Instance minutes."""
    used: Fraction = Fraction(0)
    """The part of them that was used."""
    rated: bool = False
    unknown_users: set[Sharer] = field(default_factory=set)
    """Who used a part that nobody knows the size of."""
    unknown_idle: bool = False
    """Whether nobody knows what ran in a minute without calls."""


@dataclass(frozen=True, slots=True)
class _Share:
    """Someone's part of a pool, not yet in dollars."""

    tenant_id: str
    model_id: str | None
    layer: Layer
    requests: int
    method: str
    weight: Fraction = Fraction(0)
    """In instance minutes, where they are known."""
    tokens: int | None = None


def instance_lines(
    usage: HourUsage, endpoints: Endpoints, prices: PriceTable, *, region: str
) -> Iterator[CostLine]:
    """The lines of every endpoint that ran or was used in the hour."""
    bill = _Bill(usage, prices, region)
    for name in sorted(endpoints.keys() | usage.endpoints.keys()):
        use = usage.endpoints.get(name, EndpointUse())
        for pool in _pools(endpoints.get(name, ()), use):
            if pool.source == UNKNOWN:
                yield from bill.unknown_lines(name, pool, _unknown_shares(pool, use))
            else:
                yield from bill.known_lines(name, pool, _shares(pool, use))


def all_known(usage: HourUsage, endpoints: Endpoints) -> bool:
    """Whether somebody knows how many instances ran, of every endpoint and minute."""
    return not any(
        None in variant.counts for variants in endpoints.values() for variant in variants
    ) and not any(_nobody_knows(endpoints.get(name, ()), use) for name, use in usage.endpoints.items())


def _nobody_knows(variants: Sequence[InstanceMinutes], use: EndpointUse) -> bool:
    """Whether an endpoint is not in the catalogue, or was called while its description says that none ran.

    It was deleted since, or the catalogue names another variant: who answered was paid for all the same.
    """
    described = any(variant.source == "described" for variant in variants)
    ran = any(count != 0 for variant in variants for count in variant.counts)
    return not variants or (described and not ran and bool(use.active_minutes))


def _pools(variants: Sequence[InstanceMinutes], use: EndpointUse) -> Iterable[_Pool]:
    """An endpoint's instances by type and source; what is not known of a type has a pool of its own."""
    sharers = _sharers(use)
    if _nobody_knows(variants, use):
        types = sorted({variant.instance_type for variant in variants}) or [UNKNOWN]
        return [_Pool(instance_type, UNKNOWN, unknown_users=set(sharers)) for instance_type in types]
    pools: dict[tuple[str, str], _Pool] = {}
    used_parts = _used_parts(variants, use)
    for variant in variants:
        rated = variant.rated_tokens_per_minute is not None
        for minute, count in enumerate(variant.counts):
            known = count is not None and variant.source != UNKNOWN
            key = (variant.instance_type, variant.source if known else UNKNOWN)
            pool = pools.setdefault(key, _Pool(*key))
            active = _active(use, minute)
            if count is not None and known:
                pool.rated |= rated
                pool.running += count
                pool.used += count * (used_parts[minute] if rated else int(active))
            elif active:
                pool.unknown_users.update(sharers)
            else:
                pool.unknown_idle = True
    if weightless := [sharer for sharer in sharers if not _weights(use).get(sharer)]:
        for pool in [pool for pool in pools.values() if pool.used]:
            key = (pool.instance_type, UNKNOWN)
            pools.setdefault(key, _Pool(*key)).unknown_users.update(weightless)
    return pools.values()


def _used_parts(variants: Sequence[InstanceMinutes], use: EndpointUse) -> list[Fraction]:
    """By minute, which part of the rated variants was used: tokens over what all of them together can do.

    Whole where a call ran and no token of the hour is known.
    """
    tokens_known = any(use.tokens.values())
    parts: list[Fraction] = []
    for minute in range(MINUTES):
        capacity = sum(
            (variant.rated_tokens_per_minute or 0) * (variant.counts[minute] or 0) for variant in variants
        )
        if not _active(use, minute):
            parts.append(Fraction(0))
        elif capacity and tokens_known:
            parts.append(min(Fraction(1), Fraction(use.tokens_by_minute[minute], capacity)))
        else:
            parts.append(Fraction(1))
    return parts


def _shares(pool: _Pool, use: EndpointUse) -> list[_Share]:
    """Who gets how much of what is known, `_unused` last: of equal remainders, a tenant gets the unit."""
    weights = _weights(use)
    whole = sum(weights.values())
    shares = [
        _share(sharer, use, pool.used * weights[sharer] / whole)
        for sharer in _sharers(use)
        if weights.get(sharer)
    ]
    unused = pool.running - sum((share.weight for share in shares), Fraction(0))
    idle = _Share(UNUSED, None, INFERENCE_LAYER, 0, RATED if pool.rated else IDLE, unused)
    return [share for share in (*shares, idle) if share.weight]


def _unknown_shares(pool: _Pool, use: EndpointUse) -> list[_Share]:
    """Those who would get something of what is unknown, if anybody knew."""
    shares = [_share(sharer, use) for sharer in _sharers(use) if sharer in pool.unknown_users]
    if pool.unknown_idle:
        shares.append(_Share(UNUSED, None, INFERENCE_LAYER, 0, IDLE))
    return shares


def _share(sharer: Sharer, use: EndpointUse, weight: Fraction = Fraction(0)) -> _Share:
    method = BY_TOKENS if _weights(use) is use.tokens else BY_REQUESTS
    requests = use.requests.get(sharer, 0)
    tokens = use.tokens.get(sharer) or None
    return _Share(sharer.tenant_id, sharer.model_id, sharer.layer, requests, method, weight, tokens)


def _weights(use: EndpointUse) -> dict[Sharer, int]:
    """What an endpoint is shared by: tokens, or requests where no token is known."""
    return use.tokens if any(use.tokens.values()) else use.requests


def _sharers(use: EndpointUse) -> list[Sharer]:
    """All who used an endpoint, in the order in which ties are broken."""
    sharers = use.tokens.keys() | use.requests.keys()
    return sorted(sharers, key=lambda sharer: (sharer.tenant_id, sharer.model_id, sharer.layer))


def _active(use: EndpointUse, minute: int) -> bool:
    return bool(use.active_minutes >> minute & 1)


@dataclass(frozen=True, slots=True)
class _Bill:
    """Shares to lines, at the hour's prices."""

    usage: HourUsage
    prices: PriceTable
    region: str

    def known_lines(self, endpoint_name: str, pool: _Pool, shares: Sequence[_Share]) -> Iterator[CostLine]:
        """A line for each share; what all of them come to was rounded once."""
        if not shares:
            return
        price = self._price(pool)
        hours = Fraction(pool.running, MINUTES)
        weights = [share.weight for share in shares]
        quantities = apportioned(in_units(hours), weights)
        amounts = None if price is None else apportioned(in_units(hours * Fraction(price)), weights)
        for at, share in enumerate(shares):
            yield self._line(
                endpoint_name,
                pool,
                share,
                quantity=from_units(quantities[at]),
                price=price,
                amount=None if amounts is None else from_units(amounts[at]),
            )

    def unknown_lines(self, endpoint_name: str, pool: _Pool, shares: Sequence[_Share]) -> Iterator[CostLine]:
        """A line of unknown quantity for each share."""
        price = self._price(pool)
        for share in shares:
            yield self._line(endpoint_name, pool, share, quantity=None, price=price, amount=None)

    def _price(self, pool: _Pool) -> Decimal | None:
        day = self.usage.hour.date()
        price = self.prices.instance_price(pool.instance_type, at=day, region=self.region)
        return None if price is None else price.usd_per_hour

    def _line(
        self,
        endpoint_name: str,
        pool: _Pool,
        share: _Share,
        *,
        quantity: Decimal | None,
        price: Decimal | None,
        amount: Decimal | None,
    ) -> CostLine:
        return CostLine(
            tenant_id=share.tenant_id,
            hour=self.usage.hour,
            layer=share.layer,
            service="AmazonSageMaker",
            endpoint_type="sagemaker",
            model_id=share.model_id,
            endpoint_name=endpoint_name,
            price_key=pool.instance_type,
            region=self.region,
            service_tier=DEFAULT_TIER,
            charge_class="instance",
            unit="instance-hours",
            quantity=quantity,
            unit_price_usd=price,
            amount_usd=amount,
            requests=share.requests,
            usage_source=pool.source,
            computed_from=self.usage.computed_from,
            allocation_method=share.method,
            price_version=self.prices.version,
            tokens=share.tokens,
        )
