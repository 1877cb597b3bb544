"""The work: sampled requests as the gateway puts them on the stream, no two alike."""

from datetime import UTC, datetime, timedelta

import msgspec

from llmplatform import ids
from llmplatform.samples import SampleEvent

_PROMPT = "user: " + "How do I keep the queue short when the consumers are slower than the producers? " * 20
_ANSWER = "Bound it, and tell the producers when it is full, so that they wait or drop what is old. " * 15


def encoded_sample(number: int) -> bytes:
    """Sample `number`, of about 3 kB."""
    now = datetime.now(UTC)
    event = SampleEvent(
        schema_version=1,
        request_id=ids.request_id(1_767_225_600_000 + number, number.to_bytes(10)),
        trace_id=ids.as_uuid(f"{number:032x}"),
        span_id=f"{number:016x}",
        tenant_id="acme",
        model_id=f"model-{number % 3}",
        endpoint_type="bedrock",
        outcome="completed",
        received_at=now - timedelta(seconds=2),
        completed_at=now,
        sample_rate=0.05,
        sample_reason="rate",
        content_mode="full",
        prompt=f"{_PROMPT} ({number})",
        completion=f"{_ANSWER} ({number})",
        prompt_sha256="ab" * 32,
        usage={"input_tokens": 400, "output_tokens": 300},
        usage_source="reported",
    )
    return msgspec.json.encode(event)
