"""Instance hours to those who used them: worked examples, 7.20 $ an hour being 0.12 $ a minute."""

from decimal import Decimal

import pytest

from corpus.costs import BIG, REGION, SMALL, call, instances, prices, sharer, usage, use
from costagg.sagemaker import all_known, instance_lines
from costagg.usage import Calls, EndpointUse, InstanceMinutes
from llmplatform.costs import OBSERVABILITY_LAYER, UNUSED, CostLine

HOUR_LONG = range(60)


def lines_of(used: EndpointUse | None, *variants: InstanceMinutes) -> list[CostLine]:
    endpoints = {"llama": used} if used else {}
    facts = usage(endpoints=endpoints, calls={call(endpoint_type="sagemaker"): Calls(1, {"input": 9})})
    return list(instance_lines(facts, {"llama": variants} if variants else {}, prices(), region=REGION))


def bill(lines: list[CostLine]) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    """Instance hours and dollars of each owner."""
    assert len({line.tenant_id for line in lines}) == len(lines)
    return {line.tenant_id: (line.quantity, line.amount_usd) for line in lines}


def test_an_hour_with_traffic_from_one_tenant() -> None:
    # Calls in 45 minutes of 60: 0.75 h x 7.20 = 5.40; the other 15 are idle: 0.25 h x 7.20 = 1.80.
    lines = lines_of(use({"acme": 9_000}, range(45)), instances((60, 1)))
    assert bill(lines) == {
        "acme": (Decimal("0.75"), Decimal("5.40")),
        UNUSED: (Decimal("0.25"), Decimal("1.80")),
    }
    acme, unused = lines
    assert (acme.model_id, acme.endpoint_name, acme.price_key, acme.requests) == ("llama", "llama", BIG, 1)
    assert (acme.usage_source, acme.unit, acme.unit_price_usd) == (
        "metered",
        "instance-hours",
        Decimal("7.20"),
    )
    assert (acme.allocation_method, unused.allocation_method) == ("token-weight/1", "idle-minutes/1")
    assert (unused.model_id, unused.layer, unused.requests) == (None, "inference", 0)


def test_an_hour_with_traffic_from_none() -> None:
    assert bill(lines_of(None, instances((60, 1)))) == {UNUSED: (Decimal(1), Decimal("7.20"))}


def test_a_scale_out_inside_the_hour() -> None:
    # 30 minutes of one instance and 30 of three are 120 instance minutes: 2 h, 14.40. Calls in the last of
    # the first 30 and in the first 10 of the second: 1 x 1 + 10 x 3 = 31 instance minutes, 31 x 0.12 = 3.72.
    lines = lines_of(use({"acme": 1_100}, range(29, 40)), instances((30, 1), (30, 3)))
    assert [line.amount_usd for line in lines] == [Decimal("3.72"), Decimal("10.68")]
    assert sum(line.quantity or 0 for line in lines) == 2


def test_two_tenants_at_three_to_one_with_idle_minutes() -> None:
    # 40 used minutes are 4.80: 3.60 and 1.20. 20 idle ones are 2.40.
    lines = lines_of(use({"globex": 1_000, "acme": 3_000}, range(10, 50)), instances((60, 1)))
    assert bill(lines) == {
        "acme": (Decimal("0.5"), Decimal("3.60")),
        "globex": (Decimal("0.166666666667"), Decimal("1.20")),
        UNUSED: (Decimal("0.333333333333"), Decimal("2.40")),
    }


def test_a_minute_that_is_not_filled_is_used_in_part_where_the_rated_speed_is_known() -> None:
    # 250 tokens in each of 30 minutes, of 1,000 that fit: a quarter of 30 minutes is 7.5, 0.90. Rest: 6.30.
    lines = lines_of(use({"acme": 7_500}, range(30)), instances((60, 1), rated_tokens_per_minute=1_000))
    assert bill(lines) == {
        "acme": (Decimal("0.125"), Decimal("0.90")),
        UNUSED: (Decimal("0.875"), Decimal("6.30")),
    }
    assert lines[1].allocation_method == "rated-capacity/1"


