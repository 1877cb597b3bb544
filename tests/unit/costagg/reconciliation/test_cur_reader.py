"""Reading an export: what cannot be reconciled is refused in words that say what to do."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from costagg.reconciliation.charges import Bill, BillFault
from costagg.reconciliation.cur_reader import find_files, read_bill
from costagg.reconciliation.cur_sql import TenantsOnBill
from costagg.reconciliation.usage_types import load_usage_types
from harness.cost_lines import INPUT
from harness.cur import ACCOUNT, Item, Making, line_items, write_csv, write_parquet
from llmplatform.costs import CostLine

TYPES = load_usage_types()
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)


def line(tenant: str = "acme", *, day: int = 5, tokens: int = 1_000_000) -> CostLine:
    return replace(
        INPUT,
        tenant_id=tenant,
        hour=datetime(2026, 11, day, 9, tzinfo=UTC),
        price_key="amazon.nova-2-lite/geo",
        quantity=Decimal(tokens),
        unit_price_usd=Decimal("3.3E-7"),
        amount_usd=tokens * Decimal("3.3E-7"),
    )


def items(*lines: CostLine, making: Making | None = None) -> list[Item]:
    return line_items(lines or (line(), line("globex")), TYPES, making)


def read(*names: Path | str, first: date = FIRST, last: date = LAST, accounts: tuple[str, ...] = ()) -> Bill:
    files = find_files([str(name) for name in names])
    return read_bill(files, first, last, TYPES, accounts=accounts)


def test_alike_line_items_become_one_charge(tmp_path: Path) -> None:
    bill = read(write_parquet(items(line(day=5), line(day=5, tokens=500)), tmp_path))
    (charge,) = bill.charges
    assert (charge.day, charge.tenant_id, charge.amount) == (date(2026, 11, 5), "acme", Decimal("1000.5"))
    assert charge.cost_usd == Decimal("0.330165")
    assert bill.last_day == date(2026, 11, 5)


def test_doubles_of_parquet_are_the_decimals_that_were_meant(tmp_path: Path) -> None:
    made = [
        one | {"identity_line_item_id": str(number), "line_item_unblended_cost": Decimal("0.1")}
        for number, one in enumerate(items(line()) * 1_000)
    ]
    (charge,) = read(write_parquet(made, tmp_path)).charges
    assert charge.cost_usd == Decimal(100)


def test_only_the_days_asked_for_count(tmp_path: Path) -> None:
    folder = write_parquet(items(line(day=1), line(day=2), line(day=3)), tmp_path)
    bill = read(folder, first=date(2026, 11, 2), last=date(2026, 11, 2))
    assert [charge.day for charge in bill.charges] == [date(2026, 11, 2)]


ZONES = """
import sys
from datetime import date
from costagg.reconciliation.cur_reader import find_files, read_bill
from costagg.reconciliation.usage_types import load_usage_types
bill = read_bill(find_files(sys.argv[1:]), date(2026, 11, 1), date(2026, 11, 30), load_usage_types())
print(*(charge.day for charge in bill.charges))
"""


def test_days_are_of_utc_wherever_it_runs(tmp_path: Path) -> None:
    path = write_parquet(items(line(day=5)), tmp_path) / "cur-00000.snappy.parquet"
    table = pq.read_table(path)
    name = "line_item_usage_start_date"
    early = pa.array([datetime(2026, 11, 5, 1, 30, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, early), path)
    told = subprocess.check_output(  # noqa: S603  # this very interpreter
        [sys.executable, "-c", ZONES, str(path)], env={**os.environ, "TZ": "America/New_York"}, text=True
    )
    assert told.strip() == "2026-11-05"


@pytest.mark.parametrize(
    ("began", "day"),
    [
        ("2026-11-05T00:00:00Z", 5),
        ("2026-11-05T23:59:59.000Z", 5),
        ("2026-11-05 00:00:00", 5),
        ("2026-11-05", 5),
        ("2026-11-05T23:30:00-05:00", 6),
    ],
)
def test_a_time_with_an_offset_is_taken_to_utc(tmp_path: Path, began: str, day: int) -> None:
    path = write_csv(items(line()), tmp_path, zipped=False) / "cur-00000.csv"
    written = path.read_text()
    assert "2026-11-05T09:00:00.000Z" in written
    path.write_text(written.replace("2026-11-05T09:00:00.000Z", began))
    assert [charge.day for charge in read(path).charges] == [date(2026, 11, day)]


def test_only_the_accounts_asked_for_count(tmp_path: Path) -> None:
    folder = write_csv(items(), tmp_path)
    assert read(folder, accounts=(ACCOUNT,)).rows == 2
    assert read(folder, accounts=("999999999999",)).rows == 0


@pytest.mark.parametrize(
    ("column", "fix"),
    [
        ("line_item_resource_id", "Include resource IDs"),
        ("pricing_unit", "select every column"),
        ("line_item_currency_code", "select every column"),
    ],
)
def test_a_missing_column_is_named_with_the_option_that_puts_it_in(
    tmp_path: Path, column: str, fix: str
) -> None:
    for folder in (
        write_parquet(items(), tmp_path / "p", without=[column]),
        write_csv(items(), tmp_path / "c", without=[column]),
    ):
        with pytest.raises(BillFault, match=rf"lacks {column} \(.*{fix}"):
            read(folder)


def test_an_export_without_any_tags_is_refused(tmp_path: Path) -> None:
    folder = write_parquet(items(), tmp_path, without=["resource_tags", "tags"])
    with pytest.raises(BillFault, match=r"lacks resource_tags .*cost allocation tag"):
        read(folder)


@pytest.mark.parametrize("missing", ["resource_tags", "tags"])
def test_one_kind_of_tags_is_enough(tmp_path: Path, missing: str) -> None:
    bill = read(write_parquet(items(), tmp_path, without=[missing]))
    assert {charge.tenant_id for charge in bill.charges} == {"acme", "globex"}


def test_an_export_that_knows_no_callers_says_how_to_have_them(tmp_path: Path) -> None:
    bill = read(write_csv(items(), tmp_path, without=["line_item_iam_principal"]))
    assert "INCLUDE_IAM_PRINCIPAL_DATA" in bill.notes[0]


def test_a_legacy_report_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cur.csv").write_text("bill/BillType,lineItem/UsageType\nAnniversary,x\n")
    with pytest.raises(BillFault, match="legacy"):
        read(tmp_path)


def test_another_currency_is_refused(tmp_path: Path) -> None:
    made = [one | {"line_item_currency_code": "EUR"} for one in items()]
    with pytest.raises(BillFault, match=r"the bill is in EUR \(2 line items\)"):
        read(write_parquet(made, tmp_path))


def test_the_same_file_named_twice_is_read_once(tmp_path: Path) -> None:
    folder = write_parquet(items(), tmp_path)
    assert read(folder, folder / "*.parquet", folder / "cur-00000.snappy.parquet").rows == 2


def test_a_copy_of_a_file_is_refused(tmp_path: Path) -> None:
    one, other = write_parquet(items(), tmp_path / "a"), write_parquet(items(), tmp_path / "b")
    with pytest.raises(BillFault, match=r"2 line items \(\$0.66\) are there twice"):
        read(one, other)


def test_one_export_in_two_formats_is_refused(tmp_path: Path) -> None:
    write_parquet(items(), tmp_path / "both")
    write_csv(items(), tmp_path / "both")
    with pytest.raises(BillFault, match=r"twice, in cur-00000.csv.gz, cur-00000.snappy.parquet"):
        read(tmp_path / "both")


def test_versions_of_one_export_are_refused_and_the_newest_is_named(tmp_path: Path) -> None:
    period = tmp_path / "data" / "BILLING_PERIOD=2026-11"
    for version in ("2026-11-29T10:00:00Z-aa", "2026-11-30T10:00:00Z-bb"):
        write_parquet(items(), period / version)
    with pytest.raises(BillFault, match=r"BILLING_PERIOD=2026-11 has 2 versions .*2026-11-30T10:00:00Z-bb"):
        find_files([str(tmp_path)])
    assert len(find_files([str(period / "2026-11-30T10:00:00Z-bb")])) == 1


def test_ids_that_come_again_for_something_else_are_no_duplicates(tmp_path: Path) -> None:
    made = [one | {"identity_line_item_id": "same"} for one in items(line(), line("globex"), line(day=6))]
    assert read(write_parquet(made, tmp_path)).rows == 3


def test_files_that_are_not_there_or_no_exports_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BillFault, match="no Parquet or CSV file there"):
        read(tmp_path)
    (tmp_path / "cur.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(BillFault, match="the export cannot be read: "):
        read(tmp_path)


def test_what_is_hidden_in_a_folder_is_no_export(tmp_path: Path) -> None:
    folder = write_csv(items(), tmp_path / "data [1]")
    (folder / "._cur-00000.csv.gz").write_bytes(b"a resource fork")
    (folder / "_SUCCESS").touch()
    assert read(folder).rows == 2


def test_what_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    path = write_csv(items(), tmp_path, zipped=False) / "cur-00000.csv"
    path.write_bytes(path.read_bytes().replace(b"acme", b"\xe4cme"))
    with pytest.raises(BillFault, match="not utf-8 encoded"):
        read(path)


def test_an_amount_that_is_no_number_is_refused(tmp_path: Path) -> None:
    folder = write_csv(items(), tmp_path, zipped=False)
    path = folder / "cur-00000.csv"
    path.write_text(path.read_text().replace("0.3300000000", "a third"))
    with pytest.raises(BillFault, match=r"the export cannot be read: .*a third"):
        read(folder)


@pytest.mark.parametrize(
    "told",
    [
        {"resource_tags": {"user_team": "acme"}},
        {"tags": {"resourceTags/team": "acme"}},
        {"tags": {"iamPrincipal/team": "acme"}},
        {"line_item_iam_principal": "arn:aws:sts::1:assumed-role/gateway/llm-acme"},
    ],
    ids=["profile", "tags", "role", "session"],
)
@pytest.mark.parametrize("write", [write_parquet, write_csv])
def test_a_tenant_is_told_by_whatever_names_it(tmp_path: Path, told: Item, write: object) -> None:
    nothing = {"resource_tags": {}, "tags": {}, "line_item_iam_principal": "arn:aws:iam::1:user/somebody"}
    made = [one | nothing | told for one in items(line())]
    assert callable(write)
    write(made, tmp_path)
    tenants = TenantsOnBill(tag="team", session_prefix="llm-")
    bill = read_bill(find_files([str(tmp_path)]), FIRST, LAST, TYPES, tenants=tenants)
    assert [charge.tenant_id for charge in bill.charges] == ["acme"]


def test_a_quote_in_a_name_is_no_sql(tmp_path: Path) -> None:
    folder = write_parquet(items(), tmp_path / "it's; DROP TABLE")
    tenants = TenantsOnBill(tag="o'tag", session_prefix="o'")
    bill = read_bill(
        find_files([str(folder)]), FIRST, LAST, TYPES, tenants=tenants, accounts=("o'1", ACCOUNT)
    )
    assert bill.rows == 2
