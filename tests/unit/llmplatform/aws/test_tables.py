import ast
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from llmplatform.aws.tables import (
    BUCKETS,
    CONTENT_LOGS,
    EVAL_STREAM,
    GATEWAY_LOGS,
    LEDGER_SHARDS,
    LOG_GROUPS,
    REQUEST_LEDGER,
    STREAMS,
    TABLES,
    Bucket,
    KeyAttribute,
)

# Days that CloudWatch Logs accepts for a group's retention (PutRetentionPolicy).
LOG_RETENTIONS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922}


def test_ledger_is_keyed_by_tenant_hour_and_shard_and_indexed_by_trace() -> None:
    assert REQUEST_LEDGER.partition_key == KeyAttribute("tenant_hour_shard")
    assert REQUEST_LEDGER.sort_key == KeyAttribute("request_id")
    (by_trace,) = REQUEST_LEDGER.indexes
    assert (by_trace.name, by_trace.partition_key.name, by_trace.sort_key.name) == (
        "by-trace",
        "trace_id",
        "request_id",
    )
    assert (REQUEST_LEDGER.ttl_attribute, REQUEST_LEDGER.retention_days) == ("expires_at", 90)
    assert LEDGER_SHARDS == 8


def test_an_attribute_in_two_keys_is_defined_once() -> None:
    names = [key.name for key in REQUEST_LEDGER.key_attributes]
    assert names == ["tenant_hour_shard", "request_id", "trace_id"]


@pytest.mark.parametrize("name", [thing.name for thing in (*TABLES, *STREAMS)])
def test_names_are_ones_that_dynamodb_and_kinesis_accept(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_.-]{3,128}", name)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_bucket_name_tells_account_and_region_and_is_short_enough(bucket: Bucket) -> None:
    name = bucket.name("123456789012", "ap-southeast-2")
    assert name.endswith("-123456789012-ap-southeast-2")
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name)


def test_retentions_are_ones_that_the_services_accept() -> None:
    assert {group.retention_days for group in LOG_GROUPS} <= LOG_RETENTIONS
    assert all(24 <= stream.retention_h <= 8760 for stream in STREAMS)


def test_content_is_forgotten_before_the_log_lines_are() -> None:
    assert CONTENT_LOGS.name != GATEWAY_LOGS.name
    assert CONTENT_LOGS.retention_days < GATEWAY_LOGS.retention_days


def test_a_week_of_samples_can_be_replayed() -> None:
    assert EVAL_STREAM.retention_h == 168


def test_definitions_cannot_be_changed_by_a_process() -> None:
    with pytest.raises(FrozenInstanceError):
        REQUEST_LEDGER.name = "another"  # type: ignore[misc]


def test_nothing_is_named_to_aws_but_what_is_defined_here() -> None:
    """A name that is spelled out in a call, or in a template, is a second definition."""
    naming = {
        *("TableName", "StreamName", "logGroupName", "Bucket", "TopicArn"),
        *("table_name", "stream_name", "log_group_name", "bucket_name", "topic_name"),
    }
    root = Path(__file__).parents[4]
    files = [*(root / "src").rglob("*.py"), *(root / "infra").rglob("*.py")]
    spelled_out = {
        f"{path.relative_to(root)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        for given in node.keywords
        if given.arg in naming and isinstance(given.value, ast.Constant) and given.value.value
    }
    assert len(files) > 300
    assert spelled_out == set()
