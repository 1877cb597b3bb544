"""The table that Athena reads is the one that the worker writes, and its questions are answered from it.

DuckDB stands in for Athena: the SQL is what both understand, and the files are the worker's own. What it
cannot show is partition projection, which is held to the worker's paths instead.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest

from evalworker.stores.history_rows import PREFIX, SCHEMA, HistoryRow, encode_rows, folder, object_name
from harness.watched import ACME, GLOBEX, WORLD
from llmplatform import ids
from llmplatform.evaluations import EvalContent, EvalResult, Judge
from llmplatform.samples import SampleEvent
from watch.grafana import athena, athena_queries
from watch.grafana.boards import boards
from watch.grafana.cells import AthenaCell
from watch.limits import Limits

DAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "CANARY what the tenant said"
GLUE = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "string",
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.decimal128(38, 18): "decimal(38,18)",
    pa.map_(pa.string(), pa.string()): "map<string,string>",
    pa.list_(pa.field("element", pa.string())): "array<string>",
}

_AS_IN_GLUE = ", ".join(
    f"{name} AT TIME ZONE 'UTC' AS {name}" for name in ("received_at", "completed_at", "judged_at")
)


def row(number: int, score: int, *, tenant: str = "acme", judge: str = "judge-a", **more: Any) -> HistoryRow:
    """An answer of a model with this score in every dimension."""
    fields: dict[str, Any] = {"bertscore": 0.87, "rate": 1.0, "days": 0, "model": "small"} | more
    at = DAY + timedelta(minutes=number, days=fields["days"])
    event = SampleEvent(
        schema_version=1,
        request_id=ids.request_id(1_767_225_600_000 + number, number.to_bytes(10)),
        trace_id=ids.as_uuid(f"{number:032x}"),
        span_id=f"{number:016x}",
        tenant_id=tenant,
        model_id=fields["model"],
        endpoint_type="bedrock",
        outcome="completed",
        received_at=at - timedelta(seconds=2),
        completed_at=at,
        sample_rate=fields["rate"],
        sample_reason="rate",
        content_mode="full",
        prompt=SECRET,
        completion=SECRET,
        prompt_sha256="ab" * 32,
    )
    names = ("relevance", "coherence", "factual_fidelity", "absence_of_hallucination")
    result = EvalResult(
        tenant_id=tenant,
        request_id=event.request_id,
        trace_id=event.trace_id,
        event_at=at,
        judged_at=at + timedelta(seconds=9),
        model_id=event.model_id,
        endpoint_type="bedrock",
        sample_rate=event.sample_rate,
        sample_reason="rate",
        judge=Judge(judge, "vendor.judge-v1:0", "answer-quality", "1"),
        scores=dict.fromkeys(names, score),
        content_truncated=False,
        bertscore_f1=fields["bertscore"],
        bertscore_identity="scorer-a",
        content=EvalContent(prompt=SECRET, completion=SECRET, reasons=dict.fromkeys(names, SECRET)),
    )
    return HistoryRow(event, result)


class History:
    """The worker's files in a folder, and a database that reads them by the table's name."""

    def __init__(self, at: Path) -> None:
        self._at = at
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")

    def write(self, *rows: HistoryRow) -> None:
        """Put the rows where the worker puts them."""
        by_folder: dict[str, list[HistoryRow]] = {}
        for one in rows:
            by_folder.setdefault(one.folder, []).append(one)
        for path, some in by_folder.items():
            name = object_name(f"{some[0].result.event_at:%H%M%S}", [one.identity for one in some])
            target = self._at / path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode_rows(some))

    def ask(self, sql: str, **chosen: str) -> list[Mapping[str, Any]]:
        """What a query finds, its macros and variables filled in as Grafana fills them in."""
        since, until = DAY - timedelta(days=1), DAY + timedelta(days=2)
        values = {
            "__from:date:iso": since.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "__to:date:iso": until.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            **chosen,
        }
        between = (
            f"\\1 BETWEEN TIMESTAMP '{since:%Y-%m-%d %H:%M:%S}' AND TIMESTAMP '{until:%Y-%m-%d %H:%M:%S}'"
        )
        filled = re.sub(r"\$__timeFilter\((\w+)\)", between, sql)
        filled = re.sub(r"\$\{([^}]+)\}", lambda found: values[found[1]], filled)
        files = f"{self._at}/{athena.PREFIX}*/*/*/*.parquet"
        self._database.execute(f'CREATE SCHEMA IF NOT EXISTS "{athena.DATABASE}"')
        self._database.execute(
            f'CREATE OR REPLACE VIEW "{athena.DATABASE}"."{athena.TABLE}" AS '  # noqa: S608
            f"SELECT * REPLACE ({_AS_IN_GLUE}) "
            f"FROM read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false)"
        )
        found = self._database.execute(filled)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]


@pytest.fixture(name="history")
def written_history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_the_columns_are_those_that_the_worker_writes() -> None:
    written = [(field.name, GLUE[field.type]) for field in SCHEMA]
    assert [(column.name, column.type) for column in athena.COLUMNS] == [
        column for column in written if column[0] not in athena.CONTENT
    ]
    assert {name for name, _ in written} >= athena.CONTENT


def test_partitions_are_projected_onto_the_workers_folders() -> None:
    assert PREFIX == athena.PREFIX
    table = athena.table_input("a-bucket")
    template = table["Parameters"]["storage.location.template"]
    expected = f"s3://a-bucket/{folder(DAY.date(), 'acme')}"
    assert template.replace("${date}", "2026-11-23").replace("${tenant}", "acme") == expected
    assert [key["Name"] for key in table["PartitionKeys"]] == ["date", "tenant"]
    names = [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
    assert not {"date", "tenant"} & set(names)
    assert len(set(names)) == len(names)
    for key in table["PartitionKeys"]:
        assert f"projection.{key['Name']}.type" in table["Parameters"]


def queries() -> Iterator[tuple[str, str]]:
    for board in boards(WORLD, Limits()):
        for cell in board.cells:
            if isinstance(cell, AthenaCell):
                yield f"{board.key}: {cell.title}", cell.sql


@pytest.mark.parametrize("sql", [sql for _, sql in queries()], ids=[name for name, _ in queries()])
def test_every_query_names_its_partitions_and_asks_for_nothing_that_was_said(
    sql: str, history: History
) -> None:
    history.write(row(1, 4), row(2, 4, tenant="globex"))
    trace = ids.as_uuid(f"{1:032x}")
    found = history.ask(sql, model_id="small", eval_dimension="relevance", trace_id=trace)
    assert "tenant IN (" in sql
    assert '"date" BETWEEN' in sql
    assert SECRET not in repr(found)
    if "acme" in sql:
        assert found


def test_the_distribution_is_by_day_epoch_and_score(history: History) -> None:
    history.write(
        row(1, 5), row(2, 5), row(3, 2), row(4, 2, judge="judge-b", days=1), row(5, 1, model="other")
    )
    found = history.ask(athena_queries.distribution("acme"), model_id="small", eval_dimension="relevance")
    assert [(f"{one['time']:%m-%d}", one["epoch"], one["score"], one["answers"]) for one in found] == [
        ("11-23", "judge-a", "2.0", 1),
        ("11-23", "judge-a", "5.0", 2),
        ("11-24", "judge-b", "2.0", 1),
    ]


def test_bertscore_is_counted_in_tenths_of_its_own_epoch(history: History) -> None:
    history.write(row(1, 5), row(2, 5, bertscore=0.81), row(3, 5, bertscore=0.79))
    found = history.ask(athena_queries.distribution("acme"), model_id="small", eval_dimension="bertscore_f1")
    assert [(one["epoch"], one["score"], one["answers"]) for one in found] == [
        ("scorer-a", "0.7", 1),
        ("scorer-a", "0.8", 2),
    ]


def test_what_was_written_twice_counts_once(history: History) -> None:
    first = row(1, 3)
    history.write(first)
    again = msgspec.structs.replace(first.event)
    history.write(HistoryRow(again, first.result), row(2, 5))
    found = history.ask(athena_queries.tenants_quality(["acme"]))
    assert [(one["answers"], one["relevance"]) for one in found] == [(2, 4.0)]


def test_a_mean_counts_a_sample_for_the_requests_that_it_stands_for(history: History) -> None:
    history.write(row(1, 5), row(2, 1, rate=0.5), row(3, 2, tenant="globex"))
    found = history.ask(athena_queries.tenants_quality(["acme", "globex"]))
    means = {one["tenant_id"]: one["relevance"] for one in found}
    assert means == {"acme": pytest.approx((5 + 2 * 1) / 3), "globex": 2.0}


def test_the_worst_answers_come_first_with_their_traces(history: History) -> None:
    history.write(row(1, 5), row(2, 1), row(3, 2), row(4, 1, tenant="globex"))
    found = history.ask(athena_queries.worst_answers("acme"), model_id="small", eval_dimension="coherence")
    assert [one["score"] for one in found] == [1, 2, 5]
    assert found[0]["trace_id"] == ids.as_uuid(f"{2:032x}")


def test_the_scores_of_one_trace_are_of_that_trace(history: History) -> None:
    history.write(row(1, 5), row(2, 1))
    tenants = [ACME.tenant_id, GLOBEX.tenant_id]
    found = history.ask(athena_queries.scores_of_trace(tenants), trace_id=ids.as_uuid(f"{2:032x}"))
    assert [(one["relevance"], one["judge_identity"]) for one in found] == [(1, "judge-a")]


def test_a_trace_id_is_written_as_xray_writes_it(history: History) -> None:
    history.write(row(1, 5))
    uuid = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
    (found,) = history.ask(athena_queries.xray_trace_id(), trace_id=uuid)
    assert found["xray_trace_id"] == "1-4bf92f35-77b34da6a3ce929d0e0e4736"
