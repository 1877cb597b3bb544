"""Results as rows of a file: which columns, and what each holds. Pure.

All that tells results of different judges and scorers apart is always there. What was said is in columns of
its own, which only an export with content has.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import pyarrow as pa

from llmplatform.aws.eval_content import Said, Withheld
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalResult
from llmplatform.usage import TokenUsage

_USAGE: Final = tuple(field.name for field in fields(TokenUsage))

FIGURES: Final = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("tenant_id", "request_id", "trace_id")),
        *(pa.field(name, pa.timestamp("us", tz="UTC"), nullable=False) for name in ("event_at", "judged_at")),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("endpoint_type", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("backend_model_id", "endpoint_name", "prompt_sha256")),
        pa.field("sample_rate", pa.float64(), nullable=False),
        pa.field("sample_reason", pa.string(), nullable=False),
        *(
            pa.field(name, pa.string(), nullable=False)
            for name in ("judge_identity", "judge_model_id", "rubric_id", "rubric_version")
        ),
        pa.field("content_truncated", pa.bool_(), nullable=False),
        *(pa.field(f"score_{name}", pa.int8()) for name in JUDGE_DIMENSIONS),
        pa.field("bertscore_f1", pa.float64()),
        pa.field("bertscore_identity", pa.string()),
        pa.field("judge_latency_ms", pa.float64()),
        # As text: no number of places is lost, whatever reads it.
        pa.field("judge_cost_usd", pa.string()),
        *(pa.field(f"judge_{name}", pa.int64()) for name in _USAGE),
    ]
)
CONTENT: Final = pa.schema(
    [
        pa.field("content_withheld", pa.string()),
        *(pa.field(name, pa.string()) for name in ("prompt", "completion", "reference")),
        *(
            pa.field(name, pa.bool_())
            for name in ("prompt_truncated", "completion_truncated", "reference_truncated")
        ),
        pa.field("contexts", pa.list_(pa.string())),
        pa.field("contexts_truncated", pa.bool_()),
        *(pa.field(f"reason_{name}", pa.string()) for name in JUDGE_DIMENSIONS),
    ]
)


def schema(*, content: bool) -> pa.Schema:
    """The columns of an export."""
    return pa.schema([*FIGURES, *CONTENT]) if content else FIGURES


def figures_of(result: EvalResult) -> dict[str, Any]:
    """The columns of a result's figures; unknown is None."""
    usage = result.judge_usage.known()
    cost = result.judge_cost_usd
    columns = {
        "judge_identity": result.judge.identity,
        "judge_model_id": result.judge.model_id,
        "rubric_id": result.judge.rubric_id,
        "rubric_version": result.judge.rubric_version,
        "judge_cost_usd": None if cost is None else f"{cost:f}",
        **{f"score_{name}": result.scores.get(name) for name in JUDGE_DIMENSIONS},
        **{f"judge_{name}": usage.get(name) for name in _USAGE},
    }
    return {name: columns[name] if name in columns else getattr(result, name) for name in FIGURES.names}


def content_of(said: Said) -> Mapping[str, Any]:
    """The columns of what was said, or of why it is not there."""
    if isinstance(said, Withheld):
        return {**dict.fromkeys(CONTENT.names), "content_withheld": said.reason}
    columns: dict[str, Any] = {"content_withheld": None, "contexts": list(said.contexts)}
    columns |= {f"reason_{name}": said.reasons.get(name) for name in JUDGE_DIMENSIONS}
    return {name: columns[name] if name in columns else getattr(said, name) for name in CONTENT.names}
