"""The table of docs/alarms.md, as the table of alarms has it; `python -m harness.alarm_table` writes it."""

from decimal import Decimal
from pathlib import Path
from typing import Final

from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from watch.alarming.describing import held_to, periods_of
from watch.alarms import rules_of
from watch.limits import Limits
from watch.tables.rules import CompositeRule, MetricRule, Rule
from watch.tables.targets import SCOPES, EndpointVariant, Platform, Scope, Target, Tenant

DOCUMENT: Final = Path(__file__).parents[2] / "docs/alarms.md"
BEGIN: Final = "<!-- the table begins; it is written by tests/harness/alarm_table.py -->\n"
END: Final = "<!-- the table ends -->\n"
_ABOUT: Final[dict[Scope, str]] = {
    "tenant": "Each tenant",
    "endpoint": "Each variant of an endpoint",
    "model": "Each model of the catalogue",
    "scores": "Each tenant, model and dimension with scores",
    "judge": "Each judge that reports",
    "platform": "The platform itself",
}
_LIMITS: Final = Limits.model_construct()
"""The defaults, whatever the environment says."""
_TENANT: Final = TenantPolicy(tenant_id=TenantId("acme"), daily_budget_usd=Decimal(1), daily_budget_tokens=1)


def table() -> str:
    """All rules by scope, in Markdown."""
    return "\n".join(part for scope in SCOPES for part in _section(scope))


def written(document: str) -> str:
    """The document with the table as it is now."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _section(scope: Scope) -> list[str]:
    return [
        f"### {_ABOUT[scope]}",
        "",
        "| alarm | reads | rings | changed by | severity | silent while |",
        "|---|---|---|---|---|---|",
        *(_row(rule) for rule in rules_of(scope)),
        "",
    ]


def _row(rule: Rule) -> str:
    link = f"[{rule.key}](runbooks/{rule.page}.md)"
    told = "a part" if isinstance(rule, MetricRule) and not rule.notifies else rule.severity
    cells = (link, *_condition(rule), told, rule.suppressed_by or "")
    return f"| {' | '.join(cells)} |"


def _condition(rule: Rule) -> tuple[str, str, str]:
    if isinstance(rule, CompositeRule):
        return "other alarms", rule.title, ""
    metric = rule.reading.metric
    held = f"{held_to(rule, _example(rule.scope), _LIMITS)}, {periods_of(rule)}"
    return f"{rule.reading.statistic} `{metric.name}`", held, _origin(rule)


def _example(scope: Scope) -> Target:
    """Whose limits are shown: a tenant with the default policy, a variant with one GPU."""
    match scope:
        case "tenant":
            return Tenant(_TENANT)
        case "endpoint":
            return EndpointVariant("llama", "AllTraffic", "ml.g5.xlarge", 1)
        case _:
            return Platform()


def _origin(rule: MetricRule) -> str:
    threshold = rule.threshold
    match threshold.source:
        case "policy":
            return f"policy `{threshold.setting}`"
        case "fixed":
            return "nothing"
        case "instance type" | "settings":
            return " ".join(
                f"`{word.strip(',')}`" if word.isupper() else word for word in _words(threshold.setting)
            )


def _words(setting: str) -> list[str]:
    return setting.replace(",", " ").split() or ["the instance type"]


def main() -> None:
    """Write it."""
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
