"""What AWS allows an account in a region unless it is asked for more, and what cannot be raised. Pure.

An account may have less (new ones do) or more: `llm-platform doctor --aws` and Service Quotas tell.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final


@dataclass(frozen=True, slots=True)
class Quota:
    """How much there may be. `value` is None where no source confirmed the default."""

    value: Decimal | None
    unit: str
    source: str
    adjustable: bool


def _quota(value: str | None, unit: str, source: str, *, adjustable: bool = True) -> Quota:
    return Quota(None if value is None else Decimal(value), unit, f"{source} (November 2026)", adjustable)


_CONSTRAINTS: Final = "DynamoDB developer guide, Quotas, as quoted by public repositories"
FARGATE_VCPU: Final = _quota(
    "6", "vCPU", "AWS Fargate quotas: on-demand vCPU resource count; rises by itself with use"
)
ALARMS: Final = _quota("5000", "alarms", "CloudWatch user guide: alarms in an account and region")
ANOMALY_MODELS: Final = _quota("500", "models", "CloudWatch service quotas: anomaly detection models")
PARAMETER_READS: Final = _quota(
    "40", "calls/s", "Systems Manager quotas: all reads of parameters; 100 by path with higher throughput"
)
PARAMETERS: Final = _quota(
    "10000", "parameters", "Systems Manager quotas: standard parameters", adjustable=False
)
TABLE_WRITES: Final = _quota(
    "40000", "units/s", f"{_CONSTRAINTS}: write request units of a table, or of an index"
)
PARTITION_WRITES: Final = _quota(
    "1000",
    "units/s",
    f"{_CONSTRAINTS}: a partition; keys that only grow are not split for heat",
    adjustable=False,
)
ITEM_BYTES: Final = _quota("409600", "bytes", f"{_CONSTRAINTS}: an item", adjustable=False)
STREAM_BYTES: Final = _quota(
    "4194304",
    "bytes/s",
    "Kinesis Data Streams quotas: a new on-demand stream; it grows to twice what it has seen",
)
STREAM_SHARDS_AT_FIRST: Final = 4
"""Of a new on-demand stream: 4 MB/s at 1 MB/s a shard."""
LOAD_BALANCER_TARGETS: Final = _quota(
    "1000", "targets", "Elastic Load Balancing quotas: targets of a load balancer"
)
JOB_SECONDS: Final = Quota(
    Decimal(3_600), "s", "an hourly run must end before the next one begins", adjustable=False
)

_BEDROCK: Final = "Bedrock service quotas of us-east-1, as quoted by public repositories"
TOKENS_A_MINUTE: Final = {
    "anthropic.claude-haiku-4-5/geo": _quota("5000000", "tokens/min", _BEDROCK),
    "anthropic.claude-sonnet-4-6/global": _quota("6000000", "tokens/min", _BEDROCK),
    "amazon.nova-pro/geo": _quota("2000000", "tokens/min", _BEDROCK),
}
"""By price key: a model and how calls are routed."""
UNKNOWN_TOKENS_A_MINUTE: Final = _quota(
    None, "tokens/min", "Bedrock service quotas: not confirmed, look it up"
)


def tokens_a_minute(price_key: str) -> Quota:
    """The default quota of a model on Bedrock."""
    return TOKENS_A_MINUTE.get(price_key, UNKNOWN_TOKENS_A_MINUTE)


def output_burndown(price_key: str) -> int:
    """Tokens of quota that one token of output takes.

    Five of Claude 3.7 and newer, which are all that the catalogue names. Source: Bedrock user guide, "How
    tokens are counted".
    """
    return 5 if price_key.startswith("anthropic.") else 1
