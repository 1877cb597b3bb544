"""Seconds and memory to reconcile a month: 50 tenants, 10 models, four token classes, by the hour.

    python benchmarks/bench_reconciliation.py [parquet|csv] [hours]

The export is written by DuckDB in a process of its own, so that its memory is not counted.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import duckdb

from costagg.reconciliation.comparing import reconcile
from costagg.reconciliation.cur_reader import find_files, read_bill
from costagg.reconciliation.usage_types import load_usage_types
from llmplatform.costs import ChargeClass, CostLine

TENANTS: Final = 50
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
TYPES: Final = load_usage_types()
MODELS: Final = [(model, scope) for model in TYPES.models[:5] for scope in ("geo", "global")]
CLASSES: Final[dict[ChargeClass, tuple[str, Decimal]]] = {
    "input": ("input-tokens", Decimal("3.3E-6")),
    "output": ("output-tokens", Decimal("16.5E-6")),
    "cache_read": ("cache-read-input-token-count", Decimal("0.33E-6")),
    "cache_write": ("cache-write-input-token-count", Decimal("4.125E-6")),
}
TOKENS: Final = "(1000 * (tenant + 1) + 37 * model + 11 * class + hour)"
TAGS: Final = {
    "parquet": "map{'user_tenant_id': 'tenant-' || tenant}",
    "csv": """'{"user_tenant_id": "tenant-' || tenant || '"}'""",
}


def write_export(path: Path, hours: int) -> None:
    """What AWS would export of `lines_of(hours)`."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE models (model INT, name VARCHAR, suffix VARCHAR)")
        connection.executemany(
            "INSERT INTO models VALUES (?, ?, ?)",
            [
                (number, model.names[0], "-cross-region-global" if scope == "global" else "")
                for number, (model, scope) in enumerate(MODELS)
            ],
        )
        connection.execute("CREATE TABLE classes (class INT, spelled VARCHAR, usd DECIMAL(18, 9))")
        connection.executemany(
            "INSERT INTO classes VALUES (?, ?, ?)",
            [(number, spelled, usd) for number, (spelled, usd) in enumerate(CLASSES.values())],
        )
        connection.execute(f"""COPY (SELECT
                concat_ws('-', tenant, model, class, hour) AS identity_line_item_id,
                CAST(started AS VARCHAR) AS identity_time_interval,
                started AS line_item_usage_start_date,
                '123456789012' AS line_item_usage_account_id,
                'Usage' AS line_item_line_item_type,
                'AmazonBedrock' AS line_item_product_code,
                'USE1-' || name || '-' || spelled || suffix AS line_item_usage_type,
                CAST({TOKENS} AS DOUBLE) / 1000 AS line_item_usage_amount,
                CAST({TOKENS} * usd AS DOUBLE) AS line_item_unblended_cost,
                'USD' AS line_item_currency_code,
                '1K tokens' AS pricing_unit,
                'us-east-1' AS product_region_code,
                'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/' || tenant
                    AS line_item_resource_id,
                {TAGS[path.suffix[1:]]} AS resource_tags
            FROM (SELECT hour, TIMESTAMP '2026-11-01' + to_hours(CAST(hour AS INT)) AS started
                    FROM range({hours}) AS hours(hour)),
                range({TENANTS}) AS tenants(tenant), models, classes) TO '{path}'""")  # noqa: S608


def lines_of(hours: int) -> Iterator[CostLine]:
    """What was attributed."""
    for hour in range(hours):
        start = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour)
        for tenant in range(TENANTS):
            for number, (model, scope) in enumerate(MODELS):
                for at, (charge_class, (_, usd)) in enumerate(CLASSES.items()):
                    tokens = Decimal(1_000 * (tenant + 1) + 37 * number + 11 * at + hour)
                    yield CostLine(
                        tenant_id=f"tenant-{tenant}",
                        hour=start,
                        layer="inference",
                        service="AmazonBedrock",
                        endpoint_type="bedrock",
                        model_id=model.base_model,
                        endpoint_name=None,
                        price_key=f"{model.base_model}/{scope}",
                        region="us-east-1",
                        service_tier="default",
                        charge_class=charge_class,
                        unit="tokens",
                        quantity=tokens,
                        unit_price_usd=usd,
                        amount_usd=tokens * usd,
                        requests=1,
                        usage_source="reported",
                        computed_from="request-ledger",
                        allocation_method="direct/1",
                        price_version="bench",
                    )


def main(kind: str, hours: int) -> None:
    """Measure, and hold the result to be right."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"cur.{kind}"
        subprocess.run([sys.executable, __file__, "write", str(path), str(hours)], check=True)  # noqa: S603
        started = time.perf_counter()
        bill = read_bill(find_files([str(path)]), FIRST, LAST, TYPES)
        read_s = time.perf_counter() - started
        started = time.perf_counter()
        lines = sum(1 for _ in lines_of(hours))
        making_s = time.perf_counter() - started
        started = time.perf_counter()
        result = reconcile(bill, lines_of(hours), first=FIRST, last=LAST, usage_types=TYPES)
        compared_s = time.perf_counter() - started - making_s
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{kind}, {path.stat().st_size / 2**20:.0f} MiB, {bill.rows:,} line items, {lines:,} cost lines"
        )
    print(f"read {read_s:.1f} s, compared {compared_s:.1f} s, at most {peak_mib:.0f} MiB")
    assert not result.over(Decimal("0.001"))
    assert bill.rows == lines


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_export(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        kind, hours = (sys.argv[1:] + ["parquet", "720"][len(sys.argv) - 1 :])[:2]
        main(kind, int(hours))
