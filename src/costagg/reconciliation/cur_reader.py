"""An export of the AWS Cost and Usage Report 2.0 as charges: DuckDB adds up, nothing is held line by line.

Parquet and CSV (`.gz` too), files, folders and patterns. Money is cast to decimals before it is summed.
DuckDB reaches no network here and loads no extension. What usage types mean is in `usage_types`.
"""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

from costagg.reconciliation.charges import Bill, BillFault, Charge
from costagg.reconciliation.cur_sql import TenantsOnBill, items_of, literal, literals, refuse_missing
from costagg.reconciliation.usage_types import UsageTypes

MEMORY_LIMIT: Final = "256MB"
CURRENCY: Final = "USD"

_READERS: Final = {
    ".parquet": "read_parquet({files}, union_by_name=true, filename='file')",
    ".csv": "read_csv({files}, all_varchar=true, header=true, union_by_name=true, filename='file')",
    ".csv.gz": "read_csv({files}, all_varchar=true, header=true, union_by_name=true, filename='file')",
}
_SUFFIXES: Final = tuple(_READERS)
_PATTERN: Final = frozenset("*?[")
_PERIOD: Final = "BILLING_PERIOD="
_NAMED_FILES: Final = 6
_PAGE: Final = 10_000

_CURRENCIES: Final = f"""
    SELECT coalesce(currency, '(none)'), count(*) FROM items
    WHERE currency IS DISTINCT FROM '{CURRENCY}' AND cost_usd <> 0 GROUP BY 1 ORDER BY 1"""  # noqa: S608
# An id is unique in one file of an export at most, so what it is about must be the same too.
_DUPLICATES: Final = """
    SELECT coalesce(sum(n - 1), 0), coalesce(sum((n - 1) * cost_usd), 0), coalesce(max(files), [])
    FROM (
        SELECT count(*) AS n, cost_usd, list_sort(list_distinct(list(parse_filename(file)))) AS files
        FROM items WHERE id IS NOT NULL
        GROUP BY id, interval_, started, item_type, product_code, usage_type, cost_usd, amount, tenant_id,
            endpoint_name
        HAVING count(*) > 1)"""
_CHARGES: Final = """
    SELECT CAST(started AS DATE), product_code,
        CASE WHEN detailed THEN usage_type ELSE '' END,
        CASE WHEN detailed THEN pricing_unit ELSE '' END,
        CASE WHEN detailed THEN region ELSE '' END,
        CASE WHEN detailed THEN endpoint_name END,
        CASE WHEN detailed THEN tenant_id END,
        item_type,
        CASE WHEN detailed THEN product_name ELSE '' END,
        sum(cost_usd), sum(discount_usd), sum(amount), count(*)
    FROM items GROUP BY ALL ORDER BY ALL"""


def find_files(names: Sequence[str]) -> tuple[Path, ...]:
    """Every Parquet and CSV file that names, folders and patterns stand for, once, in order.

    Raises BillFault where one of them stands for none, and for several versions of an export.
    """
    found: dict[Path, None] = {}
    for name in names:
        files = [file.resolve() for path in _expanded(name) for file in _files_at(path)]
        if not files:
            raise BillFault(f"{name}: no Parquet or CSV file there")
        found |= dict.fromkeys(files)
    _refuse_versions(found)
    return tuple(found)


def read_bill(
    files: Sequence[Path],
    first: date,
    last: date,
    usage_types: UsageTypes,
    *,
    tenants: TenantsOnBill | None = None,
    accounts: Sequence[str] = (),
) -> Bill:
    """What the files charge for the days from the first to the last, both included, UTC.

    Raises BillFault for a file that cannot be read, a column that is missing, a currency that is not the US
    dollar, and line items that are there twice.
    """
    with tempfile.TemporaryDirectory(prefix="reconcile-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": MEMORY_LIMIT,
            "threads": 1,
            "preserve_insertion_order": False,
            "temp_directory": spill,
        }
        with duckdb.connect(":memory:", config=config) as connection:
            try:
                connection.execute("SET TimeZone = 'UTC'")  # else days are those of the place where it runs
                notes = _make_items(connection, files, usage_types, tenants or TenantsOnBill())
                _keep_period(connection, first, last, accounts)
                _refuse_currencies(connection)
                _refuse_duplicates(connection)
                return _bill(connection, notes)
            except duckdb.Error as error:
                raise BillFault(f"the export cannot be read: {_in_short(error)}") from error


