"""Costs as a tenant and the billing system read them, over sockets from the table itself."""

import asyncio
import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from harness.billing import HOUR, Billing, a_line
from llmplatform.costs import PLATFORM, UNUSED, HourStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = {"from": "2026-11-23", "to": "2026-11-24"}
MONTH = {"from": "2026-11", "to": "2026-12", "granularity": "month"}


async def fill(api: Billing) -> None:
    """Two tenants, what nobody used and the platform itself, in two hours."""
    for hour in (HOUR, HOUR + timedelta(hours=1)):
        await api.put(
            a_line(hour=hour),
            a_line(hour=hour, charge_class="output", quantity=Decimal(7)),
            a_line(hour=hour, model_id="large", price_key="vendor.large"),
            a_line("globex", hour=hour, quantity=Decimal(123)),
            a_line(
                UNUSED, hour=hour, charge_class="instance", unit="instance-hours", endpoint_type="sagemaker"
            ),
            a_line(
                PLATFORM,
                hour=hour,
                charge_class="service",
                model_id=None,
                endpoint_type=None,
                unit="requests",
            ),
        )


async def test_a_tenant_reads_its_own_day(api: Billing) -> None:
    await fill(api)
    answer = await api.get("/v1/tenants/acme/costs", "acme", params=DAY)
    assert answer.status_code == 200
    told = answer.json()
    assert told["tenant_id"] == "acme"
    assert (told["from"], told["to"], told["granularity"]) == ("2026-11-23", "2026-11-24", "day")
    assert {row["tenant_id"] for row in told["rows"]} == {"acme"}
    first = next(row for row in told["rows"] if row["charge_class"] == "output")
    assert first == {
        "period": "2026-11-23",
        "tenant_id": "acme",
        "layer": "inference",
        "service": "AmazonBedrock",
        "endpoint_type": "bedrock",
        "model_id": "small",
        "endpoint_name": None,
        "price_key": "vendor.small/geo",
        "region": "us-east-1",
        "service_tier": "default",
        "charge_class": "output",
        "unit_price_usd": "0.000003",
        "usage_source": "reported",
        "computed_from": "request-ledger",
        "allocation_method": "direct/1",
        "price_version": "2026-11-01",
        "unit": "tokens",
        "quantity": "14",
        "amount_usd": "0.000042",
        "requests": 4,
        "completeness": "open",  # other hours of the day have not been computed
    }
    assert told["totals"] == {
        "known_amount_usd": "0.012042",
        "complete": False,
        "unpriced_lines": 0,
        "uncounted_requests": 0,
    }


async def test_hours_that_are_closed_are_said_to_be(api: Billing) -> None:
    await fill(api)
    rows = (await api.get("/v1/tenants/acme/costs", "acme", params={**DAY, "granularity": "hour"})).json()[
        "rows"
    ]
    assert {row["period"] for row in rows} == {"2026-11-23T20", "2026-11-23T21"}
    assert {row["completeness"] for row in rows} == {"closed"}


async def test_a_day_of_closed_hours_is_complete(api: Billing) -> None:
    midnight = HOUR.replace(hour=0)
    for number in range(24):
        hour = midnight + timedelta(hours=number)
        if hour != HOUR:
            await api.put_status(HourStatus(hour=hour, state="closed", claimed_run=1, run=1))
    await api.put(a_line())
    told = (await api.get("/v1/tenants/acme/costs", "acme", params=DAY)).json()
    assert told["totals"]["complete"] is True
    assert [row["completeness"] for row in told["rows"]] == ["closed"]
    await api.put_status(
        HourStatus(hour=HOUR, state="closed", claimed_run=2, run=1, amounts_usd={"acme": None})
    )
    told = (await api.get("/v1/tenants/acme/costs", "acme", params=DAY)).json()
    assert told["totals"]["complete"] is False
    assert [row["completeness"] for row in told["rows"]] == ["open"]


async def test_the_end_is_no_part_of_a_range(api: Billing) -> None:
    await api.put(a_line(), a_line(hour=HOUR + timedelta(hours=4)))
    rows = (await api.get("/v1/tenants/acme/costs", "acme", params={**DAY, "granularity": "hour"})).json()[
        "rows"
    ]
    assert [row["period"] for row in rows] == ["2026-11-23T20"]