def test_a_rated_minute_is_never_used_more_than_whole_and_more_instances_hold_more() -> None:
    # 1,500 tokens a minute: more than one instance can do, three quarters of two.
    # (30 x 1 + 30 x 2 x 3/4) x 0.12 = 9
    lines = lines_of(
        use({"acme": 90_000}, HOUR_LONG), instances((30, 1), (30, 2), rated_tokens_per_minute=1_000)
    )
    assert bill(lines) == {
        "acme": (Decimal("1.25"), Decimal("9.00")),
        UNUSED: (Decimal("0.25"), Decimal("1.80")),
    }


def test_variants_of_an_endpoint_fill_together() -> None:
    # 1,000 tokens a minute of the 4,000 that both can do: a quarter of 60 minutes of each.
    lines = lines_of(
        use({"acme": 60_000}, HOUR_LONG),
        instances((60, 1), rated_tokens_per_minute=3_000),
        instances((60, 1), rated_tokens_per_minute=1_000, instance_type=SMALL, variant="small"),
    )
    assert [(line.tenant_id, line.price_key, line.amount_usd) for line in lines] == [
        ("acme", BIG, Decimal("1.80")),
        (UNUSED, BIG, Decimal("5.40")),
        ("acme", SMALL, Decimal("0.25")),
        (UNUSED, SMALL, Decimal("0.75")),
    ]


def test_variants_of_one_instance_type_share_a_line() -> None:
    lines = lines_of(use({"acme": 60}, HOUR_LONG), instances((60, 1)), instances((60, 2), variant="canary"))
    assert bill(lines) == {"acme": (Decimal(3), Decimal("21.60"))}


def test_models_of_one_endpoint_have_a_line_each() -> None:
    used = use({"acme": 60}, HOUR_LONG)
    (llama,) = used.tokens
    used.tokens[type(llama)("acme", "llama-small", "inference")] = 20
    lines = lines_of(used, instances((60, 1)))
    assert {line.model_id: line.amount_usd for line in lines} == {
        "llama": Decimal("5.40"),
        "llama-small": Decimal("1.80"),
    }


def test_a_judge_on_an_endpoint_is_a_sharer_of_its_own_layer() -> None:
    used = use({"acme": 60}, HOUR_LONG)
    used.tokens[sharer("acme", OBSERVABILITY_LAYER)] = 60
    lines = lines_of(used, instances((60, 1)))
    assert {(line.layer, line.amount_usd) for line in lines} == {
        ("inference", Decimal("3.60")),
        ("observability-layer", Decimal("3.60")),
    }


def test_calls_of_which_no_token_is_known_share_by_requests() -> None:
    used = use({"acme": 0, "globex": 0}, HOUR_LONG, requests={"acme": 3, "globex": 1})
    for rated in (None, 1_000):
        lines = lines_of(used, instances((60, 1), rated_tokens_per_minute=rated))
        assert bill(lines) == {
            "acme": (Decimal("0.75"), Decimal("5.40")),
            "globex": (Decimal("0.25"), Decimal("1.80")),
        }
        assert {line.allocation_method for line in lines} == {"requests/1"}


def test_a_tenant_of_which_no_token_is_known_beside_another_is_uncounted() -> None:
    used = use({"acme": 600, "globex": 0}, HOUR_LONG, requests={"acme": 1, "globex": 4})
    acme, globex = lines_of(used, instances((60, 1)))
    assert (acme.tenant_id, acme.amount_usd) == ("acme", Decimal("7.20"))
    assert (globex.tenant_id, globex.quantity, globex.requests) == ("globex", None, 4)


def test_shares_that_do_not_divide_lose_nothing_and_the_first_by_name_has_the_unit() -> None:
    tenants = {"c": 1, "a": 1, "b": 1}
    lines = lines_of(use(tenants, HOUR_LONG), instances((60, 1), instance_type=SMALL))
    assert [(line.tenant_id, line.amount_usd) for line in lines] == [
        ("a", Decimal("0.333333333334")),
        ("b", Decimal("0.333333333333")),
        ("c", Decimal("0.333333333333")),
    ]
    assert sum(line.amount_usd or 0 for line in lines) == 1


