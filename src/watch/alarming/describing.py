"""What an alarm says to the person who is called: its description, which CloudWatch puts into the message.

It names what is wrong and with whom, the threshold and where it comes from, what it means, and two links. The
value and since when are in CloudWatch's own message beside it (`NewStateReason`, `StateChangeTime`). Pure.
"""

from collections.abc import Mapping
from typing import Final, assert_never
from urllib.parse import quote

from watch.alarming.alarm_limits import MAX_DESCRIPTION_CHARS
from watch.limits import Limits
from watch.tables.rules import (
    AllOf,
    AnyOf,
    Comparison,
    CompositeRule,
    Condition,
    MetricRule,
    Missing,
    Rule,
    Threshold,
    keys_in,
)
from watch.tables.targets import EndpointVariant, Judge, Model, Platform, Scores, Target, Tenant

_COMPARED: Final[dict[Comparison, str]] = {
    "GreaterThanThreshold": "above",
    "GreaterThanOrEqualToThreshold": "at or above",
    "LessThanThreshold": "below",
    "LessThanOrEqualToThreshold": "at or below",
}
_MISSING: Final[dict[Missing, str]] = {
    "breaching": "no data counts as a breach",
    "notBreaching": "no data counts as good",
    "ignore": "no data changes nothing",
    "missing": "without data the state is unknown",
}
_PART: Final = "\n- "
"""Begins the line of a composite's part."""
_HOUR_S: Final = 3_600
_MINUTE_S: Final = 60
_MANY: Final = 1_000


def describe_metric_alarm(
    rule: MetricRule, target: Target, limits: Limits, *, name: str, console_url: str | None
) -> str:
    """The description of an alarm on a metric, at most 1,024 characters."""
    return _text(rule, target, condition_of(rule, target, limits), name=name, console_url=console_url)


def describe_composite(
    rule: CompositeRule,
    parts: Mapping[str, Rule],
    target: Target,
    limits: Limits,
    *,
    name: str,
    console_url: str | None,
) -> str:
    """The description of an alarm on others, at most 1,024 characters; `parts` are those that there are."""
    lines = [f"Rings while {_said(rule.condition, parts)}:"]
    for key in keys_in(rule.condition):
        part = parts.get(key)
        if part is not None:
            short = _short(part, target, limits) if isinstance(part, MetricRule) else part.title
            lines.append(f"{_PART.lstrip()}{key}: {short}")
    return _text(rule, target, "\n".join(lines), name=name, console_url=console_url)


def subject_of(target: Target) -> str:
    """Whom or what an alarm is about, in words."""
    match target:
        case Platform():
            return "the platform"
        case Tenant(policy):
            shown = f" ({policy.display_name})" if policy.display_name else ""
            return f"tenant {policy.tenant_id}{shown}"
        case EndpointVariant(endpoint_name, variant_name, instance_type, gpu_count):
            gpus = f", {gpu_count} GPUs" if gpu_count > 1 else ", 1 GPU" if gpu_count else ""
            return f"endpoint {endpoint_name}, variant {variant_name} ({instance_type}{gpus})"
        case Model(entry):
            return f"model {entry.model_id} ({entry.endpoint_type})"
        case Scores(tenant_id, model_id, eval_dimension):
            return f"tenant {tenant_id}, model {model_id}, dimension {eval_dimension}"
        case Judge(identity):
            return f"judge {identity}"
        case _:
            assert_never(target)


def condition_of(rule: MetricRule, target: Target, limits: Limits) -> str:
    """When the rule rings for a target: what is read, the threshold, where it comes from, M of N."""
    read = f"{rule.reading.statistic} of {rule.reading.metric.namespace} {rule.reading.metric.name}"
    held = held_to(rule, target, limits)
    return f"{read} {held} ({origin_of(rule.threshold)}) {periods_of(rule)}; {_MISSING[rule.missing]}."