async def test_what_is_unknown_is_null_and_stays_apart_from_what_is_known(api: Billing) -> None:
    await api.put(
        a_line(),
        a_line(model_id="new", price_key="vendor.new", unit_price_usd=None),
        a_line(charge_class="output", quantity=None, usage_source="unknown", requests=3),
    )
    told = (await api.get("/v1/tenants/acme/costs", "acme", params={**DAY, "group_by": "layer"})).json()
    found = {(row["quantity"], row["amount_usd"], row["completeness"]) for row in told["rows"]}
    assert found == {("1000", "0.003", "open"), ("1000", None, "unpriced"), (None, None, "unpriced")}
    assert told["totals"] == {
        "known_amount_usd": "0.003",
        "complete": False,
        "unpriced_lines": 1,
        "uncounted_requests": 3,
    }
    rows = list(
        csv.DictReader(
            io.StringIO(
                (await api.get("/v1/tenants/acme/costs", "acme", params={**DAY, "format": "csv"})).text
            )
        )
    )
    assert sorted(row["amount_usd"] for row in rows) == ["", "", "0.003"]


async def test_only_unknown_amounts_make_no_sum_of_zero(api: Billing) -> None:
    await api.put(a_line(unit_price_usd=None))
    told = (await api.get("/v1/tenants/acme/costs", "acme", params=DAY)).json()
    assert told["totals"]["known_amount_usd"] is None


async def test_a_month_with_a_price_change_has_two_rows(api: Billing) -> None:
    await api.put(
        a_line(hour=HOUR - timedelta(days=20)),
        a_line(unit_price_usd=Decimal("0.000004"), price_version="2026-11-15"),
    )
    told = (await api.get("/v1/tenants/acme/costs", "acme", params=MONTH)).json()
    assert [(row["period"], row["unit_price_usd"], row["amount_usd"]) for row in told["rows"]] == [
        ("2026-11", "0.000003", "0.003"),
        ("2026-11", "0.000004", "0.004"),
    ]
    by_model = {**MONTH, "group_by": "model_id"}
    (row,) = (await api.get("/v1/tenants/acme/costs", "acme", params=by_model)).json()["rows"]
    assert row["amount_usd"] == "0.007"
    assert "unit_price_usd" not in row
    assert "requests" not in row  # a request has several classes of tokens and would count twice


async def test_models_and_endpoint_types_are_chosen_and_grouped(api: Billing) -> None:
    await fill(api)
    by = {**DAY, "group_by": "endpoint_type,model_id"}
    rows = (await api.get("/v1/tenants/acme/costs", "acme", params=by)).json()["rows"]
    assert [(row["model_id"], row["amount_usd"]) for row in rows] == [
        ("large", "0.006"),
        ("small", "0.006042"),
    ]
    only = {**by, "model_id": "small", "endpoint_type": "bedrock"}
    assert [
        row["model_id"]
        for row in (await api.get("/v1/tenants/acme/costs", "acme", params=only)).json()["rows"]
    ] == ["small"]
    none = {**by, "endpoint_type": "sagemaker"}
    told = (await api.get("/v1/tenants/acme/costs", "acme", params=none)).json()
    assert told["rows"] == []
    assert told["totals"]["known_amount_usd"] == "0"


async def test_the_billing_system_reads_all_and_its_rows_add_up_to_the_total(api: Billing) -> None:
    await fill(api)
    for role in ("billing", "operator"):
        told = (await api.get("/v1/costs", role, params=DAY)).json()
        assert {row["tenant_id"] for row in told["rows"]} == {"acme", "globex", UNUSED, PLATFORM}
        total = sum(Decimal(row["amount_usd"]) for row in told["rows"])
        assert total == Decimal(told["totals"]["known_amount_usd"])
    chosen = (await api.get("/v1/costs", "billing", params={**DAY, "model_id": "large"})).json()
    assert chosen["totals"] is None
    assert {row["tenant_id"] for row in chosen["rows"]} == {"acme"}
    for owner in (UNUSED, PLATFORM, "globex"):
        answer = await api.get(f"/v1/tenants/{owner}/costs", "billing", params=DAY)
        assert {row["tenant_id"] for row in answer.json()["rows"]} == {owner}


