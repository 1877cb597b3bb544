"""How many alarms and series there are, what they cost a month, and whether that is within the budgets. Pure.

CloudWatch bills an alarm by the metrics that it looks at: one, or three where it is held against an anomaly
band (the metric and both edges); one with a period under a minute at another price; a composite by the piece.
Each combination of a metric's dimensions is a series and billed as one. Alarms and series of an account's
free tier are not taken off: the whole account shares them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from llmplatform.footprint import COMPOSITE_ALARM, HIGH_RESOLUTION_ALARM, METRIC_MONTHS, STANDARD_ALARM
from llmplatform.prices import PriceTable
from watch.alarming.alarm_limits import MAX_ANOMALY_DETECTORS, MINUTE_S
from watch.alarming.alarm_wire import fields_of, kind_of
from watch.alarming.definitions import PREFIX, AlarmDefinition
from watch.alarming.planning import Plan, PresentAlarm

METRICS_OF_A_BAND: Final = 3


@dataclass(frozen=True, slots=True)
class AlarmCounts:
    """Alarms by how they are billed, and by what they are about."""

    standard: int = 0
    high_resolution: int = 0
    composite: int = 0
    bands: int = 0
    by_scope: Mapping[str, int] | None = None

    @property
    def total(self) -> int:
        """All of them."""
        return self.standard + self.high_resolution + self.composite + self.bands


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the month's bill. `amount_usd` is None where the price is not known."""

    what: str
    quantity: int
    amount_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Budgets:
    """How many there may be."""

    series: int
    alarms: int
    bands: int = MAX_ANOMALY_DETECTORS


@dataclass(frozen=True, slots=True)
class Standing:
    """What there will be when a plan is applied, and what it costs a month."""

    alarms: AlarmCounts
    series: Mapping[str, int]
    """By namespace."""
    lines: tuple[Line, ...]

    @property
    def all_series(self) -> int:
        """Of all namespaces."""
        return sum(self.series.values())

    @property
    def known_usd(self) -> Decimal:
        """The part of the month's bill whose prices are known."""
        return sum((line.amount_usd for line in self.lines if line.amount_usd is not None), Decimal(0))

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Lines whose price is not known."""
        return tuple(line.what for line in self.lines if line.amount_usd is None and line.quantity)


def standing(
    plan: Plan,
    present: Iterable[PresentAlarm],
    desired: Iterable[AlarmDefinition],
    series: Mapping[str, int],
    prices: PriceTable,
    *,
    at: date,
    region: str,
) -> Standing:
    """What there will be: what is there and stays, and what is put. `present` are ours alone."""
    alarms = _counted(_members_after(plan, present, desired))
    return Standing(alarms, dict(series), tuple(_bill(alarms, series, prices, at=at, region=region)))


def alarms_in(definitions: Iterable[AlarmDefinition]) -> AlarmCounts:
    """How many alarms these are."""
    return _counted(_member(definition) for definition in definitions)


def over_budget(standing_: Standing, budgets: Budgets) -> tuple[str, ...]:
    """For each budget that is not kept, what takes how many and what to do; empty when all are."""
    problems = []
    if standing_.all_series > budgets.series:
        takers = ", ".join(f"{name} {number:,}" for name, number in _largest(standing_.series))
        problems.append(
            f"{standing_.all_series:,} series are over the budget of {budgets.series:,}: {takers}; "
            "allow tenants fewer models, sample fewer for evaluation, or raise WATCH_MAX_SERIES"
        )
    alarms = standing_.alarms
    if alarms.total > budgets.alarms:
        takers = ", ".join(f"{name} {number:,}" for name, number in _largest(alarms.by_scope or {}))
        problems.append(
            f"{alarms.total:,} alarms are over the budget of {budgets.alarms:,}: {takers}; "
            "remove tenants and endpoints that are not used, or raise WATCH_MAX_ALARMS"
        )
    if alarms.bands > budgets.bands:
        problems.append(
            f"{alarms.bands:,} anomaly bands are over the {budgets.bands:,} that there may be, one for each "
            "tenant, model and dimension with scores: WATCH_BANDS=false makes none, or raise the quota of "
            "anomaly detection models in Service Quotas, then WATCH_MAX_BANDS"
        )
    return tuple(problems)


@dataclass(frozen=True, slots=True)
class _Members:
    kind: str
    scope: str
    fields: Mapping[str, object]


def _members_after(
    plan: Plan, present: Iterable[PresentAlarm], desired: Iterable[AlarmDefinition]
) -> Iterable[_Members]:
    removed = {alarm.name for alarm in plan.remove}
    put = {definition.name: definition for definition, _ in plan.puts()}
    known = {definition.name: definition.told.target.scope for definition in desired}
    for alarm in present:
        if alarm.name not in removed and alarm.name not in put:
            scope = known.get(alarm.name) or alarm.name.removeprefix(PREFIX).partition("/")[0]
            yield _Members(alarm.kind, scope, alarm.fields)
    yield from map(_member, put.values())


def _member(definition: AlarmDefinition) -> _Members:
    return _Members(kind_of(definition), definition.told.target.scope, fields_of(definition))


def _counted(alarms: Iterable[_Members]) -> AlarmCounts:
    kinds: Counter[str] = Counter()
    scopes: Counter[str] = Counter()
    for alarm in alarms:
        scopes[alarm.scope] += 1
        period = alarm.fields.get("Period")
        if alarm.kind == "composite":
            kinds["composite"] += 1
        elif "ThresholdMetricId" in alarm.fields:
            kinds["bands"] += 1
        elif isinstance(period, float) and period < MINUTE_S:
            kinds["high_resolution"] += 1
        else:
            kinds["standard"] += 1
    return AlarmCounts(
        kinds["standard"], kinds["high_resolution"], kinds["composite"], kinds["bands"], dict(scopes)
    )


def _bill(
    alarms: AlarmCounts, series: Mapping[str, int], prices: PriceTable, *, at: date, region: str
) -> Iterable[Line]:
    rows = (
        ("alarms on a metric", alarms.standard, 1, STANDARD_ALARM),
        ("high-resolution alarms", alarms.high_resolution, 1, HIGH_RESOLUTION_ALARM),
        ("alarms on an anomaly band", alarms.bands, METRICS_OF_A_BAND, STANDARD_ALARM),
        ("composite alarms", alarms.composite, 1, COMPOSITE_ALARM),
        *((f"series of {name}", number, 1, METRIC_MONTHS) for name, number in sorted(series.items())),
    )
    for what, quantity, metrics, name in rows:
        price = prices.service_price(name, at=at, region=region)
        amount = None if price is None else quantity * metrics * price.usd_per_unit
        yield Line(what, quantity, amount)


def _largest(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda pair: (-pair[1], pair[0]))
