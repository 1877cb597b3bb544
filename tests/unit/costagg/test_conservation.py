"""Conservation: what owners pay is the total, computed here anew and in whole units, for any usage."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from corpus.costs import HOUR, REGION
from costagg.allocation import AllocationRules, HourCost, allocate
from costagg.pipeline import metric_series
from costagg.usage import MINUTES, CallKey, Calls, Endpoints, EndpointUse, HourUsage, InstanceMinutes, Sharer
from llmplatform.costs import (
    INFERENCE_LAYER,
    OBSERVABILITY_LAYER,
    PLATFORM,
    SMALLEST_USD,
    UNUSED,
    Layer,
    decode_line,
    encode_line,
)
from llmplatform.footprint import METRIC_MONTHS, METRICS_READ, READS, WRITES, PipelineQuantities
from llmplatform.prices import (
    InstancePriceRow,
    PriceRow,
    PriceTable,
    ServicePriceRow,
    TokenClass,
)
from llmplatform.usage import UsageSource

CLASSES: tuple[TokenClass, ...] = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
PRICE_KEYS = ("vendor.a/geo", "vendor.a/global", "vendor.b/in-region")
TYPES = ("ml.g5.xlarge", "ml.g5.12xlarge", "ml.p9.48xlarge")
NAMES = ("one", "two")
LAYERS: tuple[Layer, ...] = (INFERENCE_LAYER, OBSERVABILITY_LAYER)
RULES = AllocationRules(
    PipelineQuantities(
        per_request={WRITES: Fraction(3), READS: Fraction(1)},
        per_sample={WRITES: Fraction(2)},
        per_judgement={WRITES: Fraction(5)},
        per_hour={READS: Fraction(7)},
    )
)
METRICS_REQUESTED = 11

tenants = st.sampled_from(("acme", "globex", "initech", PLATFORM))
counts = st.integers(0, 10**9)
layers = st.sampled_from(LAYERS)
bedrock_keys = st.builds(
    CallKey,
    tenant_id=tenants,
    layer=layers,
    endpoint_type=st.just("bedrock"),
    model_id=st.sampled_from(("a", "b")),
    backend_model_id=st.sampled_from(("id", "arn")),
    endpoint_name=st.none(),
    price_key=st.sampled_from(PRICE_KEYS),
    service_tier=st.sampled_from(("default", "flex")),
    usage_source=st.sampled_from([source.value for source in UsageSource]),
)
calls = st.dictionaries(
    bedrock_keys,
    st.builds(
        Calls,
        requests=st.integers(1, 1_000),
        tokens=st.dictionaries(st.sampled_from(CLASSES), counts),
        uncounted=st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 9)),
    ),
    max_size=8,
)
sharers = st.builds(Sharer, tenants, st.sampled_from(("a", "b")), layers)
uses = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        EndpointUse,
        tokens=st.dictionaries(sharers, counts, max_size=4),
        requests=st.dictionaries(sharers, st.integers(0, 1_000), max_size=4),
        tokens_by_minute=st.lists(st.integers(0, 10**6), min_size=MINUTES, max_size=MINUTES),
        active_minutes=st.integers(0, 2**MINUTES - 1),
    ),
)


@st.composite
def variants(draw: st.DrawFn, name: str) -> tuple[InstanceMinutes, ...]:
    """Variants of an endpoint, each of which scales now and then, or is not seen for a while."""
    found: list[InstanceMinutes] = []
    for at in range(draw(st.integers(0, 3))):
        steps = draw(st.lists(st.none() | st.integers(0, 40), min_size=1, max_size=4))
        found.append(
            InstanceMinutes(
                endpoint_name=name,
                variant=f"v{at}",
                instance_type=draw(st.sampled_from(TYPES)),
                counts=tuple(steps[minute * len(steps) // MINUTES] for minute in range(MINUTES)),
                source=draw(st.sampled_from(("metered", "described", "unknown"))),
                rated_tokens_per_minute=draw(st.none() | st.integers(1, 10**6)),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in whole units of 1E-12 $: of a token, of an instance hour, of a unit of a service."""

    tokens: Mapping[tuple[str, TokenClass], int]
    instances: Mapping[str, int]
    services: Mapping[str, int]

    def table(self) -> PriceTable:
        """The same as the product reads it."""
        dated: dict[str, Any] = {
            "regions": ("*",),
            "effective_from": date(2026, 1, 1),
            "source": "a test",
            "retrieved_on": date(2026, 1, 1),
        }
        by_key: dict[str, dict[TokenClass, Decimal]] = {}
        for (key, token_class), units in self.tokens.items():
            by_key.setdefault(key, {})[token_class] = units * SMALLEST_USD * 1_000_000
        return PriceTable(
            "test",
            [PriceRow(price_key=key, usd_per_million_tokens=usd, **dated) for key, usd in by_key.items()],
            [
                InstancePriceRow(instance_type=name, usd_per_hour=units * SMALLEST_USD, **dated)
                for name, units in self.instances.items()
            ],
            [
                ServicePriceRow(
                    service=name.partition("/")[0],
                    name=name.partition("/")[2],
                    unit="Units",
                    usd_per_unit=units * SMALLEST_USD,
                    **dated,
                )
                for name, units in self.services.items()
            ],
        )


