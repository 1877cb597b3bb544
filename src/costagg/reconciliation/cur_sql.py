"""The columns of the Cost and Usage Report 2.0 that are read, and the SQL that makes ours of them. Pure text.

What a file may lack and what it must have stands here, with the option of the export that puts it in.
Source: AWS Data Exports user guide, "Cost and Usage Report (CUR) 2.0" table dictionary.
"""
# ruff: noqa: S608  # literals come from an operator's command line and data files, and are quoted

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from costagg.reconciliation.charges import BillFault
from costagg.reconciliation.usage_types import UsageTypes

_STANDARD: Final = "select every column of the table COST_AND_USAGE_REPORT in the export's query"
_REQUIRED: Final = {
    "identity_line_item_id": _STANDARD,
    "identity_time_interval": _STANDARD,
    "line_item_usage_start_date": _STANDARD,
    "line_item_usage_account_id": _STANDARD,
    "line_item_line_item_type": _STANDARD,
    "line_item_product_code": _STANDARD,
    "line_item_usage_type": _STANDARD,
    "line_item_usage_amount": _STANDARD,
    "line_item_unblended_cost": _STANDARD,
    "line_item_currency_code": _STANDARD,
    "pricing_unit": _STANDARD,
    "product_region_code": _STANDARD,
    "line_item_resource_id": "switch on 'Include resource IDs' (INCLUDE_RESOURCES) in the export",
}
_TAGS: Final = ("resource_tags", "tags")
_TAGS_FIX: Final = (
    "select it in the export's query, and activate the tag of the application inference profiles as a cost "
    "allocation tag"
)
_PRINCIPAL: Final = "line_item_iam_principal"
_PRINCIPAL_NOTE: Final = (
    f"the export has no {_PRINCIPAL}: switch on 'Include caller identity (IAM principal) allocation data' "
    "(INCLUDE_IAM_PRINCIPAL_DATA) to have callers told apart"
)
_OPTIONAL: Final = ("line_item_line_item_description", "pricing_public_on_demand_cost", _PRINCIPAL)
_PRODUCT_KEYS: Final = ("product_name", "servicename", "service_name")
_LEGACY: Final = "lineItem/UsageType"


@dataclass(frozen=True, slots=True)
class TenantsOnBill:
    """How the bill names tenants."""

    tag: str = "tenant_id"
    """Key of the tag on application inference profiles, roles or sessions."""
    session_prefix: str = "tenant-"
    """What the name of a role's session begins with, before the tenant's id."""


def refuse_missing(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Notes on what would be good to have. Raises BillFault that names what must be there, and the fix."""
    if _LEGACY in columns:
        raise BillFault("this is a legacy Cost and Usage Report: export CUR 2.0 by Data Exports instead")
    missing = [f"{column} ({fix})" for column, fix in _REQUIRED.items() if column not in columns]
    if not any(column in columns for column in _TAGS):
        missing.append(f"{_TAGS[0]} ({_TAGS_FIX})")
    if missing:
        raise BillFault(f"the export lacks {'; '.join(missing)}")
    return () if _PRINCIPAL in columns else (_PRINCIPAL_NOTE,)


def items_of(source: str, columns: Mapping[str, str], usage_types: UsageTypes, tenants: TenantsOnBill) -> str:
    """A SELECT of line items in columns of ours; `columns` has the type of each column of the source."""
    has = {column: f'"{column}"' if column in columns else "NULL" for column in _OPTIONAL}
    marketplace = "line_item_usage_type LIKE '%MP:%'"
    product_name = _product_name(columns, has["line_item_line_item_description"])
    names = " OR ".join(
        f"contains({product_name}, {literal(name)})" for name in sorted(usage_types.product_names)
    )
    detailed = f"list_contains({literals(usage_types.detailed_codes)}, line_item_product_code)"
    if names:
        detailed += f" OR ({marketplace} AND ({names}))"
    cost, on_demand = _decimal("line_item_unblended_cost"), _decimal(has["pricing_public_on_demand_cost"])
    reserved = "line_item_line_item_type = 'DiscountedUsage'"
    return f"""
        SELECT
            file,
            identity_line_item_id AS id,
            identity_time_interval AS interval_,
            CAST(CAST(line_item_usage_start_date AS TIMESTAMPTZ) AS TIMESTAMP) AS started,
            CAST(line_item_usage_account_id AS VARCHAR) AS account,
            coalesce(line_item_line_item_type, '') AS item_type,
            coalesce(line_item_product_code, '') AS product_code,
            line_item_currency_code AS currency,
            ({detailed}) AS detailed,
            coalesce(line_item_usage_type, '') AS usage_type,
            coalesce(pricing_unit, '') AS pricing_unit,
            coalesce(product_region_code, '') AS region,
            nullif(regexp_extract(line_item_resource_id, ':endpoint/([^/]+)', 1), '') AS endpoint_name,
            {_tenant(columns, has[_PRINCIPAL], tenants)} AS tenant_id,
            CASE WHEN {marketplace} THEN {product_name} ELSE '' END AS product_name,
            coalesce(CASE WHEN {reserved} THEN coalesce({on_demand}, {cost}) ELSE {cost} END, 0) AS cost_usd,
            coalesce(CASE WHEN {reserved} THEN {cost} - coalesce({on_demand}, {cost}) END, 0) AS discount_usd,
            coalesce({_decimal("line_item_usage_amount")}, 0) AS amount
        FROM {source}"""


def literal(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def literals(values: Iterable[str]) -> str:
    """A list of texts in SQL."""
    return "[" + ", ".join(map(literal, sorted(values))) + "]::VARCHAR[]"


def _decimal(column: str) -> str:
    """By way of a text: a double of 17 digits then is the decimal that was meant."""
    return f"CAST(nullif(CAST({column} AS VARCHAR), '') AS DECIMAL(38,12))"


def _product_name(columns: Mapping[str, str], description: str) -> str:
    names = (
        [_of_map("product", columns["product"], key) for key in _PRODUCT_KEYS] if "product" in columns else []
    )
    return f"concat_ws(' ', {', '.join([*names, description])})"


def _tenant(columns: Mapping[str, str], principal: str, tenants: TenantsOnBill) -> str:
    """The first that is told: a tag of the resource, a tag of the caller, the caller's session."""
    plain = (f"user_{tenants.tag}", f"user:{tenants.tag}", tenants.tag)
    prefixed = tuple(f"{kind}/{key}" for kind in ("resourceTags", "iamPrincipal") for key in plain)
    told = [
        f"nullif({_of_map(column, columns[column], key)}, '')"
        for column, keys in zip(_TAGS, (plain, prefixed), strict=True)
        if column in columns
        for key in keys
    ]
    session = f":assumed-role/[^/]+/{re.escape(tenants.session_prefix)}([a-z0-9-]{{1,48}})$"
    told.append(f"nullif(regexp_extract({principal}, {literal(session)}, 1), '')")
    return f"coalesce({', '.join(told)})"


def _of_map(column: str, kind: str, key: str) -> str:
    """The value of a key: in Parquet of a map, in CSV of a JSON text."""
    if kind.startswith("MAP"):
        return f"{column}[{literal(key)}]"
    path = literal(f'$."{key}"')
    return f"json_extract_string(nullif(CAST({column} AS VARCHAR), ''), {path})"
