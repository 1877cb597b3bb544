"""Exports in FOCUS 1.3: rows add up to the lines, and hold the rules that 1.3 added to 1.2.

Those of 1.2 are held by the public validator: tests/integration/costagg/test_focus_validator.py. A test of a
rule names its place in the specification, https://focus.finops.org/focus-specification/v1-3/, dataset Cost
and Usage.
"""

import asyncio
import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costagg.focus import ExportSummary, UnpricedLines, export
from costagg.focus.columns import ADDED_IN_1_3, COLUMNS, FOCUS_COLUMNS, OUR_COLUMNS
from costagg.focus.exporting import FocusGranularity
from costagg.focus.rows import Account, FocusRow, focus_rows
from harness.cost_lines import HOUR, INPUT, INSTANCE, used
from harness.focus_day import DAY, Stored, busy_hour, days
from llmplatform.bills import bill_rows, exact_sum
from llmplatform.costs import UNUSED, CostLine
from llmplatform.errors import ConfigFault

ACCOUNT = Account("012345678901", "production", {"us-east-1": "US East (N. Virginia)"})


def rows_of(lines: Sequence[CostLine], granularity: FocusGranularity = "hour") -> list[FocusRow]:
    return list(focus_rows(bill_rows(lines, {}, granularity), ACCOUNT))


def written(
    out: Path,
    lines: Sequence[CostLine],
    *,
    last: date = DAY,
    granularity: FocusGranularity = "hour",
    state: str = "closed",
    allow_unpriced: bool = False,
) -> ExportSummary:
    reader: Any = Stored(lines, state)
    return asyncio.run(
        export(
            reader,
            DAY,
            last,
            out,
            granularity=granularity,
            account_id=ACCOUNT.account_id,
            account_name=ACCOUNT.account_name,
            allow_unpriced=allow_unpriced,
        )
    )


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def one(rows: Sequence[FocusRow], **wanted: Any) -> FocusRow:
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def groups(rows: Sequence[FocusRow]) -> dict[Any, list[FocusRow]]:
    """Allocated charges by their origin charge."""
    of_origin = defaultdict(list)
    for row in rows:
        if row["AllocatedMethodId"] is not None:
            of_origin[row["x_SplitOriginId"]].append(row)
    return of_origin


# Arithmetic


@pytest.mark.parametrize("granularity", ["hour", "day"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_adds_up_to_the_lines(tmp_path: Path, granularity: FocusGranularity, suffix: str) -> None:
    lines = days(3)
    summary = written(
        out := tmp_path / f"x.{suffix}", lines, last=DAY + timedelta(2), granularity=granularity
    )
    total = exact_sum(line.amount_usd for line in lines)
    rows = csv_rows(out) if suffix == "csv" else pq.read_table(out).to_pylist()
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert sum(Decimal(row[column]) for row in rows) == total
    assert (summary.rows, summary.total_usd) == (len(rows), total)
    assert len(rows) == len(lines) // (2 if granularity == "day" else 1)


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        written(tmp_path / f"x.{suffix}", busy_hour())

    def text(value: Any) -> str:
        if isinstance(value, datetime):
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        return "" if value is None else str(value)

    for there, here in zip(
        pq.read_table(tmp_path / "x.parquet").to_pylist(), csv_rows(tmp_path / "x.csv"), strict=True
    ):
        for name, kind in COLUMNS.items():
            if kind == "decimal" and there[name] is not None:
                assert Decimal(here[name]) == there[name]
            else:
                assert here[name] == text(there[name])


@given(st.integers(1, 10**13), st.integers(1, 10**9))
def test_quantity_times_price_is_the_cost_of_any_tokens(tokens: int, micro_usd_per_million: int) -> None:
    price = Decimal(micro_usd_per_million).scaleb(-12)
    (row,) = rows_of([used(INPUT, str(tokens), unit_price_usd=price)])
    quantity, listed, cost = row["PricingQuantity"], row["ListUnitPrice"], row["ListCost"]
    assert isinstance(quantity, Decimal)
    assert isinstance(listed, Decimal)
    assert quantity * listed == cost


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12))
def test_allocated_charges_add_up_to_their_origin(shares: list[int]) -> None:
    """Attribute Data Generator-Calculated Split Cost Allocation Handling; AllocatedMethodDetails."""
    lines = [
        used(INSTANCE, str(Decimal(share).scaleb(-12)), tenant_id=f"t{number}")
        for number, share in enumerate(shares)
    ]
    for of_origin in groups(rows_of(lines)).values():
        cost = exact_sum(line.amount_usd for line in lines)
        assert {row["x_SplitOriginCost"] for row in of_origin} == {cost}
        assert exact_sum(Decimal(str(row["BilledCost"])) for row in of_origin) == cost
        told = [row["AllocatedMethodDetails"] for row in of_origin]
        if not any(shares):
            assert set(told) == {None}
            continue
        elements = [json.loads(str(one), parse_float=Decimal)["Elements"] for one in told]
        assert sum(Decimal(element["AllocatedRatio"]) for (element,) in elements) == 1


