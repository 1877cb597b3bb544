"""The bill of an hour as a whole: order, keys and the figures about it."""

from decimal import Decimal
from fractions import Fraction

from corpus.costs import BIG, REGION, SMALL, call, instances, prices, service_price, usage, use
from costagg.allocation import AllocationRules, HourCost, allocate
from costagg.usage import CallKey, Calls, EndpointUse, InstanceMinutes
from llmplatform.costs import OBSERVABILITY_LAYER, PLATFORM, UNUSED
from llmplatform.footprint import WRITES, PipelineQuantities

RULES = AllocationRules(PipelineQuantities({WRITES: Fraction(4)}, {}, {}, {}))


def cost(
    calls: dict[CallKey, Calls],
    endpoints: dict[str, EndpointUse] | None = None,
    *variants: InstanceMinutes,
    requests: int = 0,
) -> HourCost:
    facts = usage(calls=calls, endpoints=endpoints or {}, requests=requests)
    services = service_price("AmazonDynamoDB", "WriteRequestUnits", "0.01")
    services += service_price("AmazonCloudWatch", "CW:MetricMonitorUsage", "0")
    table = prices(services)
    return allocate(facts, {"llama": variants} if variants else {}, table, region=REGION, rules=RULES)


def test_every_dollar_of_an_hour_has_an_owner() -> None:
    bill = cost(
        {
            call("globex"): Calls(1, {"input": 2_000_000}),
            call("acme"): Calls(1, {"output": 1_000_000}),
            call("acme", layer=OBSERVABILITY_LAYER): Calls(1, {"input": 1_000_000}),
        },
        {"llama": use({"acme": 100}, range(30))},
        instances((60, 1)),
        requests=10,
    )
    told = [(line.tenant_id, line.layer, line.charge_class, line.amount_usd) for line in bill.lines]
    assert [one for one in told if one[-1]] == [
        (PLATFORM, "observability-layer", "service", Decimal("0.40")),
        (UNUSED, "inference", "instance", Decimal("3.60")),
        ("acme", "inference", "output", Decimal("5.50")),
        ("acme", "inference", "instance", Decimal("3.60")),
        ("acme", "observability-layer", "input", Decimal("1.10")),
        ("globex", "inference", "input", Decimal("2.20")),
    ]
    assert bill.total_usd == Decimal("16.40")
    assert (bill.unpriced, bill.uncounted_requests) == ((), 0)


def test_an_unknown_price_is_counted_and_not_in_the_total() -> None:
    bill = cost({call(): Calls(1, {"input": 1_000_000}), call(price_key="new/geo"): Calls(3, {"input": 5})})
    assert bill.total_usd == Decimal("1.10")
    assert [(line.price_key, line.quantity) for line in bill.unpriced] == [("new/geo", Decimal(5))]


def test_a_call_of_which_two_classes_are_unknown_is_one_uncounted_request() -> None:
    assert cost({call(): Calls(2, {}, {"input": 2, "output": 2})}).uncounted_requests == 2
    assert cost({call(): Calls(2, {"input": 4}, {"output": 1})}).uncounted_requests == 1


def test_a_call_of_which_two_instance_types_are_unknown_is_one_uncounted_request() -> None:
    bill = cost(
        {},
        {"llama": use({"acme": 9, "globex": 9}, range(3), requests={"acme": 3, "globex": 1})},
        instances((60, None), instance_type=BIG),
        instances((60, None), instance_type=SMALL),
    )
    assert bill.uncounted_requests == 4


def test_calls_at_different_prices_are_different_uncounted_requests() -> None:
    calls = {call(price_key=key): Calls(1, {}, {"input": 1}) for key in ("vendor.a/geo", "vendor.a/global")}
    assert cost(calls).uncounted_requests == 2


def test_an_hour_in_which_nothing_was_has_no_lines() -> None:
    assert cost({}).lines == ()
