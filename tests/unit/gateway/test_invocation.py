"""Records of requests that ended in each of the ways there are."""

from datetime import timedelta

import pytest

from gateway.chat import (
    BackendNote,
    ChatEvent,
    ChatRequest,
    EvaluationHints,
    Finished,
    FinishReason,
    TextDelta,
    UsageReported,
)
from gateway.invocation import Invocation
from gateway.routing import Route
from llmplatform.errors import (
    BackendFault,
    BackendThrottled,
    BackendTimedOut,
    BackendUnreachable,
    GatewayOverloaded,
    MalformedRequest,
    PlatformFault,
    TenantOverloaded,
    TimeoutPhase,
)
from llmplatform.ids import UNKNOWN
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.policy import Objectives
from llmplatform.testing import START, TRACE, FakeClock, make_model, make_policy
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

SMALL = make_model("small")
LOCAL = make_model("local", endpoint_type="sagemaker", dialect="lmi", backend_model_id="llama-endpoint")
REQUEST = ChatRequest("small", (), stream=True, metadata={"team": "search"})
REQUESTED = Route(SMALL, "requested")
REPORTED = TokenUsage(input_tokens=12, output_tokens=2)
REPLY: tuple[ChatEvent, ...] = (
    TextDelta("canary"),
    TextDelta("."),
    Finished(FinishReason.STOP, "end_turn"),
    UsageReported(REPORTED),
)