def held_to(rule: MetricRule, target: Target, limits: Limits) -> str:
    """Comparison, threshold and unit: `above 4,000 ms`."""
    value = rule.threshold.value(target, limits)
    if rule.anomaly:
        return f"below CloudWatch's anomaly band of {_number(value)} {rule.threshold.unit}"
    return f"{_COMPARED[rule.comparison]} {_with_unit(value, rule.threshold)}"


def origin_of(threshold: Threshold) -> str:
    """Where a threshold comes from and what changes it."""
    match threshold.source:
        case "policy":
            return f"the tenant's policy: {threshold.setting}"
        case "settings":
            return f"set by {threshold.setting}"
        case "instance type":
            by = f", {threshold.setting}" if threshold.setting else ""
            return f"by the instance type's GPUs{by}"
        case "fixed":
            return "fixed"
        case _:
            assert_never(threshold.source)


def alarm_link(console_url: str | None, name: str) -> str | None:
    """The console's page of an alarm: the view, with the time range set around its last change."""
    return None if console_url is None else f"{console_url.rstrip('/')}/alarms/{quote(name, safe='')}"


def runbook_link(console_url: str | None, page: str) -> str:
    """The page of the runbook: in the console, else in the repository."""
    if console_url is None:
        return f"docs/runbooks/{page}.md"
    return f"{console_url.rstrip('/')}/runbooks/{quote(page, safe='')}"


def _short(rule: MetricRule, target: Target, limits: Limits) -> str:
    reading = rule.reading
    held = held_to(rule, target, limits)
    if rule.of == 1:
        periods = f"over {span_of(rule.period_s)}"
    elif rule.period_s == _MINUTE_S:
        periods = f"{rule.datapoints} of {rule.of} min"
    else:
        periods = f"{rule.datapoints} of {rule.of} x {span_of(rule.period_s)}"
    return f"{reading.statistic} {reading.metric.name} {held}, {periods}"


def _text(rule: Rule, target: Target, condition: str, *, name: str, console_url: str | None) -> str:
    """Links always fit: it is the end of a long condition that is cut, whole parts of a composite's."""
    view = alarm_link(console_url, name)
    links = [
        *([f"View: {view}"] if view is not None else []),
        f"Runbook: {runbook_link(console_url, rule.page)}",
    ]
    end = "\n".join(links)
    words = "\n".join((f"{rule.title}: {subject_of(target)}.", rule.meaning, condition))
    room = MAX_DESCRIPTION_CHARS - len(end) - 1
    if len(words) > room:
        cut = words[: room - 3]
        words = f"{cut.rpartition(_PART)[0]}\n..." if _PART in cut else f"{cut}..."
    return f"{words}\n{end}"


def periods_of(rule: MetricRule) -> str:
    """M of N, in words."""
    span = span_of(rule.period_s)
    if rule.of == 1:
        return f"over {span}"
    if rule.datapoints == rule.of:
        return f"in {rule.of} periods of {span} in a row"
    return f"in {rule.datapoints} of {rule.of} periods of {span}"


def span_of(seconds: int) -> str:
    """A period in words: `5 min`."""
    if seconds % _HOUR_S == 0:
        return f"{seconds // _HOUR_S} h"
    return f"{seconds // _MINUTE_S} min" if seconds % _MINUTE_S == 0 else f"{seconds} s"


def _with_unit(value: float | None, threshold: Threshold) -> str:
    unit = threshold.unit
    if unit == "state":
        return _number(value)
    space = "" if unit.startswith("%") else " "
    return f"{_number(value)}{space}{unit}" if unit else _number(value)


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= _MANY else f"{value:g}"


def _said(condition: Condition, parts: Mapping[str, Rule], *, inside: bool = False) -> str:
    """The condition, without what there is not."""
    match condition:
        case str():
            return condition if condition in parts else ""
        case AllOf(several):
            word = " and "
        case AnyOf(several):
            word = " or "
        case _:
            assert_never(condition)
    said = [text for part in several if (text := _said(part, parts, inside=True))]
    joined = word.join(said)
    return f"({joined})" if inside and len(said) > 1 else joined
