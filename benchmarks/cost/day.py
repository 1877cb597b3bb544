"""A day of a platform: which tenant had how many requests in which partition, and what their rows are.

50 tenants of very different size, 10 models, busy and quiet hours; all chances are seeded, so that every
process that imports this sees the same day.
"""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from costagg.ledger_wire import ATTRIBUTES
from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.invocation import Attempt, InvocationRecord, Outcome
from llmplatform.ledger import encode_item
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import NO_USAGE, TokenUsage, UsageSource

DAY: Final = datetime(2026, 11, 24, tzinfo=UTC)
HOURS: Final = tuple(DAY + timedelta(hours=hour) for hour in range(24))
TENANTS: Final = tuple(f"tenant-{number:02d}" for number in range(50))
ENDPOINTS: Final = {"support-small": "ml.g5.xlarge", "support-large": "ml.g5.12xlarge"}

MODELS: Final = (
    ("opus", "global.anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6/global", None),
    ("sonnet", "us.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6/geo", None),
    ("sonnet-global", "global.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6/global", None),
    ("haiku", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5/geo", None),
    (
        "haiku-global",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic.claude-haiku-4-5/global",
        None,
    ),
    ("nova-2-lite", "us.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite/geo", None),
    ("nova-pro", "us.amazon.nova-pro-v1:0", "amazon.nova-pro/geo", None),
    ("nova-lite", "us.amazon.nova-lite-v1:0", "amazon.nova-lite/geo", None),
    ("llama-8b", "support-small", "sagemaker/support-small", "support-small"),
    ("llama-70b", "support-large", "sagemaker/support-large", "support-large"),
)


def rows_by_partition(rows: int) -> dict[tuple[str, datetime, int], int]:
    """How many of a day's rows each tenant, hour and shard has; their sum is `rows` exactly."""
    weights = {
        (tenant, hour): (1.2 + math.sin((hour.hour - 8) / 24 * math.tau)) / (rank + 3)
        for rank, tenant in enumerate(TENANTS)
        for hour in HOURS
    }
    whole = sum(weights.values()) * LEDGER_SHARDS
    counts: dict[tuple[str, datetime, int], int] = {}
    given, owed = 0, 0.0
    for (tenant, hour), weight in weights.items():
        for shard in range(LEDGER_SHARDS):
            owed += rows * weight / whole
            counts[tenant, hour, shard] = round(owed) - given
            given = round(owed)
    return counts


@cache
def pool(size: int) -> tuple[dict[str, Any], ...]:
    """Rows of the day's first hour in order of their request ids, as the ledger writes them."""
    chance = random.Random(20)
    return tuple(encode_item(_record(number, chance)) for number in range(size))


def projected(item: dict[str, Any]) -> dict[str, Any]:
    """What a query for the attributes that cost needs brings of a row."""
    return {name: item[name] for name in ATTRIBUTES}


def size_of(value: Any) -> int:
    """What DynamoDB counts of a value, or of an item, towards the 1 MB of a page.

    Source: DynamoDB developer guide, "Item sizes and formats".
    """
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bool):
        return 1
    if isinstance(value, list):
        return 3 + sum(1 + size_of_attribute(one) for one in value)
    return sum(len(name) + size_of_attribute(one) for name, one in value.items())


def size_of_attribute(attribute: dict[str, Any]) -> int:
    """The same for a value with its type."""
    ((kind, value),) = attribute.items()
    if kind == "N":
        return 1 + (len(value) + 1) // 2
    return size_of(value) + (3 + len(value) if kind == "M" else 0)


def _record(number: int, chance: random.Random) -> InvocationRecord:
    judged = chance.random() < 0.05  # noqa: PLR2004
    received = DAY + timedelta(seconds=chance.uniform(0, 3_590))
    attempts = tuple(_attempts(chance)) if chance.random() > 0.01 else ()  # noqa: PLR2004
    answered = attempts[-1] if attempts else None
    return InvocationRecord(
        request_id=f"0193{number:08x}-7f00-8000-{chance.getrandbits(48):012x}",
        trace=TraceContext(
            f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(64):016x}", None, "minted"
        ),
        tenant_id="tenant-00",
        origin="judge" if judged else "client",
        surface="chat_completions",
        outcome=Outcome.COMPLETED if answered else Outcome.REFUSED,
        http_status=200 if answered else 400,
        error_code=None if answered else "invalid_request",
        received_at=received,
        completed_at=DAY + timedelta(seconds=3_595),
        total_latency_ms=chance.uniform(300, 9_000),
        stream=chance.random() < 0.7,  # noqa: PLR2004
        requested_model_id=answered.model_id if answered else None,
        model_id=answered.model_id if answered else None,
        backend_model_id=answered.backend_model_id if answered else None,
        endpoint_type=answered.endpoint_type if answered else None,
        endpoint_name=answered.endpoint_name if answered else None,
        route_reason=answered.reason if answered else None,
        attempts=attempts,
        usage=answered.usage if answered else NO_USAGE,
        usage_source=answered.usage_source if answered else UsageSource.UNKNOWN,
        counted_prompt_tokens=chance.randrange(50, 4_000),
        time_to_first_token_ms=chance.uniform(200, 2_000),
        first_token_delivered_ms=chance.uniform(200, 2_000),
        gateway_overhead_ms=chance.uniform(0.5, 3),
        finish_reason="stop",
        prompt_sha256=f"{chance.getrandbits(256):064x}",
        sampled_rate=0.05,
        sampled=chance.random() < 0.05,  # noqa: PLR2004
    )


def _attempts(chance: random.Random) -> Iterator[Attempt]:
    """One call as a rule; before it, now and then, one that was throttled or was cut."""
    if chance.random() < 0.04:  # noqa: PLR2004
        yield _attempt(chance, "requested", Outcome.BACKEND_FAILED, NO_USAGE, UsageSource.UNKNOWN)
    if chance.random() < 0.02:  # noqa: PLR2004
        cut = TokenUsage(chance.randrange(50, 4_000), chance.randrange(100))
        yield _attempt(chance, "requested", Outcome.BACKEND_FAILED, cut, UsageSource.CONTINUOUS)
    cached = chance.randrange(2_000) if chance.random() < 0.4 else 0  # noqa: PLR2004
    usage = TokenUsage(
        input_tokens=chance.randrange(50, 4_000),
        output_tokens=chance.randrange(1, 900),
        cache_read_tokens=cached,
        cache_write_tokens=cached // 4,
    )
    yield _attempt(chance, "requested", Outcome.COMPLETED, usage, UsageSource.REPORTED)


def _attempt(
    chance: random.Random, reason: str, outcome: Outcome, usage: TokenUsage, source: UsageSource
) -> Attempt:
    model_id, backend_model_id, price_key, endpoint_name = chance.choice(MODELS)
    return Attempt(
        endpoint_type="bedrock" if endpoint_name is None else "sagemaker",
        model_id=model_id,
        backend_model_id=backend_model_id,
        endpoint_name=endpoint_name,
        price_key=price_key,
        outcome=outcome,
        reason=reason,
        started_ms=chance.uniform(0.5, 3),
        duration_ms=chance.uniform(300, 90_000 if endpoint_name else 9_000),
        first_event_ms=chance.uniform(200, 2_000),
        usage=usage,
        usage_source=source,
        upstream_request_id=f"{chance.getrandbits(128):032x}",
        upstream_latency_ms=chance.randrange(300, 9_000),
        service_tier=None if endpoint_name else "default",
    )
