"""What tests of several packages need: a clock that a test moves, and builders of values.

Nothing here is imported by the product. Doubles of a seam live beside the tests of that seam.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from llmplatform.catalogue import ModelEntry
from llmplatform.ids import TenantId
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.policy import TenantPolicy
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import TokenUsage, UsageSource

START = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)
"""Shortly before an hour, a day and a month end: where code that cuts time into pieces goes wrong."""
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", None, "minted")


class FakeClock:
    """A clock that stands still until it is told to advance; both of its readings move together."""

    __slots__ = ("_now", "_ns")

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start."""
        return self._ns

    def now(self) -> datetime:
        """The moment, aware, in UTC."""
        return self._now

    def advance(self, *, s: float = 0, ms: float = 0) -> None:
        """Let time pass."""
        passed_us = round(s * 1_000_000 + ms * 1_000)
        self._ns += passed_us * 1_000
        self._now += timedelta(microseconds=passed_us)


def make_policy(tenant: str = "acme", **fields: Any) -> TenantPolicy:
    """A policy of `tenant`, the defaults but for `fields`."""
    return TenantPolicy(tenant_id=TenantId(tenant), **fields)


def make_model(model_id: str = "small", **fields: Any) -> ModelEntry:
    """A Bedrock model of the catalogue, but for `fields`."""
    return ModelEntry.model_validate(
        {
            "model_id": model_id,
            "endpoint_type": "bedrock",
            "backend_model_id": f"vendor.{model_id}-v1:0",
            "dialect": "converse",
            "price_key": f"vendor.{model_id}",
            **fields,
        }
    )


def make_record(**fields: Any) -> InvocationRecord:
    """The record of a request that was answered in full after 1.5 seconds, but for `fields`."""
    record = InvocationRecord(
        request_id="01940000-0000-7000-8000-000000000001",
        trace=TRACE,
        tenant_id="acme",
        origin="client",
        surface="chat_completions",
        outcome=Outcome.COMPLETED,
        http_status=200,
        error_code=None,
        received_at=START,
        completed_at=START + timedelta(milliseconds=1_500),
        total_latency_ms=1_500.0,
        requested_model_id="small",
        model_id="small",
        backend_model_id="vendor.small-v1:0",
        endpoint_type="bedrock",
        route_reason="requested",
        usage=TokenUsage(input_tokens=12, output_tokens=34),
        usage_source=UsageSource.REPORTED,
        time_to_first_token_ms=300.0,
        finish_reason="stop",
    )
    return replace(record, **fields)
