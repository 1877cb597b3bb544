"""Sums of lines: by owner, model, endpoint, hour and layer, each with the days that it is about."""

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costagg.totals import Totals, first_day, month_to_date
from llmplatform.costs import CostLine, HourStatus

NOW = datetime(2026, 11, 23, 20, 5, tzinfo=UTC)
RUNNING = datetime(2026, 11, 23, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def line(tenant_id: str = "acme", hour: datetime = RUNNING, usd: str | None = "1", **about: Any) -> CostLine:
    fields: dict[str, Any] = {
        "layer": "inference",
        "service": "AmazonBedrock",
        "endpoint_type": "bedrock",
        "model_id": "haiku",
        "endpoint_name": None,
        "price_key": "anthropic.haiku/geo",
        "region": "us-east-1",
        "service_tier": "default",
        "charge_class": "input",
        "unit": "tokens",
        "quantity": Decimal(1_000),
        "unit_price_usd": None if usd is None else Decimal(usd) / 1_000,
        "amount_usd": None if usd is None else Decimal(usd),
        "requests": 3,
        "usage_source": "reported",
        "computed_from": "request-ledger",
        "allocation_method": "direct/1",
        "price_version": "2026-11-23",
    }
    return CostLine(tenant_id=tenant_id, hour=hour, **fields | about)


def instance(tenant_id: str, usd: str | None, endpoint_name: str = "llama") -> CostLine:
    return line(
        tenant_id,
        usd=usd,
        endpoint_name=endpoint_name,
        endpoint_type="sagemaker",
        charge_class="instance",
        unit="instance-hours",
    )


def totals(lines: Iterable[CostLine], now: datetime) -> Totals:
    return Totals(now).add(lines)


def test_an_owner_s_day_is_of_both_layers() -> None:
    sums = totals(
        [
            line(usd="1"),
            line(usd="0.5", layer="observability-layer"),
            line(hour=RUNNING.replace(hour=0), usd="0.25"),
            line(hour=RUNNING.replace(hour=0) - HOUR, usd="10"),
            line("_platform", usd="7", model_id=None, endpoint_type=None, layer="observability-layer"),
        ],
        NOW,
    )
    assert sums.today == {"acme": Decimal("1.75"), "_platform": Decimal(7)}
    assert sums.today_by_model == {("haiku", "bedrock"): Decimal("1.75")}


def test_a_budget_is_held_against_inference_alone_hour_by_hour() -> None:
    sums = totals(
        [
            line(usd="1"),
            line(usd="2", charge_class="output"),
            line(usd="4", layer="observability-layer"),
            line(usd=None),
            line(hour=RUNNING - HOUR, usd=None),
            line(hour=RUNNING - 24 * HOUR, usd="8"),
            line(hour=RUNNING - 25 * HOUR, usd="16"),
        ],
        NOW,
    )
    assert sums.inference_by_hour == {
        "acme": {RUNNING: Decimal(3), RUNNING - HOUR: None, RUNNING - 24 * HOUR: Decimal(8)}
    }


def test_what_is_known_is_added_up_and_only_unknown_amounts_are_unknown() -> None:
    sums = totals([line(usd=None), line(usd="2"), line(usd=None), line("globex", usd=None)], NOW)
    assert sums.today == {"acme": Decimal(2), "globex": None}


def test_layers_are_told_apart_today_and_over_the_last_day() -> None:
    yesterday = RUNNING - 22 * HOUR
    sums = totals(
        [
            line(usd="10"),
            line("_unused", usd="5"),
            line("_platform", usd="1", layer="observability-layer"),
            line(usd="2", layer="observability-layer", hour=yesterday),
            line(usd="4", layer="observability-layer", hour=yesterday - 3 * HOUR),
        ],
        NOW,
    )
    assert sums.today_by_layer == {"inference": Decimal(15), "observability-layer": Decimal(1)}
    assert sums.last_24_h_by_layer == {"inference": Decimal(15), "observability-layer": Decimal(3)}


def test_unused_capacity_is_a_part_of_each_endpoint_s_instances() -> None:
    sums = totals(
        [
            instance("acme", "3"),
            instance("_unused", "1"),
            instance("globex", "2", "mistral"),
            instance("_unused", "5", "idle"),
            instance("_unused", None, "unpriced"),
            instance("_unused", "0", "free"),
            instance("acme", "3", "unknown when idle"),
            instance("_unused", None, "unknown when idle"),
            line(usd="100", endpoint_name="llama"),
        ],
        NOW,
    )
    assert sums.unused_capacity_percent == {"llama": 25, "mistral": 0, "idle": 100}


def test_unpriced_lines_are_counted_by_price_key() -> None:
    sums = totals(
        [
            line(usd=None),
            line("globex", usd=None),
            line(usd=None, price_key="ml.g6.xlarge"),
            line(usd=None, quantity=None),  # uncounted: nobody knows whether it would have a price
            line(usd=None, quantity=Decimal(0)),
            line(hour=RUNNING - 24 * HOUR, usd=None, price_key="yesterday"),
            line(),
        ],
        NOW,
    )
    assert sums.unpriced_today == {"anthropic.haiku/geo": 2, "ml.g6.xlarge": 1}


@pytest.mark.parametrize(
    ("now", "first"),
    [
        (NOW, date(2026, 11, 22)),
        (datetime(2026, 1, 1, 23, 59, tzinfo=UTC), date(2025, 12, 31)),
    ],
)
def test_the_first_day_covers_the_last_24_hours(now: datetime, first: date) -> None:
    assert first_day(now) == first


def test_the_month_to_date_is_what_its_hours_tell() -> None:
    first = RUNNING.replace(day=1, hour=0)
    hours: dict[datetime, dict[str, Decimal | None]] = {
        first - HOUR: {"acme": Decimal(1_000)},
        first: {"acme": Decimal(100), "globex": None},
        RUNNING - HOUR: {"acme": None, "_unused": Decimal(5)},
        RUNNING: {"acme": Decimal("0.5")},
    }
    statuses = {
        hour: HourStatus(hour, "open", claimed_run=1, run=1, amounts_usd=amounts)
        for hour, amounts in hours.items()
    }
    assert month_to_date(statuses, NOW) == {"acme": Decimal("100.5"), "globex": None, "_unused": Decimal(5)}
    assert month_to_date({}, NOW) == {}


def test_no_lines_are_no_sums() -> None:
    assert totals([], NOW) == Totals(NOW)


def test_owners_add_up_to_the_layers_whatever_the_order() -> None:
    chance = random.Random(4)
    lines = [
        line(
            chance.choice(["acme", "globex", "_unused", "_platform"]),
            RUNNING - chance.randrange(30) * HOUR,
            None if chance.random() < 0.1 else str(Decimal(chance.randrange(10**15)).scaleb(-12)),
            layer=chance.choice(["inference", "observability-layer"]),
            model_id=chance.choice(["haiku", "opus"]),
        )
        for _ in range(2_000)
    ]
    sums = totals(lines, NOW)
    today = sum(amount for amount in sums.today.values() if amount is not None)
    assert today == sum(amount for amount in sums.today_by_layer.values() if amount is not None)
    assert today == sum(amount for amount in sums.today_by_model.values() if amount is not None)
    chance.shuffle(lines)
    assert totals(lines, NOW) == sums
