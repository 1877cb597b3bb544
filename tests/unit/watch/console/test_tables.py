from datetime import UTC, datetime
from decimal import Decimal

import pytest

from watch.console.cells import Kind, Value, shown
from watch.console.tables import Cell, Column, Row, Table

NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)
COLUMNS = (Column("tenant", "Tenant"), Column("ttft", "TTFT", "ms"), Column("at", "At", "time"))
ROWS: tuple[Row, ...] = (
    {"tenant": "b", "ttft": 20.0, "at": NOW},
    {"tenant": "a", "ttft": None},
    {"tenant": Cell("C", href="/tenants/c"), "ttft": Cell(Decimal("3.5"))},
)


def _table(name: str = "") -> Table:
    return Table(caption="Tenants", columns=COLUMNS, rows=ROWS, name=name)


def _order(table: Table) -> list[str]:
    return [
        str(cell.value) for row in table.rows for column, cell in table.cells(row) if column.key == "tenant"
    ]


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ({}, ["a", "b", "C"]),
        ({"sort": "ttft", "dir": "desc"}, ["b", "C", "a"]),
        ({"sort": "ttft", "dir": "asc"}, ["C", "b", "a"]),
        ({"sort": "at", "dir": "asc"}, ["b", "a", "C"]),
        ({"sort": "nonsense"}, ["a", "b", "C"]),
        ({"sort": "tenant", "dir": "sideways"}, ["a", "b", "C"]),
    ],
)
def test_a_query_sorts_and_what_is_unknown_comes_last(query: dict[str, str], order: list[str]) -> None:
    assert _order(_table().sorted_as(query, default="tenant")) == order


def test_a_named_table_hears_its_own_parameters_only() -> None:
    query = {"sort": "ttft", "models.sort": "tenant", "models.dir": "desc"}
    assert _order(_table("models").sorted_as(query)) == ["C", "b", "a"]


def test_a_second_click_turns_the_order_round() -> None:
    table = _table().sorted_as({"sort": "ttft", "dir": "desc"})
    assert table.next_sort(COLUMNS[1]) == {"sort": "ttft", "dir": "asc"}
    assert table.next_sort(COLUMNS[0]) == {"sort": "tenant", "dir": "asc"}
    assert [table.aria_sort(column) for column in COLUMNS] == [None, "descending", None]


def test_a_file_has_full_digits_and_leaves_the_unknown_empty() -> None:
    lines = _table().csv().decode().splitlines()
    assert lines == ["tenant,ttft,at", "b,20.0,2026-11-24T12:34:56+00:00", "a,,", "C,3.5,"]


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_no_text_is_a_formula_in_a_file(formula: str) -> None:
    columns = (Column("tenant", "Tenant"), Column(formula, "x", "number"))
    table = Table(caption="t", columns=columns, rows=[{"tenant": Cell(formula), formula: -1.5}])
    text = table.csv().decode()
    assert f"'{formula}" in text.partition("\n")[0]
    assert f"'{formula}" in text.partition("\n")[2]
    assert ",-1.5" in text


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (None, "ms", "–"),
        (float("nan"), "number", "–"),
        (0, "number", "0"),
        (0, "usd", "$0.00"),
        (1234567, "tokens", "1,234,567"),
        (812.4, "ms", "812 ms"),
        (50_123, "ms", "50.1 s"),
        (Decimal("0.00123"), "usd", "$0.00123"),
        (Decimal("0.000001"), "usd", "<$0.0001"),
        (Decimal("-2.5"), "usd", "-$2.50"),
        (Decimal("12345.67"), "usd", "$12,346"),
        (0.0012, "ratio", "0.12 %"),
        (87.654, "percent", "87.7 %"),
        (4.256, "score", "4.26"),
        (0.00001, "percent", "<0.0001 %"),
        (2048, "bytes", "2.00 KiB"),
        (True, "text", "yes"),
        (NOW, "time", "2026-11-24 12:34:56"),
    ],
)
def test_a_value_carries_its_unit(value: Value, kind: Kind, told: str) -> None:
    assert shown(value, kind) == told
