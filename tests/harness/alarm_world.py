"""A world to watch, for tests of alarms: two tenants, the platform's own catalogue, scores and a judge."""

from dataclasses import replace
from decimal import Decimal

from llmplatform.catalogue import load_catalogue
from llmplatform.ids import TenantId
from llmplatform.policy import Objectives, TenantPolicy
from watch.alarming.alarm_wire import fields_of, kind_of
from watch.alarming.definitions import AccountNames, AlarmDefinition, definitions
from watch.alarming.planning import PresentAlarm
from watch.limits import Limits
from watch.tables.targets import Scores, World

CONSOLE = "https://watch.example.com"
ACCOUNT = AccountNames("123456789012", "us-east-1", CONSOLE)
ACME = TenantPolicy(
    tenant_id=TenantId("acme"),
    display_name="Acme Inc.",
    daily_budget_usd=Decimal(5),
    objectives=Objectives(ttft_p99_ms=3_000),
)
GLOBEX = TenantPolicy(tenant_id=TenantId("globex"))
WORLD = World(
    load_catalogue(),
    (ACME, GLOBEX),
    (Scores("acme", "smollm2-135m", "relevance"), Scores("globex", "smollm2-135m", "relevance")),
    ("abc123",),
)


def alarms(world: World = WORLD, limits: Limits | None = None) -> dict[str, AlarmDefinition]:
    """All definitions of a world by name, in order."""
    return {one.name: one for one in definitions(world, Limits() if limits is None else limits, ACCOUNT)}


def present(definition: AlarmDefinition) -> PresentAlarm:
    """The alarm as it is there once it was put."""
    return PresentAlarm(
        name=definition.name,
        kind=kind_of(definition),
        arn=ACCOUNT.alarm_arn(definition.name),
        fields=fields_of(definition),
        tags=dict(definition.told.tags),
        depends_on=definition.depends_on,
    )


def foreign(alarm: PresentAlarm) -> PresentAlarm:
    """The same alarm, made by somebody else."""
    return replace(alarm, tags={})
