from typing import Any

import pytest

from corpus.invocations import attempt, content, record, refused
from llmplatform.invocation import Outcome
from llmplatform.usage import TokenUsage


@pytest.mark.parametrize(
    ("outcome", "status", "failed"),
    [
        (Outcome.COMPLETED, 200, False),
        (Outcome.CLIENT_CANCELLED, None, False),
        (Outcome.BACKEND_FAILED, 200, True),
        (Outcome.BACKEND_FAILED, 429, True),
        (Outcome.REFUSED, 401, False),
        (Outcome.REFUSED, 429, False),
        (Outcome.REFUSED, 503, True),
    ],
)
def test_failed_is_what_the_platform_owes_the_tenant(
    outcome: Outcome, status: int | None, *, failed: bool
) -> None:
    assert record(outcome=outcome, http_status=status).failed is failed


def test_speed_is_that_of_the_tokens_after_the_first() -> None:
    made = record(usage=TokenUsage(output_tokens=101), time_to_first_token_ms=200.0, total_latency_ms=1_200.0)
    assert made.output_tokens_per_second == 100.0


@pytest.mark.parametrize(
    "fields",
    [
        {"usage": TokenUsage()},
        {"usage": TokenUsage(output_tokens=1)},
        {"time_to_first_token_ms": None},
        {"stream": False},
        {"time_to_first_token_ms": 1234.5678},
    ],
)
def test_speed_is_unknown_where_it_cannot_be_told(fields: dict[str, Any]) -> None:
    assert record(**fields).output_tokens_per_second is None


def test_a_first_token_is_slow_beyond_the_objective() -> None:
    assert record(ttft_objective_ms=300).ttft_slow is True
    assert record(ttft_objective_ms=301).ttft_slow is False
    assert record(time_to_first_token_ms=None).ttft_slow is None


def test_a_request_counts_for_who_answered_else_who_was_tried_else_what_was_asked() -> None:
    tried = attempt(model_id="llama", endpoint_type="sagemaker", endpoint_name="llama-prod")
    assert record(attempts=(tried, attempt())).served_by == ("claude-sonnet", "bedrock", None)
    assert record(model_id=None, attempts=(tried,)).served_by == ("llama", "sagemaker", "llama-prod")
    asked = record(model_id=None, endpoint_type=None, attempts=())
    assert asked.served_by == ("claude-sonnet", "_unknown", None)
    assert refused().served_by == ("_unknown", "_unknown", None)


def test_content_is_in_no_repr() -> None:
    assert "canary" not in repr(content("canary"))
    assert "canary" not in repr(record(client_metadata={"canary": "canary"}))
