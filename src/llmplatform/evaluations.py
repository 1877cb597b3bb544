"""An evaluation's result: its value, its key and its row, for every process that writes or reads one.

One result per (request, judge identity): the key is the tenant and, within it, the request's own time, its
id and the judge's identity, so whoever evaluates a request again writes to the same place. What was said
(prompt, completion, the judge's reasons, which quote them) is apart from the figures, and for a tenant with
a key of its own it is under that key. Pure; the table is defined in `llmplatform.aws.tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple, Self

import msgspec

from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.errors import TelemetryFault
from llmplatform.samples import Envelope
from llmplatform.usage import NO_USAGE, TokenUsage

SCHEMA_VERSION: Final = 1

JUDGE_DIMENSIONS: Final = ("relevance", "coherence", "factual_fidelity", "absence_of_hallucination")
"""What a judge scores, 1 to 5, higher is better in each."""
BERTSCORE: Final = "bertscore_f1"
"""Likeness to the reference answer, at most 1; only where the request brought one."""
DIMENSIONS: Final = (*JUDGE_DIMENSIONS, BERTSCORE)
MIN_SCORE: Final = 1
MAX_SCORE: Final = 5

# DynamoDB takes items of 400 KB; the figures are under one.
MAX_STORED_CONTENT_BYTES: Final = 250_000

Item = dict[str, dict[str, Any]]
"""An item in DynamoDB's JSON: attribute name to `{type: value}`."""

_TTL: Final = EVAL_RESULTS.ttl_attribute
_RETENTION_S: Final = EVAL_RESULTS.retention_days * 86_400


class EvalContent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said about and by a request, as far as the tenant's policy let it go."""

    prompt: str = ""
    prompt_truncated: bool = False
    completion: str = ""
    completion_truncated: bool = False
    reference: str | None = None
    reference_truncated: bool = False
    contexts: tuple[str, ...] = ()
    contexts_truncated: bool = False
    reasons: Mapping[str, str] = {}
    """The judge's, by dimension."""

    def __repr__(self) -> str:
        """Name the type: nothing of what was said."""
        return "EvalContent(...)"


@dataclass(frozen=True, slots=True)
class Judge:
    """Who scored. Results of two identities are never compared."""

    identity: str
    """Hash of all that can move a score: see `evalworker.judging.judge`."""
    model_id: str
    """The backend's id of the judge model."""
    rubric_id: str
    rubric_version: str


@dataclass(frozen=True, slots=True)
class EvalResult:
    """The scores of one request by one judge. None is unknown."""

    tenant_id: str
    request_id: str
    trace_id: str
    """In the form of `x-trace-id`."""
    event_at: datetime
    """When the request was completed: the time that its scores count for."""
    judged_at: datetime
    model_id: str
    endpoint_type: str
    sample_rate: float
    sample_reason: str
    judge: Judge
    scores: Mapping[str, int]
    """1 to 5 by dimension."""
    content_truncated: bool
    """Whether the judge saw less than the whole prompt, completion, reference or contexts."""
    backend_model_id: str | None = None
    endpoint_name: str | None = None
    prompt_sha256: str | None = None
    bertscore_f1: float | None = None
    bertscore_identity: str | None = None
    judge_usage: TokenUsage = NO_USAGE
    judge_latency_ms: float | None = None
    judge_cost_usd: Decimal | None = None
    content: EvalContent | Envelope | None = field(default=None, repr=False)

    @property
    def weight(self) -> float:
        """How many requests this one stands for."""
        return 1 / self.sample_rate

    @property
    def values(self) -> Mapping[str, float]:
        """All figures by dimension, BERTScore among them where there is one."""
        if self.bertscore_f1 is None:
            return self.scores
        return {**self.scores, BERTSCORE: self.bertscore_f1}


def epoch_of(dimension: str, judge_identity: str, bertscore_identity: str | None) -> str:
    """What makes values of a dimension comparable: the judge's identity, or the scorer's for BERTScore."""
    return epoch_label(bertscore_identity or "") if dimension == BERTSCORE else judge_identity


def epoch_label(identity: str) -> str:
    """An identity as a key can hold it: a hash stays, a longer text becomes one."""
    return identity if len(identity) <= _LABEL_CHARS else _digest(identity)


class ResultKey(NamedTuple):
    """Where the result of one request by one judge is."""

    tenant_id: str
    result_key: str

    @classmethod
    def of(cls, tenant_id: str, event_at: datetime, request_id: str, judge_identity: str) -> Self:
        """The key of these; see `result_key`."""
        return cls(tenant_id, result_key(event_at, request_id, judge_identity))


def result_key(event_at: datetime, request_id: str, judge_identity: str) -> str:
    """Sort key of a result."""
    return f"{moment_text(event_at)}#{request_id}#{judge_identity}"


