"""What an alarm rule is: a reading held against a threshold, or other rules taken together. Pure.

The rules themselves are in `alarms`; what becomes of them for each tenant and endpoint is in `definitions`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from watch.limits import Limits
from watch.tables.readings import Reading
from watch.tables.targets import Scope, Target

Severity = Literal["critical", "warning", "information"]
"""Critical wakes somebody, a warning is read on the next day, information is shown and sent to nobody."""
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "information")

Comparison = Literal[
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
]
Missing = Literal["breaching", "notBreaching", "ignore", "missing"]
"""What a period without a datapoint counts as; `ignore` keeps the state."""

Source = Literal["policy", "settings", "instance type", "fixed"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number, and where it comes from."""

    source: Source
    value: Callable[[Target, Limits], float | None]
    """None: this target has no such alarm, because nobody set a budget, say."""
    unit: str
    """As a person reads it."""
    setting: str = ""
    """The variable or field of the policy that changes it."""


@dataclass(frozen=True, slots=True)
class MetricRule:
    """Rings when at least `datapoints` of the last `of` periods breach the threshold.

    With `of` above `datapoints` it stays on until enough periods are quiet again: what flaps rings once.
    """

    key: str
    scope: Scope
    title: str
    """What is wrong, in the words of somebody who is called."""
    meaning: str
    """What it means to tenants, money or data; one or two sentences."""
    reading: Reading
    comparison: Comparison
    threshold: Threshold
    period_s: int
    datapoints: int
    of: int
    missing: Missing
    severity: Severity
    notifies: bool = True
    """False for a part of a composite, which tells nobody by itself."""
    suppressed_by: str | None = None
    """Key of the alarm that speaks for this one while it rings: of the same target, or of the platform."""
    runbook: str = ""
    """Page of the runbooks; the key, unless several rules share one."""
    anomaly: bool = False
    """Held against CloudWatch's anomaly band instead: the threshold is the band's width in deviations."""

    @property
    def page(self) -> str:
        """Name of its page in the runbooks."""
        return self.runbook or self.key


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when all are."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when one is."""

    parts: "tuple[Condition, ...]"


Condition = str | AllOf | AnyOf
"""The key of a rule that rings, or several taken together."""


@dataclass(frozen=True, slots=True)
class CompositeRule:
    """Rings when a condition on other rules of the same target holds."""

    key: str
    scope: Scope
    title: str
    meaning: str
    condition: Condition
    severity: Severity
    suppressed_by: str | None = None
    runbook: str = ""

    @property
    def page(self) -> str:
        """Name of its page in the runbooks."""
        return self.runbook or self.key


Rule = MetricRule | CompositeRule


def all_of(*parts: Condition) -> AllOf:
    """All of them."""
    return AllOf(parts)


def any_of(*parts: Condition) -> AnyOf:
    """One of them."""
    return AnyOf(parts)


def keys_in(condition: Condition) -> Iterator[str]:
    """The rules that a condition names."""
    match condition:
        case str():
            yield condition
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from keys_in(part)
