"""The export of AWS's bill: what the deployment orders of AWS Data Exports, and reconciliation reads. Pure.

Names, columns and options as the AWS Data Exports user guide has them, "Cost and Usage Report (CUR) 2.0" and
"Understanding export delivery", November 2026.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

EXPORT_NAME: Final = "llm-platform"
EXPORT_PREFIX: Final = "cur"
TABLE: Final = "COST_AND_USAGE_REPORT"
_BUCKET: Final = "llm-platform-bill"

COLUMNS: Final = (
    "identity_line_item_id",
    "identity_time_interval",
    "line_item_usage_start_date",
    "line_item_usage_account_id",
    "line_item_line_item_type",
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_usage_amount",
    "line_item_unblended_cost",
    "line_item_currency_code",
    "line_item_resource_id",
    "line_item_line_item_description",
    "line_item_iam_principal",
    "pricing_unit",
    "pricing_public_on_demand_cost",
    "product_region_code",
    "product",
    "resource_tags",
    "tags",
)
"""What reconciliation reads. `SELECT *` is refused, and a column that is not there makes no export."""

OPTIONS: Final[Mapping[str, str]] = {
    "TIME_GRANULARITY": "DAILY",
    "INCLUDE_RESOURCES": "TRUE",
    "INCLUDE_IAM_PRINCIPAL_DATA": "TRUE",
    "INCLUDE_SPLIT_COST_ALLOCATION_DATA": "FALSE",
    "INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY": "FALSE",
}
"""By day, as it is compared. Without split costs: they repeat what instances cost, in rows of their own."""


def bucket_name(account_id: str, region: str) -> str:
    """The bucket that the export is delivered to: in the deployment's region, where its tasks can read."""
    return f"{_BUCKET}-{account_id}-{region}"


def export_url(account_id: str, region: str) -> str:
    """Where the export is, as reconciliation is told it."""
    return f"s3://{bucket_name(account_id, region)}/{EXPORT_PREFIX}/{EXPORT_NAME}"


def manifest_key(folder: str, month: date) -> str:
    """The key of a month's manifest in an export's folder, which bears the export's name.

    It is delivered when all files of the month are.
    """
    name = folder.rpartition("/")[2]
    return f"{folder}/metadata/BILLING_PERIOD={month:%Y-%m}/{name}-Manifest.json"


def data_prefix(folder: str, month: date) -> str:
    """What the keys of a month's files begin with."""
    return f"{folder}/data/BILLING_PERIOD={month:%Y-%m}/"
