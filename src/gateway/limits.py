"""How many requests may be in flight: overall, and per tenant. Counts in memory, per gateway task.

A permit is held to the end of the reply's body, drains included, because that is how long it costs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from llmplatform.errors import GatewayOverloaded, TenantOverloaded
from llmplatform.policy import TenantPolicy

_RETRY_AFTER_S = 1


class InFlight:
    """Bounded admission."""

    def __init__(self, *, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        self.total = 0
        self.draining = False
        """Set at shutdown: nothing new is admitted."""
        self._by_tenant: dict[str, int] = {}

    @contextmanager
    def permit(self, policy: TenantPolicy) -> Iterator[None]:
        """Hold a place for the length of the block. Raises GatewayOverloaded or TenantOverloaded."""
        if self.draining:
            raise GatewayOverloaded("this gateway is shutting down; try again", retry_after_s=_RETRY_AFTER_S)
        if self.total >= self.max_in_flight:
            raise GatewayOverloaded("the gateway is at its limit of requests", retry_after_s=_RETRY_AFTER_S)
        held = self._by_tenant.get(policy.tenant_id, 0)
        if held >= policy.max_in_flight:
            raise TenantOverloaded(
                f"{held} requests of this tenant are in flight, the limit of its policy",
                retry_after_s=_RETRY_AFTER_S,
            )
        self.total += 1
        self._by_tenant[policy.tenant_id] = held + 1
        try:
            yield
        finally:
            self.total -= 1
            left = self._by_tenant[policy.tenant_id] - 1
            if left:
                self._by_tenant[policy.tenant_id] = left
            else:
                del self._by_tenant[policy.tenant_id]
