"""What Bedrock and SageMaker publish to CloudWatch of one call: names, units and values.

Bedrock says of an error only that there was one; SageMaker sends a 0 for each call without, so that an
average is a rate. When a call is over is `calls`' to say, getting there `native_metrics`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sandbox.calls import Call

_OK = 200
_CLIENT_ERRORS = range(400, 500)
_THROTTLED = 429
_MICROSECONDS = 1_000_000
_OVERHEAD_US = 1_500.0


class Value(NamedTuple):
    """One value of a metric."""

    name: str
    unit: str
    value: float


def bedrock_values(call: Call, elapsed_s: float) -> Iterator[Value]:
    """Of one call, by ModelId. What is throttled or fails is no invocation."""
    if call.status == _THROTTLED:
        yield Value("InvocationThrottles", "Count", 1)
    elif call.status in _CLIENT_ERRORS:
        yield Value("InvocationClientErrors", "Count", 1)
    elif call.ended == "faulted" or call.status >= _CLIENT_ERRORS.stop:
        yield Value("InvocationServerErrors", "Count", 1)
    else:
        yield Value("Invocations", "Count", 1)
        yield Value("InvocationLatency", "Milliseconds", elapsed_s * 1000)
        if call.first_output_s is not None:
            yield Value("TimeToFirstToken", "Milliseconds", call.first_output_s * 1000)
        if call.billed is not None:
            tokens_in, tokens_out = call.billed.input_tokens, call.billed.output_tokens
            yield Value("InputTokenCount", "Count", tokens_in)
            yield Value("OutputTokenCount", "Count", tokens_out)
            # On demand: cache writes count, cache reads do not, and no model here burns an output token
            # down at more than one, as some of AWS's do.
            burned = tokens_in + (call.billed.cache_write_tokens or 0) + tokens_out
            yield Value("EstimatedTPMQuotaUsage", "Count", burned)


def sagemaker_values(call: Call, elapsed_s: float, instances: int) -> Iterator[Value]:
    """Of one call, by EndpointName and VariantName, which runs on so many instances."""
    status = call.status if call.model_status is None else call.model_status
    broke_off = call.ended == "faulted" and status == _OK
    mid_stream = broke_off and call.first_sent_s is not None
    failed = call.model_status is not None or status >= _CLIENT_ERRORS.stop or (broke_off and not mid_stream)
    yield Value("Invocations", "None", 1)
    yield Value("InvocationsPerInstance", "None", 1 / max(1, instances))
    yield Value("Invocation4XXErrors", "None", float(status in _CLIENT_ERRORS))
    yield Value("Invocation5XXErrors", "None", float(status >= _CLIENT_ERRORS.stop))
    yield Value("InvocationModelErrors", "None", float(failed))
    yield Value("ModelLatency", "Microseconds", elapsed_s * _MICROSECONDS)
    yield Value("OverheadLatency", "Microseconds", _OVERHEAD_US)
    if call.first_output_s is None:
        return
    first_us = call.first_output_s * _MICROSECONDS
    yield Value("MidStreamErrors", "None", float(mid_stream))
    yield Value("FirstChunkModelLatency", "Microseconds", first_us)
    yield Value("FirstChunkOverheadLatency", "Microseconds", _OVERHEAD_US)
    yield Value("FirstChunkLatency", "Microseconds", first_us + _OVERHEAD_US)
