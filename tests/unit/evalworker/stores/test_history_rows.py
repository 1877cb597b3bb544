"""Rows of the history: into Parquet and back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.eval_results import CANARY, TENANT_KEY, make_event, make_result, make_row, make_sealed_row
from evalworker.stores.history_rows import (
    SCHEMA,
    HistoryRow,
    encode_rows,
    encode_table,
    events_of,
    folder,
    object_name,
    open_rows,
)
from llmplatform.errors import TelemetryFault
from llmplatform.samples import SampleEvent


def read_back(data: bytes) -> list[SampleEvent]:
    file = open_rows(data)
    assert file is not None
    return list(events_of(file))


def table_of(*rows: HistoryRow) -> pa.Table:
    file = open_rows(encode_rows(rows))
    assert file is not None
    return file.read()


def test_a_sample_comes_back_whole() -> None:
    event = make_event()
    assert read_back(encode_rows([HistoryRow(event, make_result(event))])) == [event]


def test_a_sealed_sample_comes_back_sealed() -> None:
    row = make_sealed_row()
    assert read_back(encode_rows([row])) == [row.event]


def test_a_sample_of_which_little_is_known_comes_back() -> None:
    event = msgspec.structs.replace(
        make_event(),
        **dict.fromkeys(("prompt", "reference", "finish_reason", "total_latency_ms")),
        contexts=(),
        metadata={},
        usage={},
    )
    assert read_back(encode_rows([HistoryRow(event, make_result(event))])) == [event]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(
    st.builds(
        make_event,
        completed_at=moments,
        prompt=st.none() | texts,
        completion=st.none() | texts,
        reference=st.none() | texts,
        contexts=st.lists(texts, max_size=3).map(tuple),
        metadata=st.dictionaries(texts, texts, max_size=3),
        sample_rate=st.floats(1e-9, 1.0),
        usage=st.dictionaries(st.sampled_from(["input_tokens", "reasoning_tokens"]), st.integers(0, 10**9)),
    )
)
def test_any_sample_comes_back_equal(event: SampleEvent) -> None:
    assert read_back(encode_rows([HistoryRow(event, make_result(event))])) == [event]


def test_rows_lie_in_order_of_time() -> None:
    rows = [make_row(number) for number in (3, 1, 2)]
    assert [event.request_id for event in read_back(encode_rows(rows))] == [
        make_row(number).event.request_id for number in (1, 2, 3)
    ]


def test_figures_are_columns_of_their_own_type() -> None:
    row = table_of(make_row()).to_pylist()[0]
    assert row["score_relevance"] == 5
    assert row["bertscore_f1"] == pytest.approx(0.8125)
    assert row["judge_cost_usd"] == Decimal("0.00123450")
    assert row["judge_input_tokens"] == 900
    assert row["judge_cache_read_tokens"] is None
    assert row["judged_at"] == make_row().result.judged_at
    assert SCHEMA.field("score_relevance").type == pa.int8()
    assert SCHEMA.field("completed_at").type == pa.timestamp("us", tz="UTC")


def test_units_are_in_the_file() -> None:
    schema = pq.read_schema(pa.BufferReader(encode_rows([make_row()])))
    assert schema.field("total_latency_ms").metadata[b"unit"] == b"ms"
    assert schema.field("judge_cost_usd").metadata[b"unit"] == b"USD"
    assert schema.metadata[b"llm_platform.history_schema"] == b"1"


def test_a_cost_finer_than_the_column_is_rounded_and_an_unknown_one_stays_unknown() -> None:
    event = make_event()
    fine = HistoryRow(event, make_result(event, judge_cost_usd=Decimal(1) / Decimal(3_000_000)))
    unknown = HistoryRow(event, make_result(event, judge_cost_usd=None))
    costs = table_of(fine, unknown)["judge_cost_usd"].to_pylist()
    assert sorted(costs, key=str) == [Decimal("3.33333333333E-7"), None]


def test_a_count_that_no_column_holds_is_unknown() -> None:
    event = make_event(usage={"input_tokens": 2**70, "tokens_of_tomorrow": 1})
    assert table_of(HistoryRow(event, make_result(event)))["input_tokens"].to_pylist() == [None]


def test_content_in_the_clear_is_left_out_once_the_tenant_has_a_key() -> None:
    clear, sealed = make_row(), make_sealed_row()
    row = HistoryRow(clear.event, replace(clear.result, content=sealed.result.content))
    assert row.kms_key == TENANT_KEY
    assert CANARY not in str(table_of(row).to_pylist())


def test_reasons_are_left_out_of_a_sealed_sample() -> None:
    row = HistoryRow(make_sealed_row().event, make_result())
    assert CANARY not in str(table_of(row).to_pylist())


def test_withheld_content_is_left_out() -> None:
    event = make_event(content_withheld="hash_only", content_mode="hash_only")
    table = table_of(HistoryRow(event, make_result(event)))
    assert CANARY not in str(table.to_pylist())
    assert table["prompt_sha256"].to_pylist() == ["0f" * 32]


@pytest.mark.parametrize("row", [make_row(), make_sealed_row()])
def test_without_content_the_figures_stay(row: HistoryRow) -> None:
    bare = table_of(row.without_content).to_pylist()[0]
    assert bare["score_coherence"] == 4
    assert bare["content_withheld"] == "key_unavailable"
    said = ("prompt", "completion", "reference", "contexts", "metadata", "enc", "result_enc", "reasons")
    assert not any(bare[name] for name in said)
    assert bare["contexts_truncated"] == row.event.contexts_truncated


def test_a_row_lies_under_the_utc_day_of_its_request() -> None:
    late = datetime(2026, 11, 24, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    row = make_row(completed_at=late)
    assert row.folder == "history/date=2026-11-23/tenant=acme/model=vendor%2Fsmall%3A0/"
    assert row.folder.startswith(folder(late.astimezone(UTC).date(), "acme"))


def test_an_endless_model_id_makes_no_endless_key() -> None:
    assert len(make_row(model_id="x" * 5_000).folder) < 300


def test_a_file_is_named_for_its_rows_in_any_order() -> None:
    assert object_name("20261123", ["a", "b"]) == object_name("20261123", ["b", "a"])
    assert object_name("20261123", ["a", "b"]) != object_name("20261123", ["a", "c"])


def test_a_file_of_another_schema_is_not_opened() -> None:
    other = pa.table({"request_id": ["1"]})
    sink = pa.BufferOutputStream()
    pq.write_table(other, sink)
    assert open_rows(sink.getvalue().to_pybytes()) is None
    assert open_rows(b"PAR1 is how it begins") is None


def test_a_row_that_holds_no_sample_is_a_fault_that_quotes_nothing() -> None:
    table = table_of(make_row())
    at = table.schema.get_field_index("content_withheld")
    foreign = table.set_column(at, SCHEMA.field(at), pa.array([CANARY]))
    file = open_rows(encode_table(foreign))
    assert file is not None
    with pytest.raises(TelemetryFault) as caught:
        list(events_of(file))
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_large_file_has_row_groups_of_bounded_size() -> None:
    rows = [make_row(number, prompt="x" * 1_000_000) for number in range(40)]
    file = open_rows(encode_rows(rows))
    assert file is not None
    assert file.metadata.num_row_groups == 2
