"""Adds rows of the ledger up to an hour's usage, each call of a backend at its own price key.

Rows are taken as they come, in any order, and nothing of them is kept. Who pays how much is in
`allocation`. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from costagg.ledger_wire import WireAttempt, WireRow
from costagg.usage import MINUTES, CallKey, Calls, ClientTokens, EndpointUse, HourUsage, Sharer
from llmplatform.costs import INFERENCE_LAYER, OBSERVABILITY_LAYER, Layer
from llmplatform.invocation import Origin
from llmplatform.prices import DEFAULT_TIER, billed_tokens
from llmplatform.usage import NO_USAGE, TokenUsage

SAGEMAKER: Final = "sagemaker"

_MICROSECOND: Final = timedelta(microseconds=1)
_US_PER_MINUTE: Final = 60_000_000

_LAYERS: Final[dict[Origin, Layer]] = {"client": INFERENCE_LAYER, "judge": OBSERVABILITY_LAYER}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where calls that are alike are added up."""

    calls: Calls
    endpoint: EndpointUse | None
    sharer: Sharer


class HourTally:
    """The usage of one hour, as far as rows were added."""

    def __init__(self, hour: datetime) -> None:
        self.usage = HourUsage(hour, "request-ledger")
        self._places: dict[tuple[str | None, ...], _Place] = {}

    def add(self, tenant_id: str, rows: Iterable[WireRow]) -> None:
        """Add a tenant's rows; each is to be brought once."""
        usage = self.usage
        for row in rows:
            usage.requests += 1
            usage.sampled += row.sampled.value
            if row.origin.value == "client":
                self._add_client(tenant_id, row.usage.usage)
            else:
                usage.judged += 1
            for attempt in row.attempts.value:
                self._add_attempt(tenant_id, row, attempt.value)

    def _add_client(self, tenant_id: str, usage: TokenUsage) -> None:
        tokens = self.usage.client_tokens.get(tenant_id)
        if tokens is None:
            tokens = self.usage.client_tokens[tenant_id] = ClientTokens()
        tokens.prompt += usage.prompt_tokens or 0
        tokens.output += usage.output_tokens or 0

    def _add_attempt(self, tenant_id: str, row: WireRow, attempt: WireAttempt) -> None:
        usage = attempt.usage.usage
        billed = billed_tokens(usage)
        if not billed and usage == NO_USAGE:
            return  # refused before anybody could bill it
        place = self._place(tenant_id, row.origin.value, attempt)
        calls = place.calls
        calls.requests += 1
        tokens = calls.tokens
        for token_class, count in billed.items():
            if count:
                tokens[token_class] = tokens.get(token_class, 0) + count
        if usage.input_tokens is None:
            calls.uncounted["input"] = calls.uncounted.get("input", 0) + 1
        if usage.output_tokens is None:
            calls.uncounted["output"] = calls.uncounted.get("output", 0) + 1
        if place.endpoint is not None:
            began_us = (row.received_at.value - self.usage.hour) // _MICROSECOND
            began_us += round(attempt.started_ms.value * 1_000)
            ended_us = began_us + round(attempt.duration_ms.value * 1_000)
            _add_use(place.endpoint, place.sharer, sum(billed.values()), began_us, ended_us)

    def _place(self, tenant_id: str, origin: Origin, attempt: WireAttempt) -> _Place:
        """Found by what the row says: building keys anew for each call would cost more than all else."""
        endpoint_name, service_tier = attempt.endpoint_name, attempt.service_tier
        found_by = (
            tenant_id,
            origin,
            attempt.endpoint_type.value,
            attempt.model_id.value,
            attempt.backend_model_id.value,
            None if endpoint_name is None else endpoint_name.value,
            attempt.price_key.value,
            None if service_tier is None else service_tier.value,
            attempt.usage_source.value,
        )
        place = self._places.get(found_by)
        if place is None:
            place = self._places[found_by] = self._new_place(tenant_id, _LAYERS[origin], attempt)
        return place

    def _new_place(self, tenant_id: str, layer: Layer, attempt: WireAttempt) -> _Place:
        endpoint_name = None if attempt.endpoint_name is None else attempt.endpoint_name.value
        endpoint_type, model_id = attempt.endpoint_type.value, attempt.model_id.value
        key = CallKey(
            tenant_id=tenant_id,
            layer=layer,
            endpoint_type=endpoint_type,
            model_id=model_id,
            backend_model_id=attempt.backend_model_id.value,
            endpoint_name=endpoint_name,
            price_key=attempt.price_key.value,
            service_tier=DEFAULT_TIER if attempt.service_tier is None else attempt.service_tier.value,
            usage_source=attempt.usage_source.value,
        )
        endpoint = None
        if endpoint_type == SAGEMAKER and endpoint_name is not None:
            endpoint = self.usage.endpoints.setdefault(endpoint_name, EndpointUse())
        return _Place(self.usage.calls.setdefault(key, Calls()), endpoint, Sharer(tenant_id, model_id, layer))


def _add_use(endpoint: EndpointUse, sharer: Sharer, tokens: int, began_us: int, ended_us: int) -> None:
    """Add a call that ran between two moments, counted from the hour's start.

    Of a call that ran over the hour's edge, the minutes inside count; one that was over before the hour
    (its request was not) counts in the first of them.
    """
    first = min(max(began_us // _US_PER_MINUTE, 0), MINUTES - 1)
    last = min(max((ended_us - 1) // _US_PER_MINUTE, first), MINUTES - 1)
    endpoint.tokens[sharer] = endpoint.tokens.get(sharer, 0) + tokens
    endpoint.requests[sharer] = endpoint.requests.get(sharer, 0) + 1
    endpoint.active_minutes |= (1 << last + 1) - (1 << first)
    each, rest = divmod(tokens, last + 1 - first)
    if each:
        for minute in range(first, last + 1):
            endpoint.tokens_by_minute[minute] += each
    endpoint.tokens_by_minute[last] += rest
