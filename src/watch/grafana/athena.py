"""The table that Athena reads the history of evaluations by: database, columns and partitions, as data. Pure.

DynamoDB has no data source in Amazon Managed Grafana; the same results lie as Parquet in S3, written by
`evalworker.stores.history_rows`, whose columns these are. Infrastructure puts the table into Glue.

Partitions are projected, so that no crawler runs: by day, and by a tenant that each query must name. The
third folder, `model=`, is none: its name is percent-encoded in the path, models leave the catalogue while
their history stays, and the files have the column `model_id`. Athena reads the folders below a partition too.

What was said is left out, in the clear or encrypted: the files have it, and Athena finds columns by name.
Whoever may read a prompt does so in the console, which logs each reading.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from llmplatform.evaluations import JUDGE_DIMENSIONS
from llmplatform.usage import TokenUsage

DATABASE: Final = "llm_platform"
TABLE: Final = "eval_history"
PREFIX: Final = "history/"
"""Of the objects, in the bucket of the history."""
FIRST_DAY: Final = "2026-01-01"


@dataclass(frozen=True, slots=True)
class Column:
    """A column, by its type in Glue."""

    name: str
    type: str


def _columns(type_: str, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name in names)


_USAGE: Final = tuple(field.name for field in fields(TokenUsage))

CONTENT: Final = frozenset(
    {"prompt", "completion", "reference", "contexts", "metadata", "reasons", "enc", "result_enc"}
)
"""Columns of the files that are not in the table."""
COLUMNS: Final = (
    *_columns("smallint", "schema_version"),
    *_columns("string", "request_id", "trace_id", "span_id", "tenant_id", "model_id"),
    *_columns("string", "endpoint_type", "outcome"),
    *_columns("timestamp", "received_at", "completed_at"),
    *_columns("double", "sample_rate"),
    *_columns("string", "sample_reason", "content_mode", "content_withheld"),
    *_columns("string", "requested_model_id", "backend_model_id", "endpoint_name"),
    *_columns("string", "finish_reason", "prompt_sha256"),
    *_columns("boolean", "prompt_truncated", "completion_truncated", "reference_truncated"),
    *_columns("boolean", "contexts_truncated"),
    *_columns("string", "kms_key"),
    *_columns("bigint", *_USAGE),
    *_columns("string", "usage_source"),
    *_columns("double", "total_latency_ms", "time_to_first_token_ms"),
    *_columns("timestamp", "judged_at"),
    *_columns("string", "judge_identity", "judge_model_id", "rubric_id", "rubric_version"),
    *_columns("tinyint", *(f"score_{name}" for name in JUDGE_DIMENSIONS)),
    *_columns("double", "bertscore_f1"),
    *_columns("string", "bertscore_identity"),
    *_columns("boolean", "judge_saw_less"),
    *_columns("bigint", *(f"judge_{name}" for name in _USAGE)),
    *_columns("double", "judge_latency_ms"),
    *_columns("decimal(38,18)", "judge_cost_usd"),
    *_columns("string", "result_kms_key"),
)
PARTITION_KEYS: Final = _columns("string", "date", "tenant")


def table_input(bucket: str) -> dict[str, Any]:
    """`TableInput` of Glue's CreateTable for the history in a bucket."""
    location = f"s3://{bucket}/{PREFIX}"
    return {
        "Name": TABLE,
        "Description": "Sampled requests with their scores, one row per request and judge.",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": key.name, "Type": key.type} for key in PARTITION_KEYS],
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            "projection.enabled": "true",
            "projection.date.type": "date",
            "projection.date.format": "yyyy-MM-dd",
            "projection.date.range": f"{FIRST_DAY},NOW",
            "projection.date.interval": "1",
            "projection.date.interval.unit": "DAYS",
            "projection.tenant.type": "injected",
            "storage.location.template": f"{location}date=${{date}}/tenant=${{tenant}}/",
        },
        "StorageDescriptor": {
            "Columns": [{"Name": column.name, "Type": column.type} for column in COLUMNS],
            "Location": location,
            "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
            },
        },
    }
