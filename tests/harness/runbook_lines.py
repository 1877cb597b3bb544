"""The lines that a runbook has of each of its rules, as the table of alarms has them.

A page is held against them, so that a changed threshold makes a page fail that still tells the old one.
"""

import textwrap
from collections.abc import Iterator
from decimal import Decimal
from typing import assert_never

from llmplatform.catalogue import ModelEntry
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from watch.alarms import RULES
from watch.limits import Limits
from watch.tables.rules import AllOf, AnyOf, Comparison, Condition, MetricRule, Missing, Rule, Threshold
from watch.tables.targets import EndpointVariant, Judge, Model, Platform, Scope, Scores, Target, Tenant

WIDTH = 115

_EXAMPLES: dict[Scope, Target] = {
    "platform": Platform(),
    "tenant": Tenant(
        TenantPolicy(tenant_id=TenantId("acme"), daily_budget_usd=Decimal(10), daily_budget_tokens=1_000_000)
    ),
    "endpoint": EndpointVariant("llama", "AllTraffic", "ml.g5.xlarge", 1),
    "model": Model(
        ModelEntry(
            model_id="small",
            endpoint_type="bedrock",
            backend_model_id="amazon.nova-micro-v1:0",
            dialect="converse",
            price_key="amazon.nova-micro",
        )
    ),
    "scores": Scores("acme", "small", "relevance"),
    "judge": Judge("9ed3d4edfed76d71"),
}
_COMPARED: dict[Comparison, str] = {
    "GreaterThanThreshold": "above",
    "GreaterThanOrEqualToThreshold": "at least",
    "LessThanThreshold": "below",
    "LessThanOrEqualToThreshold": "at most",
}
_MISSING: dict[Missing, str] = {
    "breaching": "no datapoint counts as bad",
    "notBreaching": "no datapoint counts as good",
    "ignore": "no datapoint changes nothing",
    "missing": "no datapoint is not judged",
}


def pages() -> dict[str, list[Rule]]:
    """The rules of each page, by its name."""
    found: dict[str, list[Rule]] = {}
    for rule in RULES:
        found.setdefault(rule.page, []).append(rule)
    return found


def severity_of(rules: list[Rule]) -> str:
    """The gravest of those that tell somebody."""
    order = ("critical", "warning", "information")
    return min((rule.severity for rule in rules if _tells(rule)), key=order.index)


def lines_of(rules: list[Rule]) -> str:
    """A bullet a rule, wrapped."""
    return "\n".join(
        textwrap.fill(
            f"- {_line(rule)}",
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for rule in rules
    )


def _tells(rule: Rule) -> bool:
    return rule.notifies if isinstance(rule, MetricRule) else True


def _line(rule: Rule) -> str:
    told = rule.severity if _tells(rule) else "part"
    body = ", ".join(_words(rule)) if isinstance(rule, MetricRule) else _condition(rule.condition)
    quiet = f"; silent while `{rule.suppressed_by}` rings" if rule.suppressed_by else ""
    return f"`{rule.key}` ({told}): {body}{quiet}."


def _words(rule: MetricRule) -> Iterator[str]:
    metric = rule.reading.metric
    sides = [
        f"`{name}={value}`" if not value.startswith("$") else f"`{name}`"
        for name, value in rule.reading.dimensions
    ]
    yield f"{rule.reading.statistic} of `{metric.name}` (`{metric.namespace}`, by {' and '.join(sides)})"
    yield f"over {_span(rule.period_s)}"
    yield _held_against(rule)
    yield f"in {rule.datapoints} of {rule.of}"
    yield _MISSING[rule.missing]


def _held_against(rule: MetricRule) -> str:
    threshold = rule.threshold
    if rule.anomaly:
        value = threshold.value(_EXAMPLES[rule.scope], Limits())
        return f"under CloudWatch's band of {value:g} {threshold.unit} (`{threshold.setting}`)"
    compared = _COMPARED[rule.comparison]
    if threshold.source == "policy":
        return f"{compared} `{threshold.setting}` of the tenant's policy, in {threshold.unit}"
    value = threshold.value(_EXAMPLES[rule.scope], Limits())
    unit = "" if threshold.unit == "state" else f" {threshold.unit}"
    if threshold.source == "instance type" and threshold.setting:
        unit = " % times the number of GPUs"
    return f"{compared} {value:.10g}{unit}{_setting(threshold)}"


def _setting(threshold: Threshold) -> str:
    if not threshold.setting:
        return ""
    names = [
        f"`{part.removeprefix('policy ')}` of the tenant's policy"
        if part.startswith("policy ")
        else f"`{part}`"
        for part in threshold.setting.split(", ")
    ]
    return f" ({', '.join(names)})"


def _condition(condition: Condition, *, inner: bool = False) -> str:
    match condition:
        case str():
            return f"`{condition}`"
        case AllOf(parts):
            text = " and ".join(_condition(part, inner=True) for part in parts)
        case AnyOf(parts):
            text = " or ".join(_condition(part, inner=True) for part in parts)
        case _:
            assert_never(condition)
    return f"({text})" if inner else text


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