# What 1.3 added


def test_all_columns_of_1_3_are_there_in_order_and_ours_are_after_them() -> None:
    """Attribute Column Handling: custom columns bear x_ and should come last."""
    assert list(COLUMNS) == [*sorted(FOCUS_COLUMNS), *sorted(OUR_COLUMNS)]
    assert set(ADDED_IN_1_3) <= FOCUS_COLUMNS.keys()
    assert all(name.startswith("x_") and name[2].isupper() for name in OUR_COLUMNS)
    assert all(row.keys() == COLUMNS.keys() for row in rows_of(busy_hour()))


def test_service_and_host_providers_are_never_null() -> None:
    """ServiceProviderName, HostProviderName: MUST NOT be null; they take the place of ProviderName."""
    for row in rows_of(busy_hour()):
        assert row["ServiceProviderName"] == row["HostProviderName"] == row["ProviderName"] == "AWS"


def test_only_what_was_split_has_allocation_columns() -> None:
    """AllocatedMethodId, -MethodDetails, -ResourceId, -Tags: null unless related to a split allocation."""
    for row in rows_of(busy_hour()):
        split = row["SkuMeter"] == "Instance Hours"
        assert (row["AllocatedMethodId"] is not None) == split
        assert (row["AllocatedMethodDetails"] is not None) == split
        assert (row["AllocatedTags"] is not None) == split
        if not split:
            assert row["AllocatedResourceId"] is row["AllocatedResourceName"] is None


def test_the_unallocated_portion_names_no_resource() -> None:
    """AllocatedResourceId: null for the unallocated portion, not null for the allocated one."""
    allocated = [row for row in rows_of(busy_hour()) if row["AllocatedMethodId"] is not None]
    assert {row["x_TenantId"]: row["AllocatedResourceId"] for row in allocated} == {
        "acme": "acme/inference/llama-3-1-8b",
        "globex": "globex/inference/llama-3-1-8b",
        UNUSED: None,
    }


def test_allocated_charges_have_the_dimensions_and_prices_of_their_origin() -> None:
    """Attribute ... Handling: dimensions and non-summable metrics match the origin charge's."""
    parts = {"BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost"}
    parts |= {"ConsumedQuantity", "PricingQuantity"}
    for of_origin in groups(rows_of(busy_hour())).values():
        assert len(of_origin) == 3
        for name in FOCUS_COLUMNS.keys() - parts:
            if not name.startswith("Allocated"):
                assert len({row[name] for row in of_origin}) == 1, name


def test_an_owner_is_told_by_the_tags_or_by_the_allocated_tags() -> None:
    """AllocatedTags: MUST NOT include what is in Tags."""
    for row in rows_of(busy_hour()):
        (told,) = [json.loads(str(row[name])) for name in ("Tags", "AllocatedTags") if row[name] is not None]
        assert told["tenant_id"] == row["x_TenantId"]
        assert told["layer"] == row["x_Layer"]
        assert told.get("model_id") == row["x_ModelId"]


# What rows say


def test_periods_are_the_hour_or_the_day_and_the_month() -> None:
    (row,) = rows_of([INPUT])
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (HOUR, HOUR + timedelta(hours=1))
    (row,) = rows_of([INPUT], "day")
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (midnight, midnight + timedelta(days=1))
    assert row["BillingPeriodStart"] == datetime(2026, 11, 1, tzinfo=UTC)
    assert row["BillingPeriodEnd"] == datetime(2026, 12, 1, tzinfo=UTC)


