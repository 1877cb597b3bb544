"""How far CloudWatch's token metrics are from the ledger: per tenant, over the hours that were computed.

The ledger is the truth; what differs was lost or counted twice on the way of the metrics, or never came to
the ledger. Where both come from is `metric_reader`'s and `ledger_reader`'s. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from costagg.usage import ClientTokens

HourlyTokens = Mapping[datetime, Mapping[str, ClientTokens]]
"""By hour and tenant."""

_WHOLLY: Final = 100.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A tenant's tokens in the metrics, held against the ledger's."""

    tenant_id: str
    ledger: ClientTokens
    metrics: ClientTokens
    signed_percent: float
    """Above 0 the metrics have more. Of prompt and output, whichever differs more: in their sum, one that
    is lost could hide behind one that is doubled, and output, which costs the most, behind a long prompt.
    """

    @property
    def percent(self) -> float:
        """How far they are apart: what is published."""
        return abs(self.signed_percent)


def differences(ledger: HourlyTokens, metrics: HourlyTokens) -> tuple[Difference, ...]:
    """Of each tenant of which either has tokens in the ledger's hours, by tenant; the hours are added up.

    A tenant of which neither has any is left out: nothing is known of it, which is not 0.
    """
    ours, theirs = _added_up(ledger, ledger), _added_up(metrics, ledger)
    none = ClientTokens()
    found = (
        _difference(tenant, ours.get(tenant, none), theirs.get(tenant, none))
        for tenant in sorted(ours.keys() | theirs.keys())
    )
    return tuple(difference for difference in found if difference is not None)


def _added_up(tokens: HourlyTokens, hours: HourlyTokens) -> dict[str, ClientTokens]:
    total: dict[str, ClientTokens] = {}
    for hour in hours:
        for tenant_id, one in tokens.get(hour, {}).items():
            sums = total.setdefault(tenant_id, ClientTokens())
            sums.prompt += one.prompt
            sums.output += one.output
    return total


def _difference(tenant_id: str, ledger: ClientTokens, metrics: ClientTokens) -> Difference | None:
    pairs = ((ledger.prompt, metrics.prompt), (ledger.output, metrics.output))
    percents = [_percent(truth, seen) for truth, seen in pairs if truth or seen]
    return Difference(tenant_id, ledger, metrics, max(percents, key=abs)) if percents else None


def _percent(truth: int, seen: int) -> float:
    return (seen - truth) * 100 / truth if truth else _WHOLLY
