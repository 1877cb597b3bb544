"""One request while it runs: what is learnt about it on the way, and the record it becomes in the end.

Mutable, and owned by the request's task. Every signal is made from the `InvocationRecord` that `finish`
returns; nothing else measures anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.chat import ChatRequest
from gateway.meter import ReplyMeter
from gateway.routing import Route
from llmplatform.errors import BackendFault, BackendTimedOut, ClientFault, PlatformFault
from llmplatform.ids import UNKNOWN
from llmplatform.invocation import Attempt, InvocationContent, InvocationRecord, Outcome
from llmplatform.policy import TenantPolicy
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

_NS_PER_MS = 1_000_000
_SERVER_ERROR = 500


class KeepTrace(Protocol):
    """`llmplatform.sampling.keep_trace` with the deployment's key and rate filled in."""

    def __call__(self, trace_id: str, *, failed: bool, slow: bool, evaluated: bool) -> str | None:
        """Why the trace is kept, or None."""
        ...


@dataclass(slots=True)
class RunningAttempt:
    """One call to one backend, while it runs."""

    route: Route
    reason: str
    started_ns: int
    meter: ReplyMeter
    opened: bool = False
    """Whether the head of a reply came: from then on the call may be billed."""
    upstream_request_id: str | None = None
    trace_sent: bool = False

    def may_be_billed(self, fault: BackendFault | None) -> bool:
        """Whether somebody may charge for this call, which ended with `fault`.

        Not for one that was refused or never got through; for any other, perhaps.
        """
        late = isinstance(fault, BackendTimedOut) and fault.phase != "connect"
        return self.opened or fault is None or late


