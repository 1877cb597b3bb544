"""Rows of a reconciliation in DynamoDB's JSON, and back."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from costagg.reconciliation.results import Compared, Reconciliation, ServiceResult, TenantResult
from costagg.reconciliation.store import decode, encode, rows_of
from llmplatform.errors import TelemetryFault

AT = datetime(2026, 12, 3, 6, tzinfo=UTC)
COMPARED = Compared(
    billed_usd=Decimal("119.5"),
    usage_usd=Decimal(100),
    attributed_usd=Decimal("97.000000000001"),
    gross_usd=Decimal(3),
    residuals={"price": Decimal("2.999999999999"), "tax": Decimal("19.5")},
)
NOTHING = Compared(Decimal(0), Decimal(0), Decimal(0), Decimal(0), {})
RESULT = Reconciliation(
    first=date(2026, 11, 1),
    last=date(2026, 11, 30),
    services=(
        ServiceResult("AmazonBedrock", COMPARED, estimated=False, unpriced_lines=0, uncounted_requests=0),
    ),
    tenants=(
        TenantResult("AmazonBedrock", "acme", COMPARED, Decimal(0)),
        TenantResult("AmazonBedrock", "globex", NOTHING, Decimal(5)),
    ),
    findings=(),
    not_compared_usd={},
    open_hours=3,
    notes=(),
    usage_types_version="1",
)


def test_rows_come_back_as_they_were() -> None:
    rows = rows_of(RESULT, limit_percent=Decimal(2), at=AT)
    assert [decode(encode(row)) for row in rows] == rows
    assert [(row.tenant_id, row.over_limit, row.error_percent) for row in rows] == [
        (None, True, Decimal("3.000000")),
        ("acme", True, Decimal("3.000000")),
    ]


def test_a_row_stands_beside_the_tenants_bills_under_an_owner_of_its_own() -> None:
    service, tenant = (encode(row) for row in rows_of(RESULT, limit_percent=Decimal(2), at=AT))
    assert service["tenant_date"] == {"S": "_reconciliation#2026-11"}
    assert service["line"] == {"S": "2026-11-01_2026-11-30#AmazonBedrock#"}
    assert tenant["line"] == {"S": "2026-11-01_2026-11-30#AmazonBedrock#acme"}


def test_what_is_no_row_is_refused() -> None:
    (item, _) = (encode(row) for row in rows_of(RESULT, limit_percent=Decimal(2), at=AT))
    for name in ("first", "usage_usd", "residuals"):
        with pytest.raises(TelemetryFault, match="not a row of a reconciliation"):
            decode({key: value for key, value in item.items() if key != name})
