"""What was used in an hour: the facts that cost is computed from, whoever read them.

The ledger's reader and the metrics' reader both give an `HourUsage`, the endpoints' reader gives the
instances that ran. Prices, and who pays what, are in `allocation`. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from llmplatform.costs import ComputedFrom, Layer
from llmplatform.prices import TokenClass

MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class CallKey:
    """What calls are added up by: all that decides who pays and at which price."""

    tenant_id: str
    layer: Layer
    endpoint_type: str
    model_id: str
    backend_model_id: str
    endpoint_name: str | None
    price_key: str
    service_tier: str
    usage_source: str


@dataclass(slots=True)
class Calls:
    """Calls that were added up."""

    requests: int = 0
    tokens: dict[TokenClass, int] = field(default_factory=dict)
    """By billed class, disjoint; see `llmplatform.prices.billed_tokens`."""
    uncounted: dict[TokenClass, int] = field(default_factory=dict)
    """Calls that may be billed for a class and whose count nobody knows."""


@dataclass(frozen=True, slots=True)
class Sharer:
    """Who shares the cost of an endpoint."""

    tenant_id: str
    model_id: str
    layer: Layer


@dataclass(slots=True)
class EndpointUse:
    """Who used a SageMaker endpoint in an hour, how much and in which minutes."""

    tokens: dict[Sharer, int] = field(default_factory=dict)
    """Prompt and output tokens as far as they are known."""
    requests: dict[Sharer, int] = field(default_factory=dict)
    tokens_by_minute: list[int] = field(default_factory=lambda: [0] * MINUTES)
    """A call's tokens lie evenly over the minutes that it ran in, the remainder on its last one."""
    active_minutes: int = 0
    """Bit m is set if a call ran in minute m, whether its tokens are known or not."""


@dataclass(slots=True)
class ClientTokens:
    """A tenant's tokens as the gateway's metrics count them: each request by the attempt that answered."""

    prompt: int = 0
    """Cached tokens included."""
    output: int = 0


@dataclass(slots=True)
class HourUsage:
    """All usage of one hour, of all tenants that were asked for."""

    hour: datetime
    """Its start, UTC."""
    computed_from: ComputedFrom
    calls: dict[CallKey, Calls] = field(default_factory=dict)
    """Of Bedrock and of SageMaker, by who pays."""
    endpoints: dict[str, EndpointUse] = field(default_factory=dict)
    """SageMaker endpoints by name."""
    client_tokens: dict[str, ClientTokens] = field(default_factory=dict)
    """By tenant, requests of clients only: what CloudWatch's token metrics are held against."""
    requests: int = 0
    """Rows of the ledger; by the metrics, requests."""
    sampled: int = 0
    """Requests that went to evaluation."""
    judged: int = 0
    """Calls of a judge."""
    undecodable: int = 0
    """Rows that could not be read: they are missing in everything above."""


InstanceSource = Literal["metered", "described", "unknown"]


@dataclass(frozen=True, slots=True)
class InstanceMinutes:
    """How many instances of a variant ran in each minute of an hour."""

    endpoint_name: str
    variant: str
    instance_type: str
    counts: tuple[int | None, ...]
    """Sixty; None where nobody knows, 0 where none ran."""
    source: InstanceSource
    """`metered`: from the endpoint's own metrics. `described`: the number it has now, for all minutes."""
    rated_tokens_per_minute: int | None = None
    """What one instance can do, from the catalogue; None counts a minute as used or unused whole."""


Endpoints = Mapping[str, tuple[InstanceMinutes, ...]]
"""By endpoint name, its variants."""
