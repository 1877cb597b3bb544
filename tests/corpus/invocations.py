"""Finished requests to make signals from; each argument given replaces that field."""

from datetime import UTC, datetime
from typing import Any

from llmplatform.ids import TenantId
from llmplatform.invocation import Attempt, InvocationContent, InvocationRecord, Outcome
from llmplatform.policy import TenantPolicy
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import TokenUsage, UsageSource

COMPLETED_AT = datetime(2026, 11, 23, 20, 59, 59, 250_000, tzinfo=UTC)
RECEIVED_AT = datetime(2026, 11, 23, 20, 59, 58, 15_433, tzinfo=UTC)
TRACE = TraceContext("7d5f1c0a9b3e4d218c6f0a1b2c3d4e5f", "00f067aa0ba902b7", None, "minted")
USAGE = TokenUsage(input_tokens=100, output_tokens=51, cache_read_tokens=40, cache_write_tokens=10)


def attempt(**fields: Any) -> Attempt:
    given: dict[str, Any] = {
        "endpoint_type": "bedrock",
        "model_id": "claude-sonnet",
        "backend_model_id": "eu.anthropic.claude-sonnet-v1:0",
        "endpoint_name": None,
        "price_key": "claude-sonnet",
        "outcome": Outcome.COMPLETED,
        "reason": "requested",
        "started_ms": 1.25,
        "duration_ms": 1233.0,
        "first_event_ms": 300.5,
        "usage": USAGE,
        "usage_source": UsageSource.REPORTED,
        "upstream_request_id": "0b0a7c1e-aws",
        "upstream_latency_ms": 1200,
    }
    return Attempt(**{**given, **fields})


def record(number: int = 0, **fields: Any) -> InvocationRecord:
    """A completed stream of tenant `acme` by Bedrock."""
    given: dict[str, Any] = {
        "request_id": f"019ab3c4-d5e6-7f00-8000-{number:012x}",
        "trace": TRACE,
        "tenant_id": "acme",
        "origin": "client",
        "surface": "chat_completions",
        "outcome": Outcome.COMPLETED,
        "http_status": 200,
        "error_code": None,
        "received_at": RECEIVED_AT,
        "completed_at": COMPLETED_AT,
        "total_latency_ms": 1234.5678,
        "stream": True,
        "requested_model_id": "claude-sonnet",
        "model_id": "claude-sonnet",
        "backend_model_id": "eu.anthropic.claude-sonnet-v1:0",
        "endpoint_type": "bedrock",
        "route_reason": "requested",
        "attempts": (attempt(),),
        "usage": USAGE,
        "usage_source": UsageSource.REPORTED,
        "counted_prompt_tokens": 153,
        "counted_prompt_exact": True,
        "time_to_first_token_ms": 300.5,
        "first_token_delivered_ms": 300.9,
        "gateway_overhead_ms": 1.65,
        "output_chunks": 50,
        "finish_reason": "stop",
        "prompt_sha256": "ab" * 32,
        "ttft_objective_ms": 4_000,
        "latency_objective_ms": 60_000,
    }
    return InvocationRecord(**{**given, **fields})


def refused(**fields: Any) -> InvocationRecord:
    """A request that was refused before anybody knew whose it was."""
    return record(
        **{
            "tenant_id": "_unknown",
            "outcome": Outcome.REFUSED,
            "http_status": 401,
            "error_code": "invalid_api_key",
            "total_latency_ms": 0.4,
            "stream": False,
            "requested_model_id": None,
            "model_id": None,
            "backend_model_id": None,
            "endpoint_type": None,
            "route_reason": None,
            "attempts": (),
            "usage": TokenUsage(),
            "usage_source": UsageSource.UNKNOWN,
            "counted_prompt_tokens": None,
            "time_to_first_token_ms": None,
            "first_token_delivered_ms": None,
            "gateway_overhead_ms": None,
            "output_chunks": 0,
            "finish_reason": None,
            "prompt_sha256": None,
            "ttft_objective_ms": None,
            **fields,
        }
    )


def content(text: str = "What is a ledger?") -> InvocationContent:
    return InvocationContent(
        messages=(("system", f"Be brief. {text}"), ("user", text)),
        completion=f"A book. {text}",
        reference=f"A book of accounts. {text}",
        contexts=(f"Ledgers are books. {text}",),
    )


def policy(**fields: Any) -> TenantPolicy:
    return TenantPolicy(**{"tenant_id": TenantId("acme"), **fields})
