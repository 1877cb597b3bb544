"""What is answered, as values: rows that hide nothing unknown, pages that make the whole."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costagg.api.page import Page, decode_cursor, encode_cursor, page_of
from costagg.api.query import CostParameters, HoursParameters, digest_of, parameters
from costagg.api.replying import csv_body, format_of, reply
from costagg.api.table import DIMENSIONS, Row, cost_columns, cost_rows, hours_rows
from llmplatform.bills import BillRow
from llmplatform.costs import HourStatus
from llmplatform.errors import MalformedRequest

BILL: Final = BillRow(
    period="2026-11",
    tenant_id="acme",
    layer="inference",
    service="AmazonBedrock",
    endpoint_type="bedrock",
    model_id="small",
    endpoint_name=None,
    price_key="vendor.small/geo",
    region="us-east-1",
    service_tier="default",
    charge_class="input",
    unit="tokens",
    unit_price_usd=Decimal("0.000003"),
    usage_source="reported",
    computed_from="request-ledger",
    allocation_method="direct/1",
    price_version="2026-11-01",
    quantity=Decimal(1_000),
    amount_usd=Decimal("0.003"),
    requests=2,
    completeness="closed",
)
MONTH: Final = {"from": "2026-11", "to": "2026-12"}

amounts = st.none() | st.decimals(0, 10**12, places=12)
bills = st.lists(
    st.builds(
        lambda model, endpoint, price, amount, quantity, requests: replace(
            BILL,
            model_id=model,
            endpoint_type=endpoint,
            unit_price_usd=price,
            amount_usd=amount if quantity is not None else None,
            quantity=quantity,
            requests=requests,
            completeness="unpriced" if amount is None or quantity is None else "closed",
        ),
        st.none() | st.sampled_from(["", "a", "b", "="]),
        st.sampled_from(["bedrock", "sagemaker", None]),
        amounts,
        amounts,
        amounts,
        st.integers(0, 10),
    ),
    max_size=30,
)
groupings = st.lists(st.sampled_from(DIMENSIONS), min_size=1, unique=True).map(
    lambda names: tuple(name for name in DIMENSIONS if name in names)
)


@given(bills, groupings)
def test_nothing_is_lost_and_nothing_unknown_is_in_a_sum(
    bill: list[BillRow], group_by: tuple[str, ...]
) -> None:
    rows = cost_rows(bill, group_by)
    amounts = [row.values["amount_usd"] for row in rows]
    known = sum((Decimal(amount) for amount in amounts if amount is not None), Decimal(0))
    assert known == sum((row.amount_usd for row in bill if row.amount_usd is not None), Decimal(0))
    unknown = [row for row in bill if row.amount_usd is None]
    assert (None in amounts) == bool(unknown)
    assert all(
        (row.values["amount_usd"] is None) == (row.values["completeness"] == "unpriced") for row in rows
    )
    assert len({row.position for row in rows}) == len(rows)
    assert all(tuple(row.values) == cost_columns(group_by) for row in rows)


@given(bills, st.integers(1, 7))
def test_pages_put_together_are_the_whole(bill: list[BillRow], limit: int) -> None:
    rows = cost_rows(bill, DIMENSIONS)
    read: list[Row] = []
    after: tuple[str, ...] | None = ()
    while after is not None:
        position = after
        page = page_of((), [row for row in rows if row.position > position], limit=limit)
        read += page.rows
        after = page.ends_at
    assert read == rows


def test_a_row_of_many_is_open_where_one_is() -> None:
    open_one = replace(BILL, price_version="2026-11-15", completeness="open")
    for bill in ([BILL, open_one], [open_one, BILL]):
        (row,) = cost_rows(bill, ("model_id",))
        assert row.values["completeness"] == "open"
        assert row.values["amount_usd"] == "0.006"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0"),
        ("0E-12", "0"),
        ("1E+3", "1000"),
        ("0.000000000001", "0.000000000001"),
        ("2.500", "2.5"),
        ("-0.10", "-0.1"),
    ],
)
def test_decimals_are_told_in_full(amount: str, shown: str) -> None:
    (row,) = cost_rows([replace(BILL, amount_usd=Decimal(amount))], DIMENSIONS)
    assert row.values["amount_usd"] == shown


def test_a_price_that_is_written_otherwise_is_the_same() -> None:
    again = replace(BILL, unit_price_usd=Decimal("0.0000030"))
    assert len(cost_rows([BILL, again], DIMENSIONS)) == 1


@given(st.lists(st.text(), max_size=5).map(tuple))
def test_a_cursor_names_a_position(position: tuple[str, ...]) -> None:
    if not any("\ud800" <= char <= "\udfff" for part in position for char in part):
        assert decode_cursor("digest", encode_cursor("digest", position)) == position
        with pytest.raises(MalformedRequest):
            decode_cursor("another", encode_cursor("digest", position))


@given(st.text())
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(MalformedRequest, match="cursor"):
        decode_cursor("digest", text)


def test_a_cursor_is_bound_to_all_but_the_page_and_the_format() -> None:
    def digest(about: str = "acme", **given: str) -> str:
        return digest_of(about, parameters(CostParameters, {**MONTH, **given}.items()))

    assert digest() == digest(limit="7") == digest(format="csv") == digest(cursor="x")
    others = [
        digest("globex"),
        digest(to="2026-11-15"),
        digest(granularity="month"),
        digest(group_by="layer"),
        digest(model_id="small"),
        digest(endpoint_type="bedrock"),
    ]
    assert len({digest(), *others}) == len(others) + 1


@given(st.text(), st.sampled_from(["model_id", "quantity"]))
def test_no_cell_of_text_begins_a_formula_and_no_number_is_touched(text: str, column: str) -> None:
    body = csv_body(Page((column, "x"), [Row((), {column: text, "x": None})], None)).decode(errors="replace")
    if "\ufffd" in body or "\0" in text:
        return
    header, row = csv.reader(io.StringIO(body, newline=""))
    assert header == [column, "x"]
    if column == "quantity":
        assert row[0] == text
    else:
        assert row[0].removeprefix("'") == text.removeprefix("'")
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("text/*", "csv"),
        ("text/html, */*;q=0.8", "json"),
        ("*/*, text/csv;q=0.5", "json"),
        ("application/json;q=0.1, */*", "csv"),
        ("text/*;q=0, text/csv", "csv"),
        ("text/csv;q=0", "json"),
        ("text/csv;q=x", "json"),
        ("text/csv, application/json;q=0.9", "csv"),
        (";;,,=", "json"),
    ],
)
def test_the_format_is_the_preferred_one(accept: str, form: str) -> None:
    assert format_of(parameters(HoursParameters, MONTH.items()), accept) == form
    asked = parameters(HoursParameters, {**MONTH, "format": "json"}.items())
    assert format_of(asked, accept) == "json"


def test_the_link_asks_the_same_query_again() -> None:
    given_query = {
        **MONTH,
        "granularity": "month",
        "group_by": "model_id,layer",
        "limit": "1",
        "format": "csv",
    }
    asked = parameters(CostParameters, given_query.items())
    page = Page(("period",), [], ("acme", "2026-11"))
    answer = reply(page, asked, about={}, digest="digest", form="csv", if_none_match=None)
    cursor = encode_cursor("digest", ("acme", "2026-11"))
    assert answer.headers["link"] == (
        "<?from=2026-11-01&to=2026-12-01&granularity=month&limit=1&format=csv"
        f'&group_by=layer%2Cmodel_id&cursor={cursor}>; rel="next"'
    )


def test_a_day_is_closed_whose_first_hours_were_before_the_platform() -> None:
    """What `/v1/hours` says of a period is what its rows say."""
    day = datetime(2026, 11, 23, tzinfo=UTC)
    statuses = {
        hour: HourStatus(hour, "closed", claimed_run=run, run=run)
        for number in range(24)
        for hour, run in ((day + timedelta(hours=number), int(number >= 20)),)
    }
    (row,) = hours_rows(
        statuses,
        first=day.date(),
        end=day.date() + timedelta(days=1),
        granularity="day",
        now=day + timedelta(days=2),
    )
    assert (row.values["state"], row.values["hours"], row.values["hours_computed"]) == ("closed", 24, 4)
