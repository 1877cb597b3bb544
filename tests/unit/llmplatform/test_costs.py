"""A cost line and an hour's status survive their rows; what is unknown stays unknown."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from harness.cost_lines import HOUR, INPUT
from llmplatform.costs import (
    CostLine,
    HourStatus,
    StoredLine,
    decode_line,
    decode_status,
    encode_line,
    encode_status,
    line_key,
    partition_key,
    status_key,
)
from llmplatform.errors import TelemetryFault

LINE = replace(
    INPUT,
    charge_class="cache_write_1h",
    quantity=Decimal(1_234_567),
    unit_price_usd=Decimal("0.0000022"),
    amount_usd=Decimal("2.7160474"),
)
STATUS = HourStatus(
    hour=HOUR,
    state="closed",
    claimed_run=4,
    run=4,
    computed_at=datetime(2026, 11, 24, 3, 5, tzinfo=UTC),
    computed_from="cloudwatch-metrics",
    ledger_rows=83_000,
    amounts_usd={"_unused": Decimal(2), "acme": Decimal("10.000000000001"), "globex-health": None},
    unpriced_lines=1,
    uncounted_requests=2,
    price_version="2026-11-23",
    client_tokens={"acme": (4_000_000_000, 12), "globex-health": (0, 0)},
)


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        replace(LINE, quantity=None, amount_usd=None, usage_source="unknown"),
        replace(LINE, unit_price_usd=None, amount_usd=None),
        replace(LINE, endpoint_type=None, model_id=None, tenant_id="_platform", charge_class="service"),
        replace(LINE, amount_usd=Decimal("1E-12"), quantity=Decimal(0)),
        replace(LINE, endpoint_type="sagemaker", charge_class="instance", tokens=0),
    ],
)
def test_a_line_survives_its_row(line: CostLine) -> None:
    assert decode_line(encode_line(line, 7)) == StoredLine(line, 7)


def test_a_row_is_found_by_its_owner_and_day_and_sorted_by_its_hour() -> None:
    key = line_key(LINE, 7)
    assert key["tenant_date"]["S"] == partition_key("acme", HOUR.date()) == "acme#2026-11-23"
    assert key["line"]["S"].startswith("20#inference#bedrock#claude-haiku-4-5#")
    assert key != line_key(LINE, 8)  # a run takes the place of nothing that readers have


@pytest.mark.parametrize("name", ["model_id", "price_key", "service_tier", "usage_source", "charge_class"])
def test_lines_that_differ_in_what_they_are_about_have_keys_of_their_own(name: str) -> None:
    change: dict[str, Any] = {name: "another"}
    assert replace(LINE, **change).key != LINE.key


def test_a_separator_inside_a_part_of_a_key_separates_nothing() -> None:
    tiers = ("a#b", "a%23b", "a", "a#", "#")
    lines = [replace(LINE, price_key=price_key, service_tier=tier) for price_key in tiers for tier in tiers]
    assert len({line.key for line in lines}) == len(lines)
    for line in lines:
        assert line.key.count("#") == LINE.key.count("#")
        assert decode_line(encode_line(line, 1)).line == line


def test_a_status_survives_its_row() -> None:
    assert decode_status(encode_status(STATUS)) == STATUS


def test_a_status_tells_owners_and_the_total() -> None:
    assert STATUS.owners == ("_unused", "acme", "globex-health")
    assert STATUS.total_usd == Decimal("12.000000000001")


def test_an_hour_that_was_only_claimed_is_open_and_shows_nothing() -> None:
    item = status_key(HOUR) | {"hour": {"S": HOUR.isoformat()}, "claimed_run": {"N": "1"}}
    status = decode_status(item)
    assert (status.state, status.run, status.closed) == ("open", 0, False)
    assert not status.shows(StoredLine(LINE, 1))


def test_only_lines_of_the_whole_run_hold_and_a_run_at_work_reopens_the_hour() -> None:
    assert STATUS.closed
    assert not STATUS.shows(StoredLine(LINE, 3))
    assert STATUS.shows(StoredLine(LINE, 4))
    rerun = replace(STATUS, claimed_run=5)
    assert not rerun.closed
    assert rerun.shows(StoredLine(LINE, 4))
    assert not rerun.shows(StoredLine(LINE, 5))


@pytest.mark.parametrize("broken", [{}, {"tenant_id": {"S": "acme"}}, {"hour": {"S": "yesterday"}}])
def test_what_is_no_row_is_said_to_be_none(broken: dict[str, dict[str, str]]) -> None:
    with pytest.raises(TelemetryFault):
        decode_line(broken)
    with pytest.raises(TelemetryFault):
        decode_status(broken)
