"""The alarms that there should be: each rule of the table for each target of its scope. Pure.

What rings without being sent is a metric alarm that stands for itself or as a part; what is sent is a metric
alarm, or a composite where another alarm may speak for it (only composites have a suppressor). How a
definition is put to CloudWatch is in `alarm_wire`, what becomes of those that are there already in
`planning`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from llmplatform import account_budget
from llmplatform.aws.tables import CRITICAL_ALARMS, WARNING_ALARMS
from watch.alarming import alarm_limits
from watch.alarming.describing import describe_composite, describe_metric_alarm
from watch.alarms import BY_KEY, RULES, rules_of
from watch.limits import Limits
from watch.tables.readings import Series
from watch.tables.rules import (
    AllOf,
    AnyOf,
    Comparison,
    CompositeRule,
    Condition,
    MetricRule,
    Missing,
    Rule,
    Severity,
    keys_in,
)
from watch.tables.targets import SCOPES, Platform, Scores, Target, Tenant, World

PREFIX: Final = "llm-platform/"
"""Every alarm of ours has a name that begins so; not every alarm whose name begins so is ours."""
NOTICE: Final = ".notice"

MANAGED_BY: Final = "llm-platform:managed-by"
MANAGED: Final = "watch"
"""What makes an alarm ours."""
SCOPE_TAG: Final = "llm-platform:scope"
TENANT_TAG: Final = "llm-platform:tenant"
SEVERITY_TAG: Final = "llm-platform:severity"
COST_TAG: Final = (account_budget.COST_TAG, "alarms")
"""The tag by which the bill tells what observing costs."""

SUPPRESSOR_WAIT_S: Final = 120
"""An alarm and the one that speaks for it see the same minute at the same time, but one of them may need a
minute more: gpu-failing is two minutes of pressure *and* of errors in two of four. Two minutes let it speak
first, and delay a warning by as much; what is critical has no suppressor."""
SUPPRESSOR_EXTENSION_S: Final = 300
"""After the incident its warnings go out one by one within their windows (M of N, up to five minutes): they
are to go out quietly, and what still rings then is told."""


@dataclass(frozen=True, slots=True)
class AccountNames:
    """Where alarms are made, and where people read about them."""

    account_id: str
    region: str
    console_url: str | None = None
    """The console's public address; None where nobody has told it."""
    partition: str = "aws"

    def topic_arn(self, severity: Severity) -> str | None:
        """The topic of a severity; None for what is sent to nobody."""
        match severity:
            case "critical":
                name = CRITICAL_ALARMS.name
            case "warning":
                name = WARNING_ALARMS.name
            case "information":
                return None
            case _:
                assert_never(severity)
        return f"arn:{self.partition}:sns:{self.region}:{self.account_id}:{name}"

    def alarm_arn(self, name: str) -> str:
        """An alarm's ARN."""
        return f"arn:{self.partition}:cloudwatch:{self.region}:{self.account_id}:alarm:{name}"


@dataclass(frozen=True, slots=True)
class Told:
    """What every alarm has, whatever it rings on."""

    name: str
    rule: Rule
    target: Target
    description: str
    actions: tuple[str, ...]
    """Topics that are told when it begins and when it ends."""

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """Tags that make it ours, and say what it is about."""
        owner = tenant_of(self.target)
        return (
            (MANAGED_BY, MANAGED),
            (SCOPE_TAG, self.target.scope),
            (SEVERITY_TAG, self.rule.severity),
            *(((TENANT_TAG, owner),) if owner is not None else ()),
            COST_TAG,
        )


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """An alarm on one series: `datapoints` of the last `of` periods beyond the threshold.

    With `band` the threshold is the width of CloudWatch's anomaly band, in standard deviations.
    """

    told: Told
    series: Series
    comparison: Comparison
    threshold: float
    period_s: int
    datapoints: int
    of: int
    missing: Missing
    band: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.told.name

    @property
    def depends_on(self) -> frozenset[str]:
        """None: it can be put first."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class CompositeAlarm:
    """An alarm on the state of others, silent while its suppressor rings."""

    told: Told
    condition: Condition
    """Of whole names of alarms."""
    suppressor: str | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.told.name

    @property
    def alarm_rule(self) -> str:
        """The condition in CloudWatch's words."""
        return _rule_text(self.condition)

    @property
    def depends_on(self) -> frozenset[str]:
        """Alarms that must be there before it."""
        suppressor = () if self.suppressor is None else (self.suppressor,)
        return frozenset((*keys_in(self.condition), *suppressor))


