"""An estimate as a whole: its share, what would change it, and what it does not know."""

from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest

from harness.estimates import BANDLESS, FACTS, asked, pricing, workload
from operator_cli.estimate.estimating import Asked, Estimate, Size, estimate, share
from operator_cli.estimate.figures import Range
from operator_cli.estimate.levers import TARGET


@cache
def design() -> Estimate:
    """At the design's scale."""
    return estimate(asked(), pricing())


def size_of(what: Asked, region: str = "us-east-1") -> Size:
    return estimate(what, pricing(region)).sizes[0]


def likely(found: Range | None) -> Decimal:
    assert found is not None
    return found.likely


def test_the_share_is_within_three_percent_where_inference_is_dear() -> None:
    assert likely(size_of(asked(models="claude-sonnet-4-6")).share) < TARGET
    assert likely(design().sizes[0].share) > TARGET


def test_a_share_lies_between_the_least_over_the_most_and_the_most_over_the_least() -> None:
    found = share(Range(Decimal(1), Decimal(2), Decimal(3)), Range(Decimal(10), Decimal(20), Decimal(30)))
    assert found is not None
    assert (round(found.low, 3), found.likely, found.high) == (
        Decimal("0.033"),
        Decimal("0.1"),
        Decimal("0.3"),
    )


def test_without_a_price_of_inference_there_is_no_share() -> None:
    found = size_of(asked(models="llama-3-8b-support"))
    assert found.share is None
    assert found.inference_unknown == ("llama-3-8b-support",)


def test_what_the_cost_job_leaves_out_is_in_our_share_and_not_in_its() -> None:
    found = design().sizes[0]
    alarms = next(part for part in found.parts if part.name == "alarms")
    assert alarms.metered_usd is None
    assert likely(found.metered_share) < likely(found.share)


def test_serving_is_no_part_of_the_share() -> None:
    found = design().sizes[0]
    assert found.observing_usd.likely + sum(likely(p.usd) for p in found.of("serving") if p.usd) == sum(
        likely(part.usd) for part in found.parts if part.usd
    )


def test_unknown_parts_are_named() -> None:
    assert design().sizes[0].unknown == ("stream, after its first day",)
    assert "custom metrics" in size_of(asked(), "eu-north-1").unknown


def test_sizes_are_those_that_were_asked_for() -> None:
    found = estimate(asked(1, 10, 100), pricing())
    assert [size.workload.tenants for size in found.sizes] == [50, 500, 5_000]
    assert all(len(filling.limits) == 3 for filling in found.fillings)


def test_the_rate_that_is_named_keeps_the_share_and_the_next_does_not() -> None:
    levers = {lever.what: lever for lever in design().levers}
    (what,) = (name for name in levers if name.startswith("--sample-rate"))
    rate = Decimal(what.removeprefix("--sample-rate "))
    assert levers[what].enough
    assert likely(size_of(asked(sample_rate=rate)).share) <= TARGET
    assert likely(size_of(asked(sample_rate=rate + Decimal("0.002"))).share) > TARGET


def test_where_the_share_is_kept_no_rate_is_named() -> None:
    levers = estimate(asked(models="claude-sonnet-4-6"), pricing()).levers
    assert not [lever for lever in levers if lever.what.startswith("--sample-rate")]


def test_where_no_rate_keeps_the_share_none_is_named() -> None:
    levers = estimate(asked(models="nova-lite", requests_per_day=1_000), pricing()).levers
    assert not [lever for lever in levers if lever.what.startswith("--sample-rate")]


@pytest.mark.parametrize("what", ["--judge nova-2-lite", "--no-bands", "--models-per-tenant 2"])
def test_a_lever_lowers_the_share(what: str) -> None:
    found = design()
    (lever,) = (each for each in found.levers if each.what == what)
    assert lever.share.likely < likely(found.sizes[0].share)


def test_what_is_set_already_is_no_lever() -> None:
    plain = replace(
        asked(), facts=replace(FACTS, alarm_units=BANDLESS), workload=workload(models_per_tenant=1)
    )
    names = [lever.what for lever in estimate(plain, pricing()).levers]
    assert "--no-bands" not in names
    assert "--judge claude-haiku-4-5" not in names
    assert not [name for name in names if name.startswith("--models-per-tenant")]
