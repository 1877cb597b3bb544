"""What an operator and a program read of a reconciliation."""

import io
from datetime import date
from decimal import Decimal

from rich.console import Console

from costagg.reconciliation.report import as_document, as_tables, verdict
from costagg.reconciliation.results import (
    NOT_TOLD,
    Compared,
    Finding,
    Reconciliation,
    Residual,
    ServiceResult,
    TenantResult,
)

LIMIT = Decimal(2)


def compared(usage: str, attributed: str, **residuals: str) -> Compared:
    parts: dict[Residual, Decimal] = {name: Decimal(usd) for name, usd in residuals.items()}  # type: ignore[misc]  # names
    billed = Decimal(attributed) + sum(parts.values(), Decimal(0))
    gross = abs(Decimal(usage) - Decimal(attributed))
    return Compared(billed, Decimal(usage), Decimal(attributed), gross, parts)


def finding(usd: str) -> Finding:
    return Finding(
        service="AmazonBedrock",
        residual="price",
        about="amazon.nova-2-lite/regional",
        charge_class="output",
        service_tier="default",
        region="us-east-1",
        endpoint_name=None,
        usage_types=("USE1-Nova2.0Lite-output-tokens",),
        usd=Decimal(usd),
        billed_quantity=Decimal(1_234_567),
        attributed_quantity=Decimal(1_234_567),
        first_day=date(2026, 11, 1),
        last_day=date(2026, 11, 3),
        days=3,
    )


RESULT = Reconciliation(
    first=date(2026, 11, 1),
    last=date(2026, 11, 30),
    services=(
        ServiceResult(
            "AmazonBedrock",
            compared("110", "100", price="10.004", tax="20.9", rounding="-0.004"),
            estimated=False,
            unpriced_lines=2,
            uncounted_requests=0,
        ),
        ServiceResult(
            "AmazonDynamoDB",
            compared("9", "3", estimate="6"),
            estimated=True,
            unpriced_lines=0,
            uncounted_requests=0,
        ),
    ),
    tenants=(
        TenantResult("AmazonBedrock", NOT_TOLD, compared("50", "50"), Decimal(0)),
        TenantResult("AmazonBedrock", "acme", compared("60", "50", price="10"), Decimal(0)),
        TenantResult("AmazonBedrock", "globex", compared("0", "0"), Decimal(50)),
    ),
    findings=(finding("10.004"), finding("-0.004")),
    not_compared_usd={"AmazonEC2": Decimal(99)},
    open_hours=4,
    notes=("the bill ends on 2026-11-29: 1 of the days asked for are not on it yet",),
    usage_types_version="1",
)


def printed(rows: int = 20) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200, highlight=False)
    console.print(as_tables(RESULT, limit_percent=LIMIT, rows=rows))
    return " ".join(out.getvalue().split())


def test_a_service_shows_error_and_reasons_with_what_the_invoice_explains_in_brackets() -> None:
    assert (
        "AmazonBedrock 130.90 110.00 100.00 +10.00 9.091 % 9.091 % "
        "price +10.00; (tax +20.90); below a cent: rounding"
    ) in printed()


def test_an_estimate_shows_no_percent() -> None:
    assert "AmazonDynamoDB 9.00 9.00 3.00 +6.00 estimate estimate +6.00" in printed()


def test_tenants_that_the_bill_does_not_name_are_a_sum() -> None:
    text = printed()
    assert "(not told, owners: 1) AmazonBedrock 50.00 50.00 0.00 0.000 %" in text
    assert "globex" not in text


def test_a_difference_names_meter_usage_type_and_days() -> None:
    assert (
        "+10.00 1,234,567 1,234,567 price AmazonBedrock amazon.nova-2-lite/regional output us-east-1 "
        "USE1-Nova2.0Lite-output-tokens 2026-11-01 to 2026-11-03 (3)"
    ) in printed()


def test_what_does_not_fit_is_said() -> None:
    assert "1 more, smaller ones" in printed(rows=1)


def test_notes_tell_what_makes_the_figures_uncertain() -> None:
    text = printed()
    assert "note: the bill ends on 2026-11-29" in text
    assert "note: hours that are not closed: 4" in text
    assert "note: AmazonBedrock: 2 cost lines have no price" in text
    assert "note: also on the bill and not attributed: AmazonEC2 99.00" in text
    assert "price: same quantity, another price" in text


def test_the_verdict_names_whoever_is_over_the_limit() -> None:
    assert verdict(RESULT, LIMIT) == (
        "OVER THE LIMIT of 2 %: AmazonBedrock (9.091 %), acme on AmazonBedrock (16.667 %)"
    )
    assert verdict(RESULT, Decimal(20)) == "OK: no error is over 20 %"


def test_programs_get_everything_also_what_is_not_told() -> None:
    document = as_document(RESULT, limit_percent=LIMIT)
    assert [one["over_limit"] for one in document["services"]] == [True, False]
    globex = document["tenants"][2]
    assert (globex["told_by_the_bill"], globex["not_told_usd"]) == (False, "50")
    assert document["services"][0]["residuals_usd"] == {
        "price": "10.004",
        "rounding": "-0.004",
        "tax": "20.9",
    }
    assert document["findings"][0]["usd"] == "10.004"