AlarmDefinition = MetricAlarm | CompositeAlarm


def definitions(
    world: World, limits: Limits, account: AccountNames, *, there: Collection[str] | None = None
) -> tuple[AlarmDefinition, ...]:
    """Every alarm that there should be, children before the composites that name them.

    `there` are the names of alarms that are there: one about the platform speaks for others only if it is,
    for CloudWatch takes no composite whose suppressor is not; None is that those of the platform will be.
    Raises AlarmTooLarge for one that CloudWatch would refuse.
    """
    return tuple(
        definition
        for scope in SCOPES
        for target in world.targets(scope)
        for definition in definitions_of(target, limits, account, there=there)
    )


def definitions_of(
    target: Target,
    limits: Limits,
    account: AccountNames,
    rules: Iterable[Rule] | None = None,
    *,
    there: Collection[str] | None = None,
) -> tuple[AlarmDefinition, ...]:
    """The alarms about one target, children before the composites that name them; `there` as above."""
    taken = rules_of(target.scope) if rules is None else tuple(rules)
    return tuple(_OfTarget(target, limits, account, taken, there).all())


def alarm_name(target: Target, key: str) -> str:
    """The name of a rule's alarm for a target."""
    return f"{PREFIX}{target.name}/{key}"


def rule_named(name: str) -> Rule | None:
    """The rule behind an alarm's name; None for one that is not of the table."""
    key = name.rpartition("/")[2].removesuffix(NOTICE)
    return next((rule for rule in RULES if rule.key == key), None) if name.startswith(PREFIX) else None


def tenant_of(target: Target) -> str | None:
    """The tenant that an alarm belongs to and goes away with."""
    match target:
        case Tenant(policy):
            return policy.tenant_id
        case Scores():
            return target.tenant_id
        case _:
            return None


def prefixes_of_tenant(tenant_id: str) -> tuple[str, ...]:
    """What the names of a tenant's alarms begin with."""
    return (f"{PREFIX}tenant/{tenant_id}/", f"{PREFIX}scores/{tenant_id}/")