some_prices = st.builds(
    Prices,
    tokens=st.dictionaries(st.tuples(st.sampled_from(PRICE_KEYS), st.sampled_from(CLASSES)), counts),
    instances=st.dictionaries(st.sampled_from(TYPES), st.integers(0, 10**14)),
    services=st.dictionaries(st.sampled_from((WRITES, READS, METRICS_READ, METRIC_MONTHS)), counts),
)
hours = st.builds(
    HourUsage,
    hour=st.just(HOUR),
    computed_from=st.just("request-ledger"),
    calls=calls,
    endpoints=uses,
    requests=st.integers(0, 10**6),
    sampled=st.integers(0, 10**5),
    judged=st.integers(0, 10**5),
)
endpoints = st.fixed_dictionaries({}, optional={name: variants(name) for name in NAMES})


def bill(usage: HourUsage, ran: Endpoints, table: PriceTable) -> HourCost:
    return allocate(usage, ran, table, region=REGION, rules=RULES, metrics_requested=METRICS_REQUESTED)


def divided(whole: int, by: int) -> int:
    """A division of whole numbers to the nearest, half to even."""
    quotient, rest = divmod(whole, by)
    return quotient + (2 * rest > by or (2 * rest == by and quotient % 2 == 1))


def total_of(usage: HourUsage, ran: Endpoints, prices: Prices) -> int:
    """What an hour costs in all, in whole units, without asking who pays: the long way, by hand."""
    total = 0
    for key, added in usage.calls.items():
        for token_class, tokens in added.tokens.items():
            if key.service_tier == "default":
                total += tokens * prices.tokens.get((key.price_key, token_class), 0)
    for found in ran.values():
        minutes: dict[tuple[str, str], int] = {}
        for variant in found:
            if variant.source != "unknown":
                key_of = (variant.instance_type, variant.source)
                minutes[key_of] = minutes.get(key_of, 0) + sum(count or 0 for count in variant.counts)
        for (instance_type, _), running in minutes.items():
            total += divided(running * prices.instances.get(instance_type, 0), MINUTES)
    writes = 3 * usage.requests + 2 * usage.sampled + 5 * usage.judged
    total += writes * prices.services.get(WRITES, 0)
    total += (usage.requests + 7) * prices.services.get(READS, 0)
    total += METRICS_REQUESTED * prices.services.get(METRICS_READ, 0)
    months = divided(metric_series(usage, 100) * 10**12, 730)
    return total + divided(months * prices.services.get(METRIC_MONTHS, 0), 10**12)


@given(hours, endpoints, some_prices)
def test_tenants_and_unused_and_platform_are_the_total_to_the_smallest_unit(
    usage: HourUsage, ran: Endpoints, prices: Prices
) -> None:
    cost = bill(usage, ran, prices.table())
    paid: dict[str, int] = {}
    for line in cost.lines:
        if line.amount_usd is not None:
            units = line.amount_usd / SMALLEST_USD
            assert units == int(units)
            paid[line.tenant_id] = paid.get(line.tenant_id, 0) + int(units)
    assert sum(paid.values()) == total_of(usage, ran, prices)
    assert cost.total_usd == sum(paid.values()) * SMALLEST_USD