class Run:
    """One request, moved along by a test: arrived at 0, its body read at 5 ms."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.invocation = Invocation(
            request_id="r",
            trace=TRACE,
            surface="chat_completions",
            received_at=self.clock.now(),
            arrived_ns=self.clock.monotonic_ns(),
        )
        self.kept: dict[str, object] = {}

    def accept(self) -> None:
        self.clock.advance(ms=5)
        self.invocation.policy = make_policy(objectives=Objectives(ttft_p99_ms=100))
        self.invocation.body_read_ns = self.clock.monotonic_ns()
        self.invocation.request = REQUEST
        self.invocation.requested_model_id = "small"
        self.invocation.counted_prompt_tokens = 10

    def call(
        self,
        *events: ChatEvent,
        route: Route = REQUESTED,
        outcome: Outcome = Outcome.COMPLETED,
        fault: BackendFault | None = None,
        opened: bool = True,
        drained: bool = False,
    ) -> None:
        """An attempt that starts 2 ms from now; its events come 20 ms apart, and are handed on after 1 ms."""
        self.clock.advance(ms=2)
        attempt = self.invocation.begin_attempt(route, route.reason, self.clock.monotonic_ns())
        attempt.opened = opened
        for event in events:
            self.clock.advance(ms=20)
            attempt.meter.observe([event], self.clock.monotonic_ns())
            if self.invocation.first_token_delivered_ns is None and not drained:
                self.clock.advance(ms=1)
                self.invocation.first_token_delivered_ns = self.clock.monotonic_ns()
        self.clock.advance(ms=3)
        self.invocation.end_attempt(
            attempt, outcome, fault, drained=drained, output_estimate=7, now_ns=self.clock.monotonic_ns()
        )

    def finish(
        self, outcome: Outcome | None, *, status: int | None = None, error: PlatformFault | None = None
    ) -> InvocationRecord:
        self.invocation.outcome = outcome
        self.invocation.http_status = status
        self.invocation.error = error

        def keep_trace(trace_id: str, *, failed: bool, slow: bool, evaluated: bool) -> str | None:
            self.kept = {"trace_id": trace_id, "failed": failed, "slow": slow, "evaluated": evaluated}
            return "head"

        return self.invocation.finish(
            completed_at=self.clock.now(), now_ns=self.clock.monotonic_ns(), keep_trace=keep_trace
        )


@pytest.fixture
def run() -> Run:
    return Run()


def test_a_completed_request(run: Run) -> None:
    run.accept()
    run.call(*REPLY)
    record = run.finish(Outcome.COMPLETED, status=200)
    assert (record.outcome, record.http_status, record.error_code) == (Outcome.COMPLETED, 200, None)
    assert (record.tenant_id, record.requested_model_id, record.model_id) == ("acme", "small", "small")
    assert (record.endpoint_type, record.endpoint_name, record.route_reason) == ("bedrock", None, "requested")
    assert (record.usage, record.usage_source) == (REPORTED, UsageSource.REPORTED)
    assert (record.finish_reason, record.output_chunks, record.stream) == ("stop", 2, True)
    assert record.time_to_first_token_ms == 27
    assert record.first_token_delivered_ms == 28
    assert record.gateway_overhead_ms == 2 + 1
    assert record.total_latency_ms == 91
    assert record.completed_at - START == timedelta(milliseconds=91)
    assert record.output_tokens_per_second == pytest.approx(1_000 / 64)
    assert (record.client_metadata, record.trace_kept) == ({"team": "search"}, "head")
    assert run.kept == {"trace_id": TRACE.trace_id, "failed": False, "slow": False, "evaluated": False}
    (attempt,) = record.attempts
    assert (attempt.started_ms, attempt.first_event_ms, attempt.duration_ms) == (7, 27, 84)


@pytest.mark.parametrize(
    ("events", "tier"),
    [((TextDelta("cut"),), "priority"), ((BackendNote(service_tier="default"), *REPLY), "default")],
)
def test_a_call_has_the_tier_that_was_served_or_else_asked_for(
    run: Run, events: tuple[ChatEvent, ...], tier: str
) -> None:
    run.accept()
    run.call(*events, route=Route(make_model("small", service_tier="priority"), "requested"))
    (attempt,) = run.finish(Outcome.COMPLETED, status=200).attempts
    assert attempt.service_tier == tier


def test_a_request_refused_before_anybody_knew_who_asks(run: Run) -> None:
    record = run.finish(Outcome.REFUSED, status=400, error=MalformedRequest("no", param="messages"))
    assert (record.tenant_id, record.error_code) == (UNKNOWN, "invalid_request")
    assert (record.requested_model_id, record.model_id, record.attempts) == (None, None, ())
    assert (record.usage, record.usage_source) == (NO_USAGE, UsageSource.UNKNOWN)
    assert record.time_to_first_token_ms is None
    assert record.gateway_overhead_ms is None
    assert record.ttft_slow is None
    assert not record.failed
    assert not run.kept["failed"]


@pytest.mark.parametrize(
    ("fault", "status", "code", "failed"),
    [
        (
            TenantOverloaded("no", retry_after_s=1, code="daily_budget_spent"),
            429,
            "daily_budget_spent",
            False,
        ),
        (GatewayOverloaded("no", retry_after_s=1), 503, "gateway_overloaded", True),
    ],
)
def test_a_refusal_has_the_most_specific_code_and_is_our_failure_if_it_is_a_5xx(
    run: Run, fault: PlatformFault, status: int, code: str, *, failed: bool
) -> None:
    run.accept()
    record = run.finish(Outcome.REFUSED, status=status, error=fault)
    assert (record.error_code, record.failed, run.kept["failed"]) == (code, failed, failed)


def test_a_request_of_which_nobody_said_how_it_ended_is_no_success(run: Run) -> None:
    assert run.finish(None).outcome is Outcome.REFUSED


def test_a_fallback_that_answered_has_its_own_usage_and_the_failed_call_keeps_its(run: Run) -> None:
    run.accept()
    fault = BackendThrottled("slow down", error_type="throttlingException")
    run.call(TextDelta("half"), outcome=Outcome.BACKEND_FAILED, fault=fault)
    run.call(*REPLY, route=Route(LOCAL, "fallback"))
    record = run.finish(Outcome.COMPLETED, status=200)
    assert (record.requested_model_id, record.model_id) == ("small", "local")
    assert (record.endpoint_name, record.route_reason) == ("llama-endpoint", "fallback")
    assert record.usage == REPORTED
    first, second = record.attempts
    assert (first.outcome, first.error_code, first.error_type) == (
        Outcome.BACKEND_FAILED,
        "backend_throttled",
        "throttlingException",
    )
    assert (first.usage, first.usage_source) == (TokenUsage(10, 7), UsageSource.ESTIMATED)
    assert (second.usage, second.usage_source) == (REPORTED, UsageSource.REPORTED)
    assert second.started_ms > first.started_ms + first.duration_ms


@pytest.mark.parametrize(
    ("fault", "opened", "billed"),
    [
        (BackendThrottled("no"), False, False),
        (BackendUnreachable("no"), False, False),
        (BackendThrottled("no"), True, True),
    ],
)
def test_a_call_costs_from_the_moment_it_was_accepted(
    run: Run, fault: BackendFault, *, opened: bool, billed: bool
) -> None:
    run.accept()
    run.call(outcome=Outcome.BACKEND_FAILED, fault=fault, opened=opened)
    record = run.finish(Outcome.BACKEND_FAILED, status=503, error=fault)
    assert (record.usage_source is UsageSource.ESTIMATED) == billed
    assert (record.usage.input_tokens == 10) == billed
    assert (record.usage == NO_USAGE) != billed
    assert record.failed


@pytest.mark.parametrize(
    ("phase", "billed"), [("connect", False), ("first_token", True), ("idle", True), ("total", True)]
)
def test_a_call_that_was_sent_and_never_answered_may_be_billed(
    run: Run, phase: TimeoutPhase, *, billed: bool
) -> None:
    run.accept()
    fault = BackendTimedOut("too slow", phase=phase)
    run.call(outcome=Outcome.BACKEND_FAILED, fault=fault, opened=False)
    record = run.finish(Outcome.BACKEND_FAILED, status=504, error=fault)
    assert (record.usage.input_tokens == 10) == billed
    assert record.attempts[0].error_type == f"timeout_{phase}"


def test_a_client_that_left_before_the_head_still_costs_its_prompt(run: Run) -> None:
    run.accept()
    run.call(outcome=Outcome.CLIENT_CANCELLED, opened=False)
    record = run.finish(Outcome.CLIENT_CANCELLED)
    assert (record.http_status, record.usage.input_tokens) == (None, 10)
    assert record.gateway_overhead_ms == 2
    assert not record.failed


def test_a_drained_reply_is_labelled_and_was_not_delivered(run: Run) -> None:
    run.accept()
    run.call(*REPLY, outcome=Outcome.CLIENT_CANCELLED, drained=True)
    record = run.finish(Outcome.CLIENT_CANCELLED, status=200)
    assert (record.usage, record.usage_source) == (REPORTED, UsageSource.DRAINED)
    assert record.time_to_first_token_ms == 27
    assert record.first_token_delivered_ms is None


def test_a_first_token_later_than_its_objective_is_slow(run: Run) -> None:
    run.accept()
    run.clock.advance(ms=100)
    run.call(*REPLY)
    assert run.finish(Outcome.COMPLETED, status=200).ttft_slow
    assert run.kept["slow"]


def test_content_exists_only_where_something_may_use_it(run: Run) -> None:
    run.accept()
    run.call(*REPLY)
    assert run.invocation.content(lambda _: (("user", "canary"),)) is None
    assert "canary" not in repr(run.finish(Outcome.COMPLETED, status=200))


def test_content_is_prompt_completion_and_hints(run: Run) -> None:
    run.accept()
    run.invocation.keep_text = True
    run.invocation.request = ChatRequest(
        "small", (), evaluation=EvaluationHints(reference="canary ref", contexts=("canary chunk",))
    )
    run.call(*REPLY)
    content = run.invocation.content(lambda _: (("user", "canary?"),))
    assert content is not None
    assert (content.messages, content.completion) == ((("user", "canary?"),), "canary.")
    assert (content.reference, content.contexts) == ("canary ref", ("canary chunk",))
    assert "canary" not in repr(content)


def test_content_of_a_request_that_no_model_saw_has_no_completion(run: Run) -> None:
    run.accept()
    run.invocation.keep_text = True
    content = run.invocation.content(lambda _: ())
    assert content is not None
    assert content.completion == ""
