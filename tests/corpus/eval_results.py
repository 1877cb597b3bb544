"""Samples and results as the stores of evaluation meet them."""

import base64
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from evalworker.stores.history_rows import HistoryRow
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalContent, EvalResult, Judge
from llmplatform.samples import SCHEMA_VERSION, Envelope, SampleEvent
from llmplatform.usage import TokenUsage

EVENT_AT = datetime(2026, 11, 23, 20, 15, 1, 250_000, tzinfo=UTC)
JUDGED_AT = EVENT_AT + timedelta(seconds=12)
JUDGE = Judge("a3f1c2d4e5b60718", "vendor.judge-v1:0", "answer-quality", "1")
CANARY = "canary-5b1d"
TENANT_KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"


def request_id(number: int) -> str:
    """The id of a request."""
    return f"01940000-0000-7000-8000-{number:012d}"


def make_event(number: int = 1, **fields: Any) -> SampleEvent:
    """A sample with content in the clear, but for `fields`."""
    moment = fields.pop("completed_at", EVENT_AT + timedelta(seconds=number))
    return SampleEvent(
        **{
            "schema_version": SCHEMA_VERSION,
            "request_id": request_id(number),
            "trace_id": f"4bf92f35-77b3-4da6-a3ce-{number:012d}",
            "span_id": "00f067aa0ba902b7",
            "tenant_id": "acme",
            "model_id": "vendor/small:0",
            "endpoint_type": "bedrock",
            "outcome": "completed",
            "received_at": moment - timedelta(milliseconds=1_500),
            "completed_at": moment,
            "sample_rate": 0.05,
            "sample_reason": "rate",
            "content_mode": "full",
            "backend_model_id": "vendor.small-v1:0",
            "finish_reason": "stop",
            "prompt_sha256": "0f" * 32,
            "prompt": f"user: what is {CANARY}?",
            "completion": f"A bird, {number}.",
            "reference": "A bird — 🐦.",
            "contexts": ("Canaries are birds.", "“Quoted”"),
            "contexts_truncated": True,
            "metadata": {"session": "s-1"},
            "usage": {"input_tokens": 17, "output_tokens": 5},
            "usage_source": "reported",
            "total_latency_ms": 1_500.0,
            "time_to_first_token_ms": 120.5,
            **fields,
        }
    )


def make_result(event: SampleEvent | None = None, **fields: Any) -> EvalResult:
    """The result of a sample, but for `fields`."""
    event = event or make_event()
    return EvalResult(
        **{
            "tenant_id": event.tenant_id,
            "request_id": event.request_id,
            "trace_id": event.trace_id,
            "event_at": event.completed_at,
            "judged_at": event.completed_at + (JUDGED_AT - EVENT_AT),
            "model_id": event.model_id,
            "endpoint_type": event.endpoint_type,
            "sample_rate": event.sample_rate,
            "sample_reason": event.sample_reason,
            "judge": JUDGE,
            "scores": dict(zip(JUDGE_DIMENSIONS, (5, 4, 3, 2), strict=True)),
            "content_truncated": False,
            "backend_model_id": event.backend_model_id,
            "prompt_sha256": event.prompt_sha256,
            "bertscore_f1": 0.8125,
            "bertscore_identity": "minilm-l6-int8/0f0f/bert-score-0.3.13",
            "judge_usage": TokenUsage(input_tokens=900, output_tokens=60),
            "judge_latency_ms": 812.5,
            "judge_cost_usd": Decimal("0.00123450"),
            "content": EvalContent(
                prompt=event.prompt or "",
                completion=event.completion or "",
                reference=event.reference,
                contexts=event.contexts,
                reasons={"relevance": f"It speaks of {CANARY}."},
            ),
            **fields,
        }
    )


def make_row(number: int = 1, **fields: Any) -> HistoryRow:
    """A row of the history, its sample the default but for `fields`."""
    event = make_event(number, **fields)
    return HistoryRow(event, make_result(event))


def make_sealed_row(number: int = 1, kms_key: str = TENANT_KEY, **fields: Any) -> HistoryRow:
    """A row of a tenant with a key of its own: what was said is ciphertext."""
    enc = Envelope(kms_key, base64.b64encode(b"sealed sample %d" % number).decode())
    event = make_event(
        number,
        **{
            "tenant_id": "sealed",
            "prompt": None,
            "completion": None,
            "reference": None,
            "contexts": (),
            "contexts_truncated": False,
            "metadata": {},
            "enc": enc,
            **fields,
        },
    )
    content = Envelope(kms_key, base64.b64encode(b"sealed result %d" % number).decode())
    return HistoryRow(event, make_result(event, content=content))