@given(hours, endpoints, some_prices)
def test_hours_of_instances_are_conserved_too_priced_or_not(
    usage: HourUsage, ran: Endpoints, prices: Prices
) -> None:
    lines = bill(usage, ran, prices.table()).lines
    for name, found in ran.items():
        minutes = sum(
            count or 0 for variant in found if variant.source != "unknown" for count in variant.counts
        )
        hours = sum(line.quantity or 0 for line in lines if line.endpoint_name == name)
        # rounded once for each instance type and source, of which there are at most three here
        assert abs(Fraction(hours) - Fraction(minutes, MINUTES)) <= Fraction(3, 2 * 10**12)


@given(hours, endpoints, some_prices)
def test_nothing_is_negative_and_an_amount_is_known_where_quantity_and_price_are(
    usage: HourUsage, ran: Endpoints, prices: Prices
) -> None:
    for line in bill(usage, ran, prices.table()).lines:
        assert line.quantity is None or line.quantity >= 0
        assert line.amount_usd is None or line.amount_usd >= 0
        assert (line.amount_usd is None) == (line.quantity is None or line.unit_price_usd is None)
        if line.amount_usd is not None and line.quantity is not None and line.unit_price_usd is not None:
            # A share is rounded apart from its hours: at most a unit of each, and the half of the whole.
            apart = abs(Fraction(line.amount_usd) - Fraction(line.quantity) * Fraction(line.unit_price_usd))
            assert apart <= Fraction(SMALLEST_USD) * (2 + 2 * Fraction(line.unit_price_usd))


@given(hours, endpoints, some_prices)
def test_an_idle_minute_is_paid_by_no_tenant(usage: HourUsage, ran: Endpoints, prices: Prices) -> None:
    for use in usage.endpoints.values():
        use.active_minutes = 0
    lines = bill(usage, ran, prices.table()).lines
    paid_by = {line.tenant_id for line in lines if line.charge_class == "instance" and line.quantity}
    assert paid_by <= {UNUSED}


@given(hours, endpoints, some_prices)
def test_the_order_of_facts_changes_nothing(usage: HourUsage, ran: Endpoints, prices: Prices) -> None:
    turned = HourUsage(
        usage.hour,
        usage.computed_from,
        calls={
            key: Calls(added.requests, _turned(added.tokens), _turned(added.uncounted))
            for key, added in _turned(usage.calls).items()
        },
        endpoints={
            name: EndpointUse(
                _turned(use.tokens), _turned(use.requests), use.tokens_by_minute, use.active_minutes
            )
            for name, use in _turned(usage.endpoints).items()
        },
        requests=usage.requests,
        sampled=usage.sampled,
        judged=usage.judged,
    )
    ran_turned = {name: found[::-1] for name, found in _turned(ran).items()}
    table = prices.table()
    assert bill(turned, ran_turned, table) == bill(usage, ran, table)


@given(hours, endpoints, some_prices)
def test_lines_are_sorted_their_keys_tell_them_apart_and_rows_bring_them_back(
    usage: HourUsage, ran: Endpoints, prices: Prices
) -> None:
    lines = bill(usage, ran, prices.table()).lines
    keys = [(line.tenant_id, line.key) for line in lines]
    assert keys == sorted(set(keys))
    for line in lines:
        stored = decode_line(orjson.loads(orjson.dumps(encode_line(line, 3))))
        assert (stored.line, stored.run) == (line, 3)


def test_a_price_that_changes_at_midnight_changes_with_the_hour() -> None:
    prices = Prices({("vendor.a/geo", "input"): 1}, {}, {}).table()
    key = CallKey("acme", INFERENCE_LAYER, "bedrock", "a", "id", None, "vendor.a/geo", "default", "reported")
    for hour, known in (
        (datetime(2025, 12, 31, 23, tzinfo=UTC), False),
        (datetime(2026, 1, 1, tzinfo=UTC), True),
    ):
        usage = HourUsage(hour, "request-ledger", calls={key: Calls(1, {"input": 5})})
        (line,) = [line for line in bill(usage, {}, prices).lines if line.tenant_id == "acme"]
        assert (line.amount_usd is not None) == known


def _turned(facts: Mapping[Any, Any]) -> dict[Any, Any]:
    return dict(reversed(list(facts.items())))
