"""What a gap in an endpoint's metrics means, case by case."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costagg.instance_minutes import (
    MINUTE,
    Described,
    Description,
    instances_by_minute,
    metered_minutes,
    tells_all,
)
from costagg.usage import InstanceSource

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)
LONG_AGO = HOUR - timedelta(days=30)
THERE = Description(LONG_AGO, {"AllTraffic": 2})


def minutes(counts: Mapping[range, int]) -> dict[datetime, int]:
    return {HOUR + at * MINUTE: count for span, count in counts.items() for at in span}


def read(
    metered: dict[datetime, int], described: Described = "unknown", *, over: int = 60
) -> tuple[tuple[int | None, ...], InstanceSource]:
    return instances_by_minute(metered, HOUR, over, variant="AllTraffic", described=described)


def test_a_whole_hour_is_as_metered_with_a_scale_out_in_it() -> None:
    metered = minutes({range(20): 1, range(20, 60): 3})
    assert tells_all(metered, HOUR, 60)
    assert read(metered) == ((1,) * 20 + (3,) * 40, "metered")


def test_a_gap_inside_carries_the_minute_before_it() -> None:
    metered = minutes({range(20): 1, range(30, 60): 2})
    assert tells_all(metered, HOUR, 60)
    assert read(metered) == ((1,) * 30 + (2,) * 30, "metered")


def test_gaps_at_the_edges_are_filled_while_the_endpoint_was_there() -> None:
    metered = minutes({range(5, 55): 2})
    assert read(metered, THERE) == ((2,) * 60, "metered")
    assert read(metered, "unknown") == ((2,) * 60, "metered")


@pytest.mark.parametrize("metered", [range(1, 60), range(59)], ids=["first minute", "last minute"])
def test_a_gap_at_either_edge_needs_a_description(metered: range) -> None:
    assert not tells_all(minutes({metered: 2}), HOUR, 60)


def test_a_gap_at_an_edge_is_inside_if_the_hours_around_are_metered() -> None:
    metered = minutes({range(-3, -2): 4, range(5, 55): 2, range(70, 71): 1})
    assert tells_all(metered, HOUR, 60)
    assert read(metered, "gone") == ((4,) * 5 + (2,) * 55, "metered")


def test_an_endpoint_that_was_made_in_the_hour_did_not_run_before() -> None:
    made = Description(HOUR + timedelta(minutes=29, seconds=50), {"AllTraffic": 2})
    assert read(minutes({range(31, 60): 2}), made) == ((0,) * 29 + (2,) * 31, "metered")


def test_an_endpoint_that_is_gone_ended_with_its_last_datapoint() -> None:
    assert read(minutes({range(40): 2}), "gone") == ((2,) * 40 + (0,) * 20, "metered")


def test_an_endpoint_made_anew_since_is_another_one() -> None:
    anew = Description(HOUR + timedelta(hours=5), {"AllTraffic": 9})
    assert read(minutes({range(40): 2}), anew) == ((2,) * 40 + (0,) * 20, "metered")


def test_without_a_datapoint_the_description_counts() -> None:
    assert not tells_all({}, HOUR, 60)
    assert read({}, THERE) == ((2,) * 60, "described")
    made = Description(HOUR + timedelta(minutes=15), {"AllTraffic": 3})
    assert read({}, made) == ((0,) * 15 + (3,) * 45, "described")


def test_neighbours_alone_do_not_make_an_hour_metered() -> None:
    assert read(minutes({range(-60, 0): 5, range(60, 120): 5}), THERE) == ((2,) * 60, "described")


@pytest.mark.parametrize(
    "described", ["gone", Description(LONG_AGO, {"other": 2}), Description(HOUR + timedelta(hours=1), {})]
)
def test_what_is_not_there_ran_not_at_all(described: Described) -> None:
    assert read({}, described) == ((0,) * 60, "described")


@pytest.mark.parametrize("described", ["unknown", Description(LONG_AGO, {"AllTraffic": None})])
def test_what_nobody_knows_is_not_0(described: Described) -> None:
    assert read({}, described) == ((None,) * 60, "unknown")


def test_minutes_to_come_have_none() -> None:
    metered = minutes({range(28): 2})  # two minutes late, as they often are
    assert not tells_all(metered, HOUR, 30)
    assert read(metered, THERE, over=30) == ((2,) * 30 + (0,) * 30, "metered")
    assert read({}, "unknown", over=30) == ((None,) * 30 + (0,) * 30, "unknown")


def test_an_hour_that_has_not_begun_needs_no_description() -> None:
    assert tells_all({}, HOUR, 0)
    assert read({}, over=0) == ((0,) * 60, "metered")


def test_an_instance_that_publishes_six_times_a_minute_is_one() -> None:
    assert dict(metered_minutes({HOUR: 12.0}, 60, 10)) == {HOUR: 2}


def test_an_instance_that_publishes_every_five_minutes_is_one() -> None:
    assert dict(metered_minutes({HOUR: 2.0}, 60, 300)) == {HOUR: 2}


def test_of_longer_periods_the_instance_minutes_are_kept() -> None:
    assert list(dict(metered_minutes({HOUR: 7.0}, 300, 60)).values()) == [1, 1, 1, 2, 2]


@given(st.integers(0, 10_000), st.sampled_from([60, 300, 3_600]))
def test_no_instance_minute_is_lost_or_added(samples: int, period_s: int) -> None:
    spread = dict(metered_minutes({HOUR: float(samples)}, period_s, 60))
    assert sum(spread.values()) == samples
    assert list(spread) == [HOUR + at * MINUTE for at in range(period_s // 60)]
    assert max(spread.values()) - min(spread.values()) <= 1