def moment_text(moment: datetime) -> str:
    """A moment as keys have it: UTC, microseconds, always as long, so that text sorts as time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode_result(result: EvalResult) -> Item:
    """The row of a result; what is unknown is absent. Content is held to `MAX_STORED_CONTENT_BYTES`."""
    item: Item = {
        "tenant_id": {"S": result.tenant_id},
        "result_key": {"S": result_key(result.event_at, result.request_id, result.judge.identity)},
        "judged_key": {"S": f"{moment_text(result.judged_at)}#{result.request_id}"},
        "trace_id": {"S": result.trace_id},
        _TTL: {"N": str(int(result.event_at.timestamp()) + _RETENTION_S)},
        "schema_version": {"N": str(SCHEMA_VERSION)},
        "request_id": {"S": result.request_id},
        "event_at": {"S": moment_text(result.event_at)},
        "judged_at": {"S": moment_text(result.judged_at)},
        "model_id": {"S": result.model_id},
        "endpoint_type": {"S": result.endpoint_type},
        "sample_rate": {"N": repr(result.sample_rate)},
        "sample_reason": {"S": result.sample_reason},
        "judge_identity": {"S": result.judge.identity},
        "judge_model_id": {"S": result.judge.model_id},
        "rubric_id": {"S": result.judge.rubric_id},
        "rubric_version": {"S": result.judge.rubric_version},
        "scores": {"M": {name: {"N": str(score)} for name, score in result.scores.items()}},
        "content_truncated": {"BOOL": result.content_truncated},
        "judge_usage": {"M": {name: {"N": str(n)} for name, n in result.judge_usage.known().items()}},
    }
    for name in _OPTIONAL_TEXT:
        if (text := getattr(result, name)) is not None:
            item[name] = {"S": text}
    for name in _OPTIONAL_FLOATS:
        if (number := getattr(result, name)) is not None:
            item[name] = {"N": repr(number)}
    if result.judge_cost_usd is not None:
        item["judge_cost_usd"] = {"N": str(result.judge_cost_usd)}
    match result.content:
        case EvalContent():
            item["content"] = {"S": encode_content(result.content, MAX_STORED_CONTENT_BYTES).decode()}
        case Envelope():
            item["kms_key"] = {"S": result.content.kms_key}
            item["enc"] = {"B": result.content.ciphertext}
        case None:
            pass
    return item


def decode_result(item: Mapping[str, Mapping[str, Any]]) -> EvalResult:
    """The result that a row holds, its content as it is stored; attributes of a newer schema are ignored.

    Raises TelemetryFault when it is no such row, naming what is missing and quoting nothing.
    """
    try:
        row = {name: _plain(value) for name, value in item.items()}
        optional: dict[str, Any] = {name: row[name] for name in _OPTIONAL_TEXT if name in row}
        optional |= {name: float(row[name]) for name in _OPTIONAL_FLOATS if name in row}
        if "judge_cost_usd" in row:
            optional["judge_cost_usd"] = Decimal(row["judge_cost_usd"])
        return EvalResult(
            tenant_id=row["tenant_id"],
            request_id=row["request_id"],
            trace_id=row["trace_id"],
            event_at=datetime.fromisoformat(row["event_at"]),
            judged_at=datetime.fromisoformat(row["judged_at"]),
            model_id=row["model_id"],
            endpoint_type=row["endpoint_type"],
            sample_rate=float(row["sample_rate"]),
            sample_reason=row["sample_reason"],
            judge=Judge(
                row["judge_identity"], row["judge_model_id"], row["rubric_id"], row["rubric_version"]
            ),
            scores={name: int(score) for name, score in row["scores"].items()},
            content_truncated=row["content_truncated"],
            judge_usage=TokenUsage(**{name: int(n) for name, n in row["judge_usage"].items()}),
            content=_stored_content(row),
            **optional,
        )
    except KeyError as error:
        raise TelemetryFault(f"not an evaluation result: no {error.args[0]}") from None
    except (ArithmeticError, AttributeError, TypeError, ValueError, msgspec.DecodeError):
        raise TelemetryFault("not an evaluation result: an attribute of another type") from None


def encode_content(content: EvalContent, max_bytes: int) -> bytes:
    """Content as JSON of at most `max_bytes`: the longest texts are halved until it fits, and flagged."""
    encoded = _ENCODER.encode(content)
    while len(encoded) > max_bytes:
        longest = max(
            len(content.prompt),
            len(content.completion),
            len(content.reference or ""),
            *map(len, content.contexts),
            *map(len, content.reasons.values()),
            1,
        )
        if longest <= _SHORT_CHARS:  # many short texts: the contexts go
            gone = content.contexts_truncated or bool(content.contexts)
            content = msgspec.structs.replace(content, contexts=(), contexts_truncated=gone)
        keep = longest // 2
        content = msgspec.structs.replace(
            content,
            prompt=content.prompt[:keep],
            prompt_truncated=content.prompt_truncated or len(content.prompt) > keep,
            completion=content.completion[:keep],
            completion_truncated=content.completion_truncated or len(content.completion) > keep,
            reference=content.reference and content.reference[:keep],
            reference_truncated=content.reference_truncated or len(content.reference or "") > keep,
            contexts_truncated=content.contexts_truncated or any(len(t) > keep for t in content.contexts),
            contexts=tuple(text[:keep] for text in content.contexts),
            reasons={name: reason[:keep] for name, reason in content.reasons.items()},
        )
        encoded = _ENCODER.encode(content)
    return encoded


def decode_content(data: bytes | str) -> EvalContent:
    """Content from its JSON. Raises TelemetryFault, which quotes nothing."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TelemetryFault("not the content of an evaluation") from None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(EvalContent)
_SHORT_CHARS: Final = 100
_LABEL_CHARS: Final = 32

_OPTIONAL_TEXT: Final = ("backend_model_id", "endpoint_name", "prompt_sha256", "bertscore_identity")
_OPTIONAL_FLOATS: Final = ("bertscore_f1", "judge_latency_ms")


def _stored_content(row: Mapping[str, Any]) -> EvalContent | Envelope | None:
    if "enc" in row:
        return Envelope(row["kms_key"], row["enc"])
    return _DECODER.decode(row["content"]) if "content" in row else None


def _plain(value: Mapping[str, Any]) -> Any:
    """A value without its DynamoDB type; numbers stay text."""
    ((kind, content),) = value.items()
    return {name: _plain(inner) for name, inner in content.items()} if kind == "M" else content


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
