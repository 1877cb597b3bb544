"""The table of alarms, with the rule behind it: alarm on a metric that already says it.

No alarm does arithmetic. A rate is the average of a metric that is 0 or 1, a budget is published in percent,
the detector publishes its state. Where something may flap, `of` is at least twice `datapoints`: what is bad
every other minute always has its datapoints, so that the alarm stays on until it is truly quiet and rings
once. Less than twice would go on and off with it. Who is called about what is a composite where
several alarms are one incident: its parts tell nobody, and the warnings about the same thing are suppressed
while it rings. Pure.
"""

from typing import Final

from watch.tables.alarms_of_platform import PLATFORM_RULES
from watch.tables.alarms_of_targets import ENDPOINT_RULES, JUDGE_RULES, MODEL_RULES, SCORES_RULES
from watch.tables.alarms_of_tenants import TENANT_RULES
from watch.tables.rules import Rule
from watch.tables.targets import Scope

RULES: Final[tuple[Rule, ...]] = (
    *ENDPOINT_RULES,
    *MODEL_RULES,
    *TENANT_RULES,
    *SCORES_RULES,
    *JUDGE_RULES,
    *PLATFORM_RULES,
)
BY_KEY: Final = {rule.key: rule for rule in RULES}


def rules_of(scope: Scope) -> tuple[Rule, ...]:
    """The rules about one kind of thing."""
    return tuple(rule for rule in RULES if rule.scope == scope)
