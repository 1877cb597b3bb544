"""How many alarms there will be: counted on those that `watch apply` would put for one tenant and one series.

Not guessed from the table of rules: the same definitions are made, for a tenant with both budgets and for one
series of scores, and multiplied. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from llmplatform.catalogue import Catalogue
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from watch.alarming.counting import AlarmCounts, alarms_in
from watch.alarming.definitions import AccountNames, MetricAlarm, definitions
from watch.limits import Limits
from watch.tables.targets import Scope, Scores, World

_TENANT: Final = TenantPolicy(
    tenant_id=TenantId("estimate"), daily_budget_usd=Decimal(1), daily_budget_tokens=1
)
_SCORES: Final = Scores("estimate", "model", "dimension")
_ACCOUNT: Final = AccountNames("000000000000", "us-east-1")


@dataclass(frozen=True, slots=True)
class AlarmUnits:
    """Alarms of one tenant, of one series of scores, and those that do not grow with either."""

    tenant: AlarmCounts
    scores: AlarmCounts
    fixed: AlarmCounts

    def of(self, tenants: int, series: int) -> AlarmCounts:
        """The alarms of so many tenants and series of scores."""

        def number(kind: str) -> int:
            fixed, tenant, scores = (getattr(each, kind) for each in (self.fixed, self.tenant, self.scores))
            return int(fixed + tenants * tenant + series * scores)

        return AlarmCounts(
            standard=number("standard"),
            high_resolution=number("high_resolution"),
            composite=number("composite"),
            bands=number("bands"),
        )


def alarm_units(catalogue: Catalogue, limits: Limits, *, bands: bool) -> AlarmUnits:
    """What to multiply; `bands` is whether scores have alarms on CloudWatch's anomaly band."""
    world = World(catalogue, tenants=(_TENANT,), scores=(_SCORES,), judges=("judge",))
    made = [
        definition
        for definition in definitions(world, limits, _ACCOUNT)
        if bands or not (isinstance(definition, MetricAlarm) and definition.band)
    ]

    def counted(scopes: Iterable[Scope]) -> AlarmCounts:
        wanted = frozenset(scopes)
        return alarms_in(one for one in made if one.told.target.scope in wanted)

    return AlarmUnits(
        tenant=counted(["tenant"]),
        scores=counted(["scores"]),
        fixed=counted(["platform", "endpoint", "model", "judge"]),
    )
