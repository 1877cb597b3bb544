"""What the deployment orders of AWS Data Exports is what reconciliation reads."""

from datetime import date

import pytest

from costagg.reconciliation.charges import BillFault
from costagg.reconciliation.cur_sql import refuse_missing
from llmplatform.bill_export import COLUMNS, OPTIONS, data_prefix, export_url, manifest_key


def test_the_export_has_every_column_that_reconciliation_wants() -> None:
    assert refuse_missing(dict.fromkeys(COLUMNS, "VARCHAR")) == ()


@pytest.mark.parametrize(
    "column", [name for name in COLUMNS if name.startswith(("identity", "line_item_usage"))]
)
def test_a_column_that_is_left_out_would_be_missed(column: str) -> None:
    with pytest.raises(BillFault, match=column):
        refuse_missing({name: "VARCHAR" for name in COLUMNS if name != column})


def test_callers_and_resources_are_asked_for_and_days_are_fine_enough() -> None:
    assert OPTIONS["INCLUDE_RESOURCES"] == OPTIONS["INCLUDE_IAM_PRINCIPAL_DATA"] == "TRUE"
    assert OPTIONS["TIME_GRANULARITY"] in {"HOURLY", "DAILY"}


def test_a_month_lies_where_aws_delivers_it() -> None:
    folder = "cur/llm-platform"
    assert (
        export_url("111111111111", "eu-west-1") == f"s3://llm-platform-bill-111111111111-eu-west-1/{folder}"
    )
    month = date(2026, 11, 1)
    assert manifest_key(folder, month) == (
        "cur/llm-platform/metadata/BILLING_PERIOD=2026-11/llm-platform-Manifest.json"
    )
    assert data_prefix(folder, month) == "cur/llm-platform/data/BILLING_PERIOD=2026-11/"