class _OfTarget:
    """The alarms about one target: which of its rules become one, and what is left of conditions then."""

    def __init__(
        self,
        target: Target,
        limits: Limits,
        account: AccountNames,
        rules: tuple[Rule, ...],
        there: Collection[str] | None,
    ) -> None:
        self._target = target
        self._limits = limits
        self._account = account
        self._rules: Mapping[str, Rule] = {rule.key: rule for rule in rules}
        self._there = there

    def all(self) -> Iterator[AlarmDefinition]:
        composites: list[CompositeAlarm] = []
        for rule in self._rules.values():
            if not self._is_there(rule.key):
                continue
            if isinstance(rule, MetricRule):
                yield self._metric_alarm(rule)
                if self._speaks_through_notice(rule):
                    composites.append(self._notice(rule))
            else:
                composites.append(self._composite(rule))
        yield from in_order(composites)

    def _is_there(self, key: str) -> bool:
        rule = self._rules.get(key)
        if rule is None:
            return False
        if isinstance(rule, CompositeRule):
            return self._left_of(rule.condition) is not None
        return (
            rule.threshold.value(self._target, self._limits) is not None
            and rule.reading.variables <= self._target.variables.keys()
        )

    def _left_of(self, condition: Condition) -> Condition | None:
        """The condition with the names of alarms, without what is not there; None when nothing is left."""
        match condition:
            case str():
                return alarm_name(self._target, condition) if self._is_there(condition) else None
            case AllOf(parts):
                left = tuple(self._left_of(part) for part in parts)
                whole = tuple(part for part in left if part is not None)
                return _alone_or(AllOf(whole)) if len(whole) == len(left) else None
            case AnyOf(parts):
                some = tuple(part for part in map(self._left_of, parts) if part is not None)
                return _alone_or(AnyOf(some)) if some else None
            case _:
                assert_never(condition)

    def _suppressor(self, rule: Rule) -> str | None:
        key = rule.suppressed_by
        if key is None:
            return None
        if BY_KEY[key].scope == rule.scope:
            return alarm_name(self._target, key) if self._is_there(key) else None
        name = alarm_name(Platform(), key)
        return name if self._there is None or name in self._there else None

    def _speaks_through_notice(self, rule: MetricRule) -> bool:
        return bool(self._actions(rule)) and self._suppressor(rule) is not None

    def _actions(self, rule: Rule) -> tuple[str, ...]:
        if isinstance(rule, MetricRule) and not rule.notifies:
            return ()
        topic = self._account.topic_arn(rule.severity)
        return () if topic is None else (topic,)

    def _metric_alarm(self, rule: MetricRule) -> MetricAlarm:
        threshold = rule.threshold.value(self._target, self._limits)
        if threshold is None:
            raise ValueError(f"{rule.key}: no threshold for {self._target.name}")
        silent = self._speaks_through_notice(rule)
        name = alarm_name(self._target, rule.key)
        alarm = MetricAlarm(
            self._told(rule, name, self._metric_text(rule), () if silent else self._actions(rule)),
            series=rule.reading.series(self._target.variables),
            comparison=rule.comparison,
            threshold=threshold,
            period_s=rule.period_s,
            datapoints=rule.datapoints,
            of=rule.of,
            missing=rule.missing,
            band=rule.anomaly,
        )
        alarm_limits.check_window(name, alarm.period_s, alarm.of)
        return alarm

    def _notice(self, rule: MetricRule) -> CompositeAlarm:
        """The composite that tells of a metric alarm unless its suppressor speaks for it."""
        alarm = alarm_name(self._target, rule.key)
        told = self._told(rule, f"{alarm}{NOTICE}", self._metric_text(rule), self._actions(rule))
        return _checked(CompositeAlarm(told, alarm, self._suppressor(rule)))

    def _composite(self, rule: CompositeRule) -> CompositeAlarm:
        condition = self._left_of(rule.condition)
        if condition is None:
            raise ValueError(f"{rule.key}: nothing to ring on for {self._target.name}")
        name = alarm_name(self._target, rule.key)
        text = describe_composite(
            rule,
            {key: self._rules[key] for key in keys_in(rule.condition) if self._is_there(key)},
            self._target,
            self._limits,
            name=name,
            console_url=self._account.console_url,
        )
        told = self._told(rule, name, text, self._actions(rule))
        return _checked(CompositeAlarm(told, condition, self._suppressor(rule)))

    def _metric_text(self, rule: MetricRule) -> str:
        """The same for an alarm and for its notice: the link shows the metric."""
        return describe_metric_alarm(
            rule,
            self._target,
            self._limits,
            name=alarm_name(self._target, rule.key),
            console_url=self._account.console_url,
        )

    def _told(self, rule: Rule, name: str, description: str, actions: tuple[str, ...]) -> Told:
        told = Told(name, rule, self._target, description, actions)
        alarm_limits.check_name(name)
        alarm_limits.check_text(name, description, told.tags)
        alarm_limits.check_actions(name, actions)
        return told


def in_order(composites: Iterable[CompositeAlarm]) -> Iterator[CompositeAlarm]:
    """Composites, each after those that its rule or its suppressor names. Raises ValueError for a circle."""
    waiting = {alarm.name: alarm for alarm in composites}
    while waiting:
        ready = [alarm for alarm in waiting.values() if not alarm.depends_on & waiting.keys()]
        if not ready:
            raise ValueError(f"composites that wait for each other: {', '.join(sorted(waiting))}")
        yield from ready
        for alarm in ready:
            del waiting[alarm.name]


def _checked(alarm: CompositeAlarm) -> CompositeAlarm:
    alarm_limits.check_rule(alarm.name, alarm.alarm_rule, len(set(keys_in(alarm.condition))))
    return alarm


def _alone_or(taken: AllOf | AnyOf) -> Condition:
    """What is taken together, or the one part that there is."""
    return taken.parts[0] if len(taken.parts) == 1 else taken


def _rule_text(condition: Condition, *, inside: bool = False) -> str:
    match condition:
        case str():
            return f'ALARM("{condition}")'
        case AllOf(parts):
            text = " AND ".join(_rule_text(part, inside=True) for part in parts)
        case AnyOf(parts):
            text = " OR ".join(_rule_text(part, inside=True) for part in parts)
        case _:
            assert_never(condition)
    return f"({text})" if inside else text