def test_an_endpoint_scaled_to_zero_costs_nothing() -> None:
    assert lines_of(None, instances((60, 0))) == []
    assert bill(lines_of(use({"acme": 30}, range(30)), instances((30, 2), (30, 0)))) == {
        "acme": (Decimal(1), Decimal("7.20"))
    }


def test_minutes_of_which_nobody_knows_the_instances_are_unknown_and_the_others_are_charged() -> None:
    # 30 known minutes with calls in 20 of them; of the unknown 30, calls ran in none.
    lines = lines_of(use({"acme": 20}, range(20)), instances((30, 1), (30, None)))
    assert [(line.tenant_id, line.usage_source, line.quantity, line.amount_usd) for line in lines] == [
        ("acme", "metered", Decimal("0.333333333333"), Decimal("2.40")),
        (UNUSED, "metered", Decimal("0.166666666667"), Decimal("1.20")),
        (UNUSED, "unknown", None, None),
    ]
    assert (lines[2].unit_price_usd, lines[2].requests) == (Decimal("7.20"), 0)


def test_whoever_used_a_minute_that_nobody_knows_is_told_that_something_is_missing() -> None:
    lines = lines_of(use({"acme": 60}, HOUR_LONG, requests={"acme": 5}), instances((59, 1), (1, None)))
    known, unknown = lines
    assert (known.tenant_id, known.amount_usd) == ("acme", Decimal("7.08"))
    assert (unknown.tenant_id, unknown.quantity, unknown.amount_usd) == ("acme", None, None)
    assert (unknown.usage_source, unknown.requests) == ("unknown", 5)


def test_an_endpoint_of_which_nothing_is_known_is_uncounted_for_each_sharer() -> None:
    lines = lines_of(use({"acme": 60, "globex": 5}, range(3)))
    assert bill(lines) == {"acme": (None, None), "globex": (None, None)}
    assert {line.price_key for line in lines} == {"unknown"}
    nothing = instances((60, None), source="unknown")
    assert [line.tenant_id for line in lines_of(use({"acme": 60}, HOUR_LONG), nothing)] == ["acme"]


def test_an_endpoint_that_was_called_did_not_run_on_nothing() -> None:
    """It was deleted since and nobody metered it, or the catalogue names a variant that it does not have."""
    none = instances((60, 0), source="described")
    (line,) = lines_of(use({"acme": 60}, HOUR_LONG), none)
    assert (line.tenant_id, line.price_key, line.usage_source) == ("acme", BIG, "unknown")
    assert (line.quantity, line.unit_price_usd, line.amount_usd) == (None, Decimal("7.20"), None)
    assert lines_of(None, none) == []
    assert lines_of(use({"acme": 60}, HOUR_LONG), instances((60, 0))) == []


@pytest.mark.parametrize(
    ("variants", "known"),
    [
        ((instances((60, 1)),), True),
        ((instances((60, 0)),), True),
        ((instances((59, 1), (1, None)),), False),
        ((instances((60, 0), source="described"),), False),
        ((instances((60, 0), source="described"), instances((60, 1))), True),
        ((), False),
    ],
)
def test_instances_of_whatever_was_called_are_to_be_known(
    variants: tuple[InstanceMinutes, ...], *, known: bool
) -> None:
    called = usage(endpoints={"llama": use({"acme": 60}, HOUR_LONG)})
    assert all_known(called, {"llama": variants} if variants else {}) == known
    assert all_known(usage(), {"llama": (instances((60, 0), source="described"),)})


def test_what_was_described_is_labelled_so() -> None:
    (line,) = lines_of(None, instances((60, 1), source="described"))
    assert line.usage_source == "described"


def test_an_unknown_instance_type_has_hours_and_no_price() -> None:
    lines = lines_of(use({"acme": 45}, range(45)), instances((60, 1), instance_type="ml.p9.48xlarge"))
    assert bill(lines) == {"acme": (Decimal("0.75"), None), UNUSED: (Decimal("0.25"), None)}
    assert {line.unit_price_usd for line in lines} == {None}


def test_tokens_without_a_minute_pay_for_none() -> None:
    assert bill(lines_of(use({"acme": 45}, range(0)), instances((60, 1)))) == {
        UNUSED: (Decimal(1), Decimal("7.20"))
    }
