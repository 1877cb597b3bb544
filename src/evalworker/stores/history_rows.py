"""The history's rows: a sample and its result in one, and the Parquet schema that holds them.

A row has the whole sample, so that another judge can score it again. What was said is in columns of its own:
in the clear, or under the tenant's key as base64 (which compresses back to what it encodes), never both, or
not at all. Pure; where the files lie is told here too, when they are written is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalContent, EvalResult
from llmplatform.samples import Envelope, SampleContent, SampleEvent
from llmplatform.usage import TokenUsage

SCHEMA_VERSION: Final = 1
PREFIX: Final = "history/"
CONTENT_TYPE: Final = "application/vnd.apache.parquet"

# Rows of a row group hold about as much, so that a reader who goes by row groups knows what it needs.
ROW_GROUP_BYTES: Final = 32 * 1024 * 1024
_MAX_SEGMENT_CHARS: Final = 200
_COST_PLACES: Final = Decimal(1).scaleb(-18)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A sample, with what was said as it may be stored, and its result."""

    event: SampleEvent
    result: EvalResult

    @property
    def folder(self) -> str:
        """Where the row belongs: `history/date=2026-11-23/tenant=acme/model=vendor%2Fsmall/`."""
        day = self.result.event_at.astimezone(UTC).date()
        return f"{folder(day, self.result.tenant_id)}model={_segment(self.result.model_id)}/"

    @property
    def kms_key(self) -> str | None:
        """The tenant's own key, where it has one."""
        for sealed in (self.event.enc, self.result.content):
            if isinstance(sealed, Envelope):
                return sealed.kms_key
        return None

    @property
    def identity(self) -> str:
        """What makes it the same row, written again."""
        result = self.result
        return f"{result.request_id}#{result.judge.identity}#{result.judged_at.isoformat()}"

    @property
    def without_content(self) -> "HistoryRow":
        """The figures alone, saying that the tenant's key could not be used."""
        bare = msgspec.structs.replace(
            self.event, enc=None, content_withheld="key_unavailable", **_NOTHING_SAID
        )
        return HistoryRow(bare, replace(self.result, content=None))


def folder(day: date, tenant_id: str | None = None) -> str:
    """Where the rows of a day lie, or a tenant's of that day."""
    of_day = f"{PREFIX}date={day.isoformat()}/"
    return of_day if tenant_id is None else f"{of_day}tenant={_segment(tenant_id)}/"


def object_name(began: str, identities: Sequence[str]) -> str:
    """The name of a file of rows: by its first moment, then by what is in it, in whatever order."""
    digest = sha256("\n".join(sorted(identities)).encode()).hexdigest()
    return f"{began}-{digest[:24]}.parquet"


def encode_rows(rows: Sequence[HistoryRow]) -> bytes:
    """A Parquet file of rows, in order of time."""
    ordered = sorted(rows, key=lambda row: (row.result.event_at, row.identity))
    return encode_table(pa.Table.from_pylist([_columns(row) for row in ordered], schema=SCHEMA))


def encode_table(table: pa.Table) -> bytes:
    """A Parquet file of a table of this schema."""
    row_bytes = max(table.nbytes // max(table.num_rows, 1), 1)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=max(ROW_GROUP_BYTES // row_bytes, 1),
        # Of other columns nobody asks a range, and a small file is mostly its footer.
        write_statistics=["completed_at", "judged_at", "request_id"],
        use_dictionary=_DICTIONARY_COLUMNS,
    )
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types