class Invocation:
    """What is known so far of one request."""

    __slots__ = (
        "arrived_ns",
        "attempts",
        "body_read_ns",
        "counted_prompt_exact",
        "counted_prompt_tokens",
        "current",
        "error",
        "first_token_delivered_ns",
        "http_status",
        "keep_text",
        "outcome",
        "over_ns",
        "policy",
        "prompt_sha256",
        "received_at",
        "request",
        "request_id",
        "requested_model_id",
        "sample_rate",
        "sample_reason",
        "sampled",
        "surface",
        "trace",
        "usage",
        "usage_source",
    )

    def __init__(
        self, *, request_id: str, trace: TraceContext, surface: str, received_at: datetime, arrived_ns: int
    ) -> None:
        self.request_id = request_id
        self.trace = trace
        self.surface = surface
        self.received_at = received_at
        self.arrived_ns = arrived_ns
        self.body_read_ns: int | None = None
        self.policy: TenantPolicy | None = None
        self.request: ChatRequest | None = None
        self.requested_model_id: str | None = None
        self.attempts: list[Attempt] = []
        self.current: RunningAttempt | None = None
        """The attempt that runs, or the last one that did."""
        self.counted_prompt_tokens: int | None = None
        self.counted_prompt_exact = False
        self.sample_rate = 0.0
        self.sampled = False
        self.sample_reason: str | None = None
        self.keep_text = False
        self.prompt_sha256: str | None = None
        self.outcome: Outcome | None = None
        self.error: PlatformFault | None = None
        self.http_status: int | None = None
        self.over_ns: int | None = None
        """When the client had been told everything; what is found out after that is nobody's latency."""
        self.first_token_delivered_ns: int | None = None
        self.usage: TokenUsage = NO_USAGE
        self.usage_source = UsageSource.UNKNOWN

    def begin_attempt(self, route: Route, reason: str, now_ns: int) -> RunningAttempt:
        """Start watching a call to `route`."""
        self.current = RunningAttempt(route, reason, now_ns, ReplyMeter(keep_text=self.keep_text))
        return self.current

    def end_attempt(
        self,
        attempt: RunningAttempt,
        outcome: Outcome,
        fault: BackendFault | None,
        *,
        drained: bool,
        output_estimate: int,
        now_ns: int,
    ) -> None:
        """Put a call on the record, with the usage that it will be billed for as well as anyone knows it."""
        meter, model = attempt.meter, attempt.route.model
        usage, source = NO_USAGE, UsageSource.UNKNOWN
        if attempt.may_be_billed(fault):
            usage, source = meter.settle(
                drained=drained,
                prompt_estimate=self.counted_prompt_tokens,
                output_estimate=output_estimate,
            )
        self.usage, self.usage_source = usage, source
        self.attempts.append(
            Attempt(
                endpoint_type=model.endpoint_type,
                model_id=model.model_id,
                backend_model_id=model.backend_model_id,
                endpoint_name=model.endpoint_name,
                price_key=model.price_key,
                outcome=outcome,
                reason=attempt.reason,
                started_ms=self._ms(attempt.started_ns),
                duration_ms=(now_ns - attempt.started_ns) / _NS_PER_MS,
                first_event_ms=None if meter.first_event_ns is None else self._ms(meter.first_event_ns),
                usage=usage,
                usage_source=source,
                error_code=fault.code if fault else None,
                error_type=fault.error_type if fault else None,
                upstream_request_id=attempt.upstream_request_id,
                upstream_latency_ms=meter.upstream_latency_ms,
                # A reply that was cut off says none: it is billed by what was asked for.
                service_tier=meter.service_tier or model.service_tier,
                trace_sent=attempt.trace_sent,
            )
        )

    def content(
        self, render: Callable[[ChatRequest], tuple[tuple[str, str], ...]]
    ) -> InvocationContent | None:
        """Prompt and completion, if anything may use them; `render` writes the request's turns as text."""
        if not self.keep_text or self.request is None:
            return None
        hints = self.request.evaluation
        return InvocationContent(
            messages=render(self.request),
            completion=(self.current.meter.text or "") if self.current else "",
            reference=hints.reference if hints else None,
            contexts=hints.contexts if hints else (),
        )

    def finish(self, *, completed_at: datetime, now_ns: int, keep_trace: KeepTrace) -> InvocationRecord:
        """The record of this request, which is over; `keep_trace` says whether its trace is kept, and why."""
        policy, request, current = self.policy, self.request, self.current
        meter = current.meter if current else None
        model = current.route.model if current else None
        first_token_ns = meter.first_content_ns if meter else None
        error = self.error
        total_ms = self._ms(now_ns if self.over_ns is None else self.over_ns)
        ttft_ms = None if first_token_ns is None else self._ms(first_token_ns)
        return InvocationRecord(
            request_id=self.request_id,
            trace=self.trace,
            tenant_id=policy.tenant_id if policy else UNKNOWN,
            origin="client",
            surface=self.surface,
            outcome=self.outcome or Outcome.REFUSED,
            http_status=self.http_status,
            error_code=error.specific_code
            if isinstance(error, ClientFault)
            else error.code
            if error
            else None,
            received_at=self.received_at,
            completed_at=completed_at,
            total_latency_ms=total_ms,
            stream=request.stream if request else False,
            requested_model_id=self.requested_model_id,
            model_id=model.model_id if model else None,
            backend_model_id=model.backend_model_id if model else None,
            endpoint_type=model.endpoint_type if model else None,
            endpoint_name=model.endpoint_name if model else None,
            route_reason=current.reason if current else None,
            attempts=tuple(self.attempts),
            usage=self.usage,
            usage_source=self.usage_source,
            counted_prompt_tokens=self.counted_prompt_tokens,
            counted_prompt_exact=self.counted_prompt_exact,
            time_to_first_token_ms=ttft_ms,
            first_token_delivered_ms=(
                None if self.first_token_delivered_ns is None else self._ms(self.first_token_delivered_ns)
            ),
            gateway_overhead_ms=self._overhead_ms(first_token_ns),
            output_chunks=meter.content_events if meter else 0,
            finish_reason=meter.finish_reason if meter else None,
            skipped_events=meter.skipped_events if meter else 0,
            prompt_sha256=self.prompt_sha256,
            sampled_rate=self.sample_rate,
            sampled=self.sampled,
            sample_reason=self.sample_reason,
            trace_kept=keep_trace(
                self.trace.trace_id,
                failed=self.outcome is Outcome.BACKEND_FAILED or (self.http_status or 0) >= _SERVER_ERROR,
                slow=self._slow(ttft_ms, total_ms),
                evaluated=self.sampled,
            ),
            ttft_objective_ms=policy.objectives.ttft_p99_ms if policy else None,
            latency_objective_ms=policy.objectives.total_latency_p99_ms if policy else None,
            client_metadata=request.metadata if request else {},
        )

    def _slow(self, ttft_ms: float | None, total_ms: float) -> bool:
        if self.policy is None:
            return False
        objectives = self.policy.objectives
        late = ttft_ms is not None and ttft_ms > objectives.ttft_p99_ms
        return late or total_ms > objectives.total_latency_p99_ms

    def _overhead_ms(self, first_token_ns: int | None) -> float | None:
        if not self.attempts or self.body_read_ns is None:
            return None
        before = self.attempts[0].started_ms - self._ms(self.body_read_ns)
        if first_token_ns is None or self.first_token_delivered_ns is None:
            return before
        return before + (self.first_token_delivered_ns - first_token_ns) / _NS_PER_MS

    def _ms(self, moment_ns: int) -> float:
        return (moment_ns - self.arrived_ns) / _NS_PER_MS
