"""The account of one candidate's calls: nothing unknown becomes 0, nothing paid is left out."""

from datetime import date
from decimal import Decimal

import pytest

from evalworker.judging.asking import Asking
from evalworker.judging.judge import Candidate, Malformed, Outcome, Refused, Unavailable
from evalworker.judging.statuses import NOT_CONNECTED, TIMED_OUT, Failure, Rejection
from llmplatform.evaluations import EvalContent
from llmplatform.invocation import Outcome as CallOutcome
from llmplatform.judges import JudgeModel
from llmplatform.prices import Cost
from llmplatform.testing import START
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

MODEL = JudgeModel(
    model_id="vendor.a", price_key="vendor.a/geo", source="a test", retrieved_on=date(2026, 1, 1)
)
CENT = Cost(Decimal("0.01"), Decimal("0.01"), (), (), "1")
UNKNOWN = Cost(None, Decimal(0), (), ("input", "output"), "1")


@pytest.fixture
def asking() -> Asking:
    candidate = Candidate("acme", "r-1", "0" * 32, EvalContent(prompt="zebra"))
    return Asking(
        candidate, MODEL, "own-id", "1" * 16, START, 1_000_000, content_truncated=False, body=b"zebra"
    )


def test_what_was_never_called_costs_nothing(asking: Asking) -> None:
    assert (asking.bill().calls, asking.bill().cost_usd) == (0, Decimal(0))
    assert asking.record(None, now=START, now_ns=2_000_000) is None


def test_costs_and_tokens_of_all_calls_are_added(asking: Asking) -> None:
    for _ in range(3):
        asking.charge(TokenUsage(10, 2, cache_read_tokens=None), CENT)
        asking.called(started_ns=1_000_000, ended_ns=3_000_000, usage=TokenUsage(10, 2))
    bill = asking.bill()
    assert (bill.calls, bill.cost_usd, bill.known_usd) == (3, Decimal("0.03"), Decimal("0.03"))
    assert bill.usage == TokenUsage(30, 6)


def test_one_unknown_cost_makes_the_whole_unknown_and_keeps_what_is_known(asking: Asking) -> None:
    asking.charge(TokenUsage(10, 2), CENT)
    asking.charge(NO_USAGE, UNKNOWN)
    asking.charge(TokenUsage(10, 2), CENT)
    bill = asking.bill()
    assert (bill.cost_usd, bill.known_usd, bill.usage) == (None, Decimal("0.02"), TokenUsage(20, 4))


def test_calls_that_cannot_have_cost_anything_are_no_row(asking: Asking) -> None:
    asking.called(started_ns=1_000_000, ended_ns=2_000_000, failed=Rejection("too_long"))
    outcome = Refused("too_long", asking.bill())
    assert asking.record(outcome, now=START, now_ns=2_000_000) is None


@pytest.mark.parametrize(
    ("outcome", "became", "error_code"),
    [
        (None, CallOutcome.CLIENT_CANCELLED, "cancelled"),
        (Unavailable("timeout"), CallOutcome.BACKEND_FAILED, "timeout"),
        (Refused("guardrail", Unavailable("timeout").bill), CallOutcome.BACKEND_FAILED, "guardrail"),
        (Malformed("cut_short", Unavailable("timeout").bill), CallOutcome.BACKEND_FAILED, "malformed"),
    ],
)
def test_a_record_says_what_became_of_the_candidate(
    asking: Asking, outcome: Outcome | None, became: CallOutcome, error_code: str
) -> None:
    asking.charge(NO_USAGE, UNKNOWN)
    asking.called(started_ns=2_000_000, ended_ns=5_000_000, failed=TIMED_OUT, error_type="")
    record = asking.record(outcome, now=START, now_ns=9_000_000)
    assert record is not None
    assert (record.outcome, record.error_code, record.model_id) == (became, error_code, None)
    assert record.total_latency_ms == 8
    (attempt,) = record.attempts
    assert (attempt.started_ms, attempt.duration_ms, attempt.error_code) == (1, 3, "timeout")
    assert (attempt.usage_source, attempt.error_type) == (UsageSource.UNKNOWN, None)


@pytest.mark.parametrize(
    ("failed", "usage"),
    [
        (TIMED_OUT, TokenUsage(output_tokens=0)),
        (None, TokenUsage(output_tokens=0)),
        (NOT_CONNECTED, NO_USAGE),
        (Rejection("too_long"), NO_USAGE),
    ],
)
def test_only_a_call_that_was_refused_has_no_figure_at_all(
    asking: Asking, failed: Failure | Rejection | None, usage: TokenUsage
) -> None:
    asking.called(started_ns=2_000_000, ended_ns=5_000_000, failed=failed)
    (attempt,) = asking.attempts
    assert (attempt.usage, attempt.usage_source) == (usage, UsageSource.UNKNOWN)


def test_an_account_shows_nothing_that_was_said(asking: Asking) -> None:
    assert "zebra" not in repr(asking)
