"""One finished request as a value: what every signal about it is made from.

The EMF line, the ledger row, the spans and the sample are all views of an `InvocationRecord`; none of them
measures anything by itself. It holds no prompt and no completion text: those are in `InvocationContent`,
which exists only when something may use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from llmplatform.errors import InternalFault
from llmplatform.ids import UNKNOWN
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource


class Outcome(StrEnum):
    """How a request ended; exactly one each."""

    COMPLETED = "completed"
    CLIENT_CANCELLED = "client_cancelled"
    BACKEND_FAILED = "backend_failed"
    REFUSED = "refused"
    """By us: malformed, unauthenticated, forbidden, over a limit."""


Origin = Literal["client", "judge"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to one backend. Each can be billed, at its own price."""

    endpoint_type: str
    model_id: str
    backend_model_id: str
    endpoint_name: str | None
    price_key: str
    outcome: Outcome
    reason: str
    """Why this model was called: `requested`, `retry`, `fallback`, `circuit_open`."""
    started_ms: float
    """Milliseconds from the request's arrival to this attempt's start."""
    duration_ms: float
    first_event_ms: float | None
    """Milliseconds from the request's arrival to the backend's first event."""
    usage: TokenUsage
    """Without any figure where the call was refused, or never got through: nobody bills it. Of one that may
    be billed something is always said, if only that no output came."""
    usage_source: UsageSource
    error_code: str | None = None
    error_type: str | None = None
    """The backend's own name of the error."""
    upstream_request_id: str | None = None
    upstream_latency_ms: int | None = None
    service_tier: str | None = None
    trace_sent: bool = True
    """Whether the trace id went along, in a place that reaches the model's side."""


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    """One finished request. `*_ms` are monotonic, from the arrival of the request; None is unknown."""

    request_id: str
    trace: TraceContext
    tenant_id: str
    """`_unknown` for a request that named no known tenant."""
    origin: Origin
    surface: str
    """`chat_completions`; `other` for the ordinary routes."""
    outcome: Outcome
    http_status: int | None
    """None when the client left before a status was sent."""
    error_code: str | None
    received_at: datetime
    completed_at: datetime
    total_latency_ms: float
    stream: bool = False
    requested_model_id: str | None = None
    """As in the catalogue; `_unknown` for a name that is not in it."""
    model_id: str | None = None
    """The public name that answered."""
    backend_model_id: str | None = None
    endpoint_type: str | None = None
    endpoint_name: str | None = None
    route_reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    usage: TokenUsage = NO_USAGE
    """Of the attempt that answered."""
    usage_source: UsageSource = UsageSource.UNKNOWN
    counted_prompt_tokens: int | None = None
    """Our own count of the prompt, whoever reported what."""
    counted_prompt_exact: bool = False
    """Whether our count came from the model's own tokenizer."""
    time_to_first_token_ms: float | None = None
    """To the first content delta read from the backend."""
    first_token_delivered_ms: float | None = None
    """To the moment that delta was handed to the client's connection."""
    gateway_overhead_ms: float | None = None
    """Time before the first attempt was sent plus time from the backend's first token to handing it on."""
    output_chunks: int = 0
    finish_reason: str | None = None
    skipped_events: int = 0
    prompt_sha256: str | None = None
    sampled_rate: float = 0.0
    """The evaluation rate that applied, brake included."""
    sampled: bool = False
    sample_reason: str | None = None
    trace_kept: str | None = None
    """Why the trace was kept: `head`, `failed`, `slow`, `evaluated`; None when it was not."""
    ttft_objective_ms: int | None = None
    latency_objective_ms: int | None = None
    client_metadata: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def served_by(self) -> tuple[str, str, str | None]:
        """The (model_id, endpoint_type, endpoint_name) that the request counts for.

        That which answered; where none did, the last one tried; where none was tried, what was asked for.
        """
        if self.model_id is not None:
            return self.model_id, self.endpoint_type or UNKNOWN, self.endpoint_name
        if self.attempts:
            last = self.attempts[-1]
            return last.model_id, last.endpoint_type, last.endpoint_name
        return self.requested_model_id or UNKNOWN, self.endpoint_type or UNKNOWN, self.endpoint_name

    @property
    def failed(self) -> bool:
        """Whether the platform failed the tenant: a backend fault, a refusal of our own (5xx), a bug."""
        if self.outcome is Outcome.BACKEND_FAILED or self.error_code == InternalFault.code:
            return True
        return (self.http_status or 0) >= 500  # noqa: PLR2004

    @property
    def trace_propagated(self) -> bool | None:
        """Whether the trace id went along with every call to a backend; None where none was called."""
        return all(attempt.trace_sent for attempt in self.attempts) if self.attempts else None

    @property
    def ttft_slow(self) -> bool | None:
        """Whether the first token came later than the tenant's p99 objective; None where there was none."""
        if self.time_to_first_token_ms is None or self.ttft_objective_ms is None:
            return None
        return self.time_to_first_token_ms > self.ttft_objective_ms

    @property
    def output_tokens_per_second(self) -> float | None:
        """Generation speed of one stream after its first token; None when it cannot be known."""
        tokens, ttft = self.usage.output_tokens, self.time_to_first_token_ms
        if tokens is None or tokens < 2 or ttft is None or not self.stream:  # noqa: PLR2004
            return None
        generating_ms = self.total_latency_ms - ttft
        return (tokens - 1) * 1_000 / generating_ms if generating_ms > 0 else None


@dataclass(frozen=True, slots=True)
class InvocationContent:
    """Prompt and completion of one request, for those sinks that the tenant's policy lets see them."""

    messages: tuple[tuple[str, str], ...] = field(repr=False)
    """(role, text) of each turn, in order; images are named, not included."""
    completion: str = field(repr=False)
    reference: str | None = field(default=None, repr=False)
    contexts: tuple[str, ...] = field(default=(), repr=False)