def open_rows(data: bytes) -> pq.ParquetFile | None:
    """A file of rows; None where it is none, or one of another schema."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
    except pa.ArrowException:
        return None
    return file if file.schema_arrow.equals(SCHEMA) else None


def events_of(file: pq.ParquetFile) -> Iterator[SampleEvent]:
    """The samples in a file, their content as it is stored. Raises TelemetryFault, which quotes nothing."""
    for batch in file.iter_batches(batch_size=256, columns=list(_EVENT_COLUMNS)):
        yield from map(_event, batch.to_pylist())


def _event(row: Mapping[str, Any]) -> SampleEvent:
    known = {name: value for name, value in row.items() if value is not None}
    known["metadata"] = dict(known.get("metadata", ()))
    known["usage"] = {name: known.pop(name) for name in _USAGE if name in known}
    if "enc" in known:
        known["enc"] = {"kms_key": known.pop("kms_key", None), "ciphertext": known["enc"]}
    try:
        return msgspec.convert(known, SampleEvent)
    except msgspec.ValidationError:
        raise TelemetryFault("a row of the history holds no sample") from None


def _columns(row: HistoryRow) -> dict[str, Any]:
    event, result = row.event, row.result
    said = _NOTHING_SAID
    if event.content_withheld is None and row.kms_key is None:
        said = {name: getattr(event, name) for name in _NOTHING_SAID}
    columns = {name: getattr(event, name) for name in _EVENT_FIGURES} | dict(said)
    columns |= {name: count for name, count in event.usage.items() if name in _USAGE and _fits(count)}
    if event.enc is not None:
        columns |= {"enc": event.enc.ciphertext, "kms_key": event.enc.kms_key}
    columns |= {
        "judged_at": result.judged_at,
        "judge_identity": result.judge.identity,
        "judge_model_id": result.judge.model_id,
        "rubric_id": result.judge.rubric_id,
        "rubric_version": result.judge.rubric_version,
        "judge_saw_less": result.content_truncated,
        "bertscore_f1": result.bertscore_f1,
        "bertscore_identity": result.bertscore_identity,
        "judge_latency_ms": result.judge_latency_ms,
        "judge_cost_usd": result.judge_cost_usd and result.judge_cost_usd.quantize(_COST_PLACES),
    }
    columns |= {f"score_{name}": result.scores.get(name) for name in JUDGE_DIMENSIONS}
    columns |= {f"judge_{name}": count for name, count in result.judge_usage.known().items()}
    match result.content:
        case Envelope() as sealed:
            columns |= {"result_enc": sealed.ciphertext, "result_kms_key": sealed.kms_key}
        case EvalContent() as content if said is not _NOTHING_SAID:
            columns["reasons"] = list(content.reasons.items())
        case _:
            pass
    return columns | {"metadata": list(columns["metadata"].items())}


def _fits(count: int) -> bool:
    return abs(count) < 2**63


def _segment(text: str) -> str:
    """A part of a path. What is too long for one (no id of ours is) becomes its hash; the columns have it."""
    quoted = quote(text, safe="")
    return quoted if len(quoted) <= _MAX_SEGMENT_CHARS else sha256(text.encode()).hexdigest()


_NOTHING_SAID: Final[Mapping[str, Any]] = {
    name: default
    for name, default in msgspec.structs.asdict(SampleContent()).items()
    if not name.endswith("_truncated")  # how much was cut tells nothing of it
}
_USAGE: Final = tuple(field.name for field in fields(TokenUsage))
_EVENT_FIGURES: Final = tuple(
    name for name in SampleEvent.__struct_fields__ if name not in {*_NOTHING_SAID, "enc", "usage"}
)
_EVENT_COLUMNS: Final = (*_EVENT_FIGURES, *_NOTHING_SAID, "enc", "kms_key", *_USAGE)


def _text(*names: str, required: bool = False) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=not required) for name in names]


def _flags(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.bool_(), nullable=False) for name in names]


def _measured(name: str, kind: pa.DataType, unit: str, *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"unit": unit})


def _moments(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.timestamp("us", tz="UTC"), nullable=False) for name in names]


_TEXTS_BY_NAME: Final = pa.map_(pa.string(), pa.string())

SCHEMA: Final = pa.schema(
    [
        pa.field("schema_version", pa.int16(), nullable=False, metadata={"of": "the sample event"}),
        *_text("request_id", "trace_id", "span_id", "tenant_id", "model_id", required=True),
        *_text("endpoint_type", "outcome", required=True),
        *_moments("received_at", "completed_at"),
        _measured("sample_rate", pa.float64(), "1", required=True),
        *_text("sample_reason", "content_mode", required=True),
        *_text("content_withheld", "requested_model_id", "backend_model_id", "endpoint_name"),
        *_text("finish_reason", "prompt_sha256", "prompt"),
        *_flags("prompt_truncated"),
        *_text("completion"),
        *_flags("completion_truncated"),
        *_text("reference"),
        *_flags("reference_truncated"),
        pa.field("contexts", pa.list_(pa.field("element", pa.string()))),
        *_flags("contexts_truncated"),
        pa.field("metadata", _TEXTS_BY_NAME),
        *_text("enc", "kms_key"),
        *(_measured(name, pa.int64(), "tokens") for name in _USAGE),
        *_text("usage_source", required=True),
        _measured("total_latency_ms", pa.float64(), "ms"),
        _measured("time_to_first_token_ms", pa.float64(), "ms"),
        *_moments("judged_at"),
        *_text("judge_identity", "judge_model_id", "rubric_id", "rubric_version", required=True),
        *(_measured(f"score_{name}", pa.int8(), "1 to 5") for name in JUDGE_DIMENSIONS),
        _measured("bertscore_f1", pa.float64(), "1"),
        *_text("bertscore_identity"),
        *_flags("judge_saw_less"),
        *(_measured(f"judge_{name}", pa.int64(), "tokens") for name in _USAGE),
        _measured("judge_latency_ms", pa.float64(), "ms"),
        _measured("judge_cost_usd", pa.decimal128(38, 18), "USD"),
        pa.field("reasons", _TEXTS_BY_NAME),
        *_text("result_enc", "result_kms_key"),
    ],
    metadata={"llm_platform.history_schema": str(SCHEMA_VERSION)},
)

# Of texts that no two rows share, a dictionary is a second copy.
_UNSHARED: Final = {
    *("request_id", "trace_id", "span_id", "prompt_sha256", "prompt", "completion", "reference"),
    *("enc", "result_enc"),
}
_DICTIONARY_COLUMNS: Final = [
    field.name for field in SCHEMA if pa.types.is_string(field.type) and field.name not in _UNSHARED
]