def _refuse_versions(files: Iterable[Path]) -> None:
    """An export that keeps its versions has a folder for each in the period's; each has the whole period."""
    versions: dict[Path, set[str]] = {}
    for file in files:
        if file.parent.parent.name.startswith(_PERIOD):
            versions.setdefault(file.parent.parent, set()).add(file.parent.name)
    for period, names in versions.items():
        if len(names) > 1:
            raise BillFault(
                f"{period.name} has {len(names)} versions of the export: name the newest, {max(names)}"
            )


def _make_items(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    usage_types: UsageTypes,
    tenants: TenantsOnBill,
) -> tuple[str, ...]:
    """A view `every_item` of all files in columns of ours. Gives notes on what the export does not tell."""
    selects: list[str] = []
    notes: dict[str, None] = {}
    for suffix, reader in _READERS.items():
        mine = [str(file) for file in files if file.name.endswith(suffix)]
        if mine:
            source = reader.format(files=literals(mine))
            columns = {
                row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()
            }
            notes |= dict.fromkeys(refuse_missing(columns))
            selects.append(items_of(source, columns, usage_types, tenants))
    connection.execute(f"CREATE TEMP VIEW every_item AS {' UNION ALL '.join(selects)}")
    return tuple(notes)


def _keep_period(
    connection: duckdb.DuckDBPyConnection, first: date, last: date, accounts: Sequence[str]
) -> None:
    """A table `items` of the line items that began in the period, of some accounts or of all."""
    wanted = [
        f"started >= {literal(first.isoformat())}::TIMESTAMP",
        f"started < {literal((last + timedelta(days=1)).isoformat())}::TIMESTAMP",
    ]
    if accounts:
        wanted.append(f"list_contains({literals(accounts)}, account)")
    connection.execute(f"CREATE TEMP TABLE items AS FROM every_item WHERE {' AND '.join(wanted)}")


def _refuse_currencies(connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.execute(_CURRENCIES).fetchall()
    if found:
        told = ", ".join(f"{currency} ({rows} line items)" for currency, rows in found)
        raise BillFault(f"the bill is in {told}: only {CURRENCY} can be held against prices in {CURRENCY}")


def _refuse_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    rows, usd, files = _one(connection, _DUPLICATES)
    if rows:
        raise BillFault(
            f"{rows} line items (${usd:,.2f}) are there twice, in {', '.join(files[:_NAMED_FILES])}: "
            "name each export once, in one format and one version"
        )


def _bill(connection: duckdb.DuckDBPyConnection, notes: tuple[str, ...]) -> Bill:
    rows, last_day = _one(connection, "SELECT count(*), CAST(max(started) AS DATE) FROM items")
    grouped = connection.execute(_CHARGES)
    charges: list[Charge] = []
    while page := grouped.fetchmany(_PAGE):
        charges += (Charge(*row) for row in page)
    return Bill(tuple(charges), rows, last_day, notes)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    return connection.execute(query).fetchall()[0]


def _in_short(error: duckdb.Error) -> str:
    """What is wrong, without the line of the file that it is in, which may be long."""
    told = [line for line in str(error).splitlines()[:3] if not line.startswith("Original Line")]
    return ": ".join(line for line in told if line)


def _expanded(name: str) -> Iterable[Path]:
    """A pattern's paths; only what follows the first part with a magic character is one."""
    path = Path(name)
    if path.exists():
        return [path]
    at = next((at for at, part in enumerate(path.parts) if _PATTERN.intersection(part)), None)
    if at is None:
        return [path]
    return sorted(Path(*path.parts[:at]).glob(str(Path(*path.parts[at:]))))


def _files_at(path: Path) -> Iterable[Path]:
    """A file, or those of a folder but for what tools and file systems hide beside them."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.name.endswith(_SUFFIXES))
        return sorted(file for file in files if not file.name.startswith((".", "_")))
    return [path] if path.is_file() and path.name.endswith(_SUFFIXES) else []
