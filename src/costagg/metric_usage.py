"""An hour's usage from the values of the gateway's metrics: which series tell it, and what they say.

An estimate, and less than the ledger knows. Attempts that did not answer, and judges, have no token metrics.
The time to live of cache writes is not known: they count as the five minutes' ones. A request's minute is
the one that it ended in. Who fetches the values is `metric_reader`. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from costagg.usage import MINUTES, CallKey, Calls, ClientTokens, EndpointUse, HourUsage, Sharer
from llmplatform.catalogue import Catalogue, ModelEntry
from llmplatform.costs import INFERENCE_LAYER
from llmplatform.ids import UNKNOWN
from llmplatform.metric_queries import Series, Values, series_of
from llmplatform.metrics import (
    CACHE_READ_TOKEN_COUNT,
    CACHE_WRITE_TOKEN_COUNT,
    INPUT_TOKEN_COUNT,
    OUTPUT_TOKEN_COUNT,
    REQUEST_COUNT,
)
from llmplatform.prices import DEFAULT_TIER, TokenClass
from llmplatform.usage import UsageSource

BY_CALL: Final = ("tenant_id", "model_id", "endpoint_type")

_CALL_METRICS: Final = (
    REQUEST_COUNT,
    INPUT_TOKEN_COUNT,
    OUTPUT_TOKEN_COUNT,
    CACHE_READ_TOKEN_COUNT,
    CACHE_WRITE_TOKEN_COUNT,
)
_MINUTE_METRICS: Final = (REQUEST_COUNT, INPUT_TOKEN_COUNT, OUTPUT_TOKEN_COUNT)


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Whose calls of which model: a set of dimensions."""

    tenant_id: str
    model_id: str
    endpoint_type: str

    @property
    def series(self) -> tuple[Series, ...]:
        """Requests, prompt, output, cache reads and cache writes."""
        values = (self.tenant_id, self.model_id, self.endpoint_type)
        dimensions = dict(zip(BY_CALL, values, strict=True))
        return tuple(series_of(metric, dimensions) for metric in _CALL_METRICS)


def source_series(sources: Iterable[Source]) -> list[Series]:
    """What `usage_of` needs of the hour, in one period."""
    return [series for source in sources for series in source.series]


def endpoint_series(endpoints: Iterable[str]) -> list[Series]:
    """What `add_minutes` needs of the hour, by the minute."""
    return [series for endpoint in endpoints for series in _minute_series(endpoint)]


def usage_of(
    hour: datetime, sources: Sequence[Source], values: Mapping[Series, Values], catalogue: Catalogue
) -> HourUsage:
    """The usage of these sources, minutes aside."""
    usage = HourUsage(hour, "cloudwatch-metrics")
    for source in sources:
        requests, *counts = (count_at(values[series], hour) for series in source.series)
        usage.requests += requests
        if any(counts):  # else it was refused, or failed before anybody could bill it
            _add(usage, source, requests, counts, catalogue)
    return usage


def add_minutes(usage: HourUsage, values: Mapping[Series, Values]) -> None:
    """Add when each endpoint was used: by the endpoint's own series, whoever called."""
    for name, endpoint in usage.endpoints.items():
        requests, prompt, output = (values[series] for series in _minute_series(name))
        for minute in range(MINUTES):
            moment = usage.hour + timedelta(minutes=minute)
            endpoint.tokens_by_minute[minute] = count_at(prompt, moment) + count_at(output, moment)
            if count_at(requests, moment):
                endpoint.active_minutes |= 1 << minute


def count_at(values: Values, moment: datetime) -> int:
    """What was counted in the period that begins then."""
    return round(values.get(moment, 0))


def _minute_series(endpoint: str) -> tuple[Series, ...]:
    return tuple(series_of(metric, {"endpoint_name": endpoint}) for metric in _MINUTE_METRICS)


def _endpoint_of(source: Source, entry: ModelEntry | None) -> str | None:
    """Of a model that has left the catalogue nobody knows the endpoint, which was used all the same."""
    if entry is not None:
        return entry.endpoint_name
    return UNKNOWN if source.endpoint_type == "sagemaker" else None


def _add(
    usage: HourUsage, source: Source, requests: int, counts: Sequence[int], catalogue: Catalogue
) -> None:
    prompt, output, cache_read, cache_write = counts
    client = usage.client_tokens.setdefault(source.tenant_id, ClientTokens())
    client.prompt += prompt
    client.output += output
    entry = catalogue.models.get(source.model_id)
    if entry is not None and entry.endpoint_type != source.endpoint_type:
        entry = None  # it has moved since; what it was behind before is not in the catalogue any more
    key = CallKey(
        tenant_id=source.tenant_id,
        layer=INFERENCE_LAYER,
        endpoint_type=source.endpoint_type,
        model_id=source.model_id,
        backend_model_id=source.model_id if entry is None else entry.backend_model_id,
        endpoint_name=_endpoint_of(source, entry),
        # Of a model that has left the catalogue nobody knows the price key; its name has no price.
        price_key=source.model_id if entry is None else entry.price_key,
        service_tier=DEFAULT_TIER if entry is None else entry.service_tier or DEFAULT_TIER,
        usage_source=UsageSource.ESTIMATED,
    )
    tokens: dict[TokenClass, int] = {
        "input": max(prompt - cache_read - cache_write, 0),
        "output": output,
        "cache_read": cache_read,
        "cache_write": cache_write,
    }
    usage.calls[key] = Calls(requests, {billed: count for billed, count in tokens.items() if count})
    if key.endpoint_name is not None:
        endpoint = usage.endpoints.setdefault(key.endpoint_name, EndpointUse())
        sharer = Sharer(source.tenant_id, source.model_id, INFERENCE_LAYER)
        endpoint.tokens[sharer] = prompt + output
        endpoint.requests[sharer] = requests