async def test_a_removed_tenants_costs_stay_readable(api: Billing) -> None:
    await api.put(a_line("removed"))
    answer = await api.get("/v1/tenants/removed/costs", "billing", params=DAY)
    assert [row["amount_usd"] for row in answer.json()["rows"]] == ["0.003"]
    told = (await api.get("/v1/costs", "billing", params=DAY)).json()
    assert {row["tenant_id"] for row in told["rows"]} == {"removed"}
    assert (await api.get("/v1/tenants/never-was/costs", "billing", params=DAY)).status_code == 404
    assert (await api.get("/v1/tenants/globex/costs", "billing", params=DAY)).json()["rows"] == []


async def test_lines_of_a_run_that_no_longer_holds_are_not_shown(api: Billing) -> None:
    await api.put(a_line(model_id="gone"), run=1)
    await api.put(a_line(), run=2)
    rows = (await api.get("/v1/tenants/acme/costs", "acme", params=DAY)).json()["rows"]
    assert [row["model_id"] for row in rows] == ["small"]


@pytest.mark.parametrize(("path", "who"), [("/v1/tenants/acme/costs", "acme"), ("/v1/costs", "billing")])
@pytest.mark.parametrize("granularity", ["hour", "day"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_put_together_are_the_whole(
    api: Billing, path: str, who: str, granularity: str, limit: int
) -> None:
    await fill(api)
    query = {**DAY, "granularity": granularity}
    whole = (await api.get(path, who, params=query)).json()["rows"]
    answers = await api.pages(path, who, params={**query, "limit": limit})
    rows: list[Any] = [row for answer in answers for row in answer.json()["rows"]]
    assert rows == whole
    assert len({str(row) for row in rows}) == len(rows)
    assert all(len(answer.json()["rows"]) <= limit for answer in answers)
    assert answers[0].json()["totals"] is not None
    assert all(answer.json()["totals"] is None for answer in answers[1:])


@pytest.mark.parametrize("granularity", ["day", "month"])
@pytest.mark.parametrize(("path", "who"), [("/v1/tenants/acme/costs", "acme"), ("/v1/costs", "billing")])
async def test_pages_go_over_the_ends_of_months(api: Billing, path: str, who: str, granularity: str) -> None:
    hours = [HOUR.replace(month=month, day=day) for month in (8, 9, 11) for day in (1, 30)]
    for hour in hours:
        await api.put(a_line(hour=hour), a_line(hour=hour, model_id="large"), a_line("globex", hour=hour))
    query = {"from": "2026-08", "to": "2026-12", "granularity": granularity}
    whole = (await api.get(path, who, params=query)).json()
    answers = await api.pages(path, who, params={**query, "limit": 3})
    assert [row for answer in answers for row in answer.json()["rows"]] == whole["rows"]
    owned = [row for row in whole["rows"] if row["tenant_id"] == "acme"]
    assert len(owned) == 2 * (3 if granularity == "month" else len(hours))
    total = Decimal("0.003") * len(hours) * (2 if who == "acme" else 3)
    assert Decimal(whole["totals"]["known_amount_usd"]) == total
    assert sum(Decimal(row["amount_usd"]) for row in whole["rows"]) == total


async def test_what_comes_between_pages_moves_none(api: Billing) -> None:
    await fill(api)
    query = {**DAY, "granularity": "hour", "limit": 2}
    first = (await api.get("/v1/tenants/acme/costs", "acme", params=query)).json()
    await api.put(
        a_line(model_id="aaa", price_key="aaa"),  # before what was read
        *(a_line(charge_class=kind) for kind in ("input", "output")),
        a_line(model_id="large", price_key="vendor.large"),
    )
    after = {**query, "limit": 100, "cursor": first["next_cursor"]}
    rest = (await api.get("/v1/tenants/acme/costs", "acme", params=after)).json()["rows"]
    read = {(row["period"], row["model_id"], row["charge_class"]) for row in first["rows"]}
    assert not read & {(row["period"], row["model_id"], row["charge_class"]) for row in rest}
    assert len(rest) == 6 - 2


async def test_csv_says_what_json_says(api: Billing) -> None:
    await fill(api)
    told = (await api.get("/v1/costs", "billing", params=DAY)).json()["rows"]
    for options in (
        {"headers": {"accept": "text/csv"}, "params": DAY},
        {"headers": {"accept": "application/json;q=0.5, text/csv"}, "params": DAY},
        {"params": {**DAY, "format": "csv"}},
    ):
        answer = await api.get("/v1/costs", "billing", **options)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.content.count(b"\r\n") == len(told) + 1
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert rows == [
            {name: "" if value is None else str(value) for name, value in row.items()} for row in told
        ]
    for accept in ("*/*", "application/json, text/csv", "text/csv;q=0.1, application/json", "image/png"):
        answer = await api.get("/v1/costs", "billing", params=DAY, headers={"accept": accept})
        assert answer.headers["content-type"] == "application/json"


async def test_text_that_a_spreadsheet_would_compute_is_put_in_quotes(api: Billing) -> None:
    await api.put(a_line(model_id="=1+1", quantity=Decimal(-5)))
    answer = await api.get("/v1/tenants/acme/costs", "acme", params={**DAY, "format": "csv"})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["model_id"], row["quantity"], row["amount_usd"]) == ("'=1+1", "-5", "-0.000015")
    (told,) = (await api.get("/v1/tenants/acme/costs", "acme", params=DAY)).json()["rows"]
    assert told["model_id"] == "=1+1"


async def test_an_etag_holds_until_an_amount_changes(api: Billing) -> None:
    await fill(api)
    first = await api.get("/v1/tenants/acme/costs", "acme", params=DAY)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "Authorization, Accept"
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = await api.get("/v1/tenants/acme/costs", "acme", params=DAY, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    as_csv = await api.get("/v1/tenants/acme/costs", "acme", params={**DAY, "format": "csv"})
    assert as_csv.headers["etag"] != etag
    await api.put(a_line(quantity=Decimal(1_001)))
    changed = await api.get("/v1/tenants/acme/costs", "acme", params=DAY, headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_many_at_once_are_all_answered(api: Billing) -> None:
    await fill(api)
    answers = await asyncio.gather(
        *(api.get("/v1/tenants/acme/costs", "acme", params=DAY) for _ in range(30))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


async def test_hours_say_when_a_period_is_final(api: Billing) -> None:
    midnight = HOUR.replace(hour=0)
    for number in range(24):
        await api.put_status(
            HourStatus(
                hour=midnight + timedelta(hours=number),
                state="closed",
                claimed_run=1,
                run=1,
                computed_from="cloudwatch-metrics" if number == 3 else "request-ledger",
                computed_at=midnight + timedelta(hours=number + 7),
                amounts_usd={"acme": Decimal("0.5")},
                price_version="2026-11-01",
            )
        )
    told = (await api.get("/v1/hours", "billing", params={"from": "2026-11-23", "to": "2026-12-01"})).json()
    closed, today = told["rows"]
    assert closed == {
        "period": "2026-11-23",
        "state": "closed",
        "hours": 24,
        "hours_computed": 24,
        "hours_closed": 24,
        "hours_from_metrics": 1,
        "computed_at": "2026-11-24T06:00:00+00:00",
        "known_amount_usd": "12",
        "unpriced_lines": 0,
        "uncounted_requests": 0,
        "price_version": "2026-11-01",
    }
    assert (today["state"], today["hours_computed"], today["known_amount_usd"]) == ("open", 0, None)
    hours = await api.pages(
        "/v1/hours",
        "billing",
        params={"from": "2026-11-23", "to": "2026-11-25", "granularity": "hour", "limit": 10},
    )
    periods = [row["period"] for answer in hours for row in answer.json()["rows"]]
    assert periods == sorted(set(periods))
    assert (periods[0], periods[-1], len(periods)) == ("2026-11-23T00", "2026-11-24T12", 37)
    (month,) = (
        await api.get(
            "/v1/hours", "billing", params={"from": "2026-11", "to": "2026-12", "granularity": "month"}
        )
    ).json()["rows"]
    assert (month["state"], month["hours"], month["hours_closed"]) == ("open", 720, 24)