def test_tokens_are_priced_by_the_million_and_consumed_one_by_one() -> None:
    (row,) = rows_of([used(INPUT, "1500000")])
    assert (row["PricingQuantity"], row["PricingUnit"]) == (Decimal("1.5"), "1000000 Tokens")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == (Decimal(1_500_000), "Tokens")
    assert row["ListUnitPrice"] == Decimal(1)


def test_an_endpoint_is_the_resource_of_its_instances() -> None:
    row = one(rows_of(busy_hour()), x_TenantId="acme", SkuMeter="Instance Hours")
    assert row["ResourceId"] == "arn:aws:sagemaker:us-east-1:012345678901:endpoint/llama"
    assert (row["ResourceName"], row["ResourceType"]) == ("llama", "Endpoint")


def test_a_price_that_changed_is_another_sku_price_of_the_same_sku() -> None:
    dearer = used(INPUT, "1", unit_price_usd=Decimal("0.000002"))
    first, second = rows_of([INPUT, dearer])
    assert first["SkuId"] == second["SkuId"]
    assert first["SkuPriceId"] != second["SkuPriceId"]


def test_a_service_that_is_not_listed_keeps_its_code() -> None:
    row = one(rows_of(busy_hour()), ServiceName="AmazonNew")
    assert (row["ServiceCategory"], row["ServiceSubcategory"]) == ("Other", "Other (Other)")


def test_rows_of_open_hours_say_so(tmp_path: Path) -> None:
    summary = written(tmp_path / "x.csv", busy_hour(), state="open")
    assert summary.open_rows == summary.rows
    assert summary.hours == 1
    assert {row["x_CompletenessState"] for row in csv_rows(tmp_path / "x.csv")} == {"open"}


def test_decimals_of_a_csv_have_a_point_and_no_exponent(tmp_path: Path) -> None:
    written(tmp_path / "x.csv", [used(INPUT, "1"), used(INPUT, "30000000000", charge_class="output")])
    for row in csv_rows(tmp_path / "x.csv"):
        for name, kind in COLUMNS.items():
            if kind == "decimal" and row[name]:
                assert "." in row[name]
                assert "E" not in row[name].upper()


# What cannot be told


UNPRICED = used(INPUT, "5", model_id="brand-new", unit_price_usd=None)
UNCOUNTED = used(INPUT, None, charge_class="output")


def test_what_has_no_amount_stops_an_export_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    out.write_text("before")
    with pytest.raises(UnpricedLines, match=r"brand-new input \(no price\).*--allow-unpriced"):
        written(out, [*busy_hour(), UNPRICED])
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_what_has_no_amount_is_left_out_and_counted_where_that_is_wanted(tmp_path: Path) -> None:
    lines = [*busy_hour(), UNPRICED, UNCOUNTED]
    summary = written(tmp_path / "x.csv", lines, allow_unpriced=True)
    assert summary.left_out == {
        "brand-new input (no price)": 1,
        "claude-haiku-4-5 output (no count)": 1,
    }
    assert summary.rows == len(busy_hour()) == len(csv_rows(tmp_path / "x.csv"))


def test_nothing_at_all_is_a_file_with_columns_alone(tmp_path: Path) -> None:
    assert written(tmp_path / "x.csv", []).rows == 0
    assert (tmp_path / "x.csv").read_text().splitlines() == [",".join(COLUMNS)]


def test_a_name_that_tells_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"\.csv or \.parquet"):
        written(tmp_path / "x.xlsx", busy_hour())
    assert not list(tmp_path.iterdir())


def test_progress_is_told_after_each_day(tmp_path: Path) -> None:
    told: list[tuple[date, int]] = []
    reader: Any = Stored(days(2))
    asyncio.run(
        export(
            reader,
            DAY,
            DAY + timedelta(1),
            tmp_path / "x.csv",
            granularity="day",
            account_id="1",
            progress=lambda day, rows: told.append((day, rows)),
        )
    )
    each = len(busy_hour())
    assert told == [(DAY, each), (DAY + timedelta(1), 2 * each)]


def test_another_layer_of_the_same_tenant_and_endpoint_is_another_resource() -> None:
    judge = replace(INSTANCE, layer="observability-layer")
    rows = rows_of([used(INSTANCE, "0.5"), used(judge, "0.5")])
    assert len({row["AllocatedResourceId"] for row in rows}) == 2
