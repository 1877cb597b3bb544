"""A run's figures as EMF lines. Money and percents become floats here, in `_reading`, and nowhere else. Pure.

All lines bear the moment at which the run ended, not the hour that was computed: each figure says how things
stand now, and an alarm looks at the newest reading. What is unknown is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from costagg.brake import OBSERVABILITY_BUDGET
from costagg.budgets import TenantStanding
from costagg.totals import NOTHING
from llmplatform.catalogue import Catalogue
from llmplatform.emf import encode_figures
from llmplatform.metrics import (
    AVAILABILITY,
    BUDGET_PROJECTED_PERCENT,
    BUDGET_USED_PERCENT,
    COST,
    COST_AGE_SECONDS,
    COST_MONTH_TO_DATE_USD,
    COST_TODAY_USD,
    COSTAGG,
    LEDGER_DIFFERENCE_PERCENT,
    MODEL_DAYS_TO_END_OF_LIFE,
    OBSERVABILITY_BUDGET_USED_PERCENT,
    OBSERVABILITY_SHARE_PERCENT,
    PIPELINE,
    RECONCILIATION_OVERDUE_DAYS,
    SAMPLING_FACTOR,
    TOKEN_BUDGET_PROJECTED_PERCENT,
    TOKEN_BUDGET_USED_PERCENT,
    UNCOUNTED_REQUESTS,
    UNPRICED_USAGE,
    UNUSED_CAPACITY_PERCENT,
    Metric,
)

COMPONENT: Final = COSTAGG

Number = Decimal | float


@dataclass(frozen=True, slots=True)
class Figures:
    """How things stand after a run; None, and what is missing in a mapping, is unknown."""

    available: bool
    """Whether the run could do what it is for."""
    tenants: Mapping[str, TenantStanding] = field(default_factory=dict)
    """By tenant, budgets; those without lines too: they have spent nothing."""
    today_usd: Mapping[str, Decimal | None] | None = None
    """By owner; None where the table could not be read."""
    month_to_date_usd: Mapping[str, Decimal | None] | None = None
    today_by_model_usd: Mapping[tuple[str, str], Decimal | None] = field(default_factory=dict)
    unpriced_lines: Mapping[str, int] | None = None
    """Today's, by price key; empty says that there are none."""
    uncounted_requests: int | None = None
    ledger_difference_percent: Mapping[str, float] = field(default_factory=dict)
    """By tenant."""
    unused_capacity_percent: Mapping[str, Decimal] = field(default_factory=dict)
    """By endpoint name."""
    observability_share_percent: Decimal | None = None
    observability_budget_used_percent: Decimal | None = None
    sampling_factor: float | None = None
    cost_age_s: float | None = None
    reconciliation_overdue_days: int | None = None
    days_to_end_of_life: Mapping[str, int] = field(default_factory=dict)
    """By public model name."""


def figure_lines(at: datetime, figures: Figures) -> list[bytes]:
    """The EMF lines of all that is known, as of `at`."""
    readings = [*_cost_readings(figures), *_pipeline_readings(figures)]
    lines = []
    for namespace, dimensions, values in readings:
        known = {metric.name: _reading(value) for metric, value in values.items() if value is not None}
        if known:
            lines.append(encode_figures(at, namespace, dimensions, known))
    return lines


def days_to_end_of_life(catalogue: Catalogue, today: date) -> dict[str, int]:
    """Days until each model whose end is announced is served no more; under 0 since it is not."""
    return {
        model_id: (model.end_of_life - today).days
        for model_id, model in catalogue.models.items()
        if model.end_of_life is not None
    }


_Line = tuple[str, Mapping[str, str], Mapping[Metric, Number | None]]
"""Namespace, dimensions, values."""


def _cost_readings(figures: Figures) -> Iterable[_Line]:
    owners = {*figures.tenants, *figures.ledger_difference_percent}
    for spent in (figures.today_usd, figures.month_to_date_usd):
        owners.update(spent or ())
    for owner in sorted(owners):
        yield COST, {"tenant_id": owner}, _of_owner(figures, owner)
    for (model_id, endpoint_type), usd in sorted(figures.today_by_model_usd.items()):
        yield COST, {"model_id": model_id, "endpoint_type": endpoint_type}, {COST_TODAY_USD: usd}
    unpriced = figures.unpriced_lines
    yield (
        COST,
        {"component": COMPONENT},
        {
            UNPRICED_USAGE: None if unpriced is None else sum(unpriced.values()),
            UNCOUNTED_REQUESTS: figures.uncounted_requests,
            OBSERVABILITY_SHARE_PERCENT: figures.observability_share_percent,
            OBSERVABILITY_BUDGET_USED_PERCENT: figures.observability_budget_used_percent,
        },
    )
    for price_key, lines in sorted((unpriced or {}).items()):
        yield COST, {"price_key": price_key}, {UNPRICED_USAGE: lines}
    for endpoint_name, percent in sorted(figures.unused_capacity_percent.items()):
        yield COST, {"endpoint_name": endpoint_name}, {UNUSED_CAPACITY_PERCENT: percent}


def _of_owner(figures: Figures, owner: str) -> dict[Metric, Number | None]:
    standing = figures.tenants.get(owner, TenantStanding(usd=None, tokens=None))
    values: dict[Metric, Number | None] = {
        COST_TODAY_USD: _spent(figures.today_usd, owner),
        COST_MONTH_TO_DATE_USD: _spent(figures.month_to_date_usd, owner),
        LEDGER_DIFFERENCE_PERCENT: figures.ledger_difference_percent.get(owner),
    }
    if (usd := standing.usd) is not None:
        values[BUDGET_USED_PERCENT] = usd.used_percent
        values[BUDGET_PROJECTED_PERCENT] = usd.projected_percent
    if (tokens := standing.tokens) is not None:
        values[TOKEN_BUDGET_USED_PERCENT] = tokens.used_percent
        values[TOKEN_BUDGET_PROJECTED_PERCENT] = tokens.projected_percent
    return values


def _spent(usd: Mapping[str, Decimal | None] | None, owner: str) -> Decimal | None:
    """Who has no line has spent nothing; who has only lines without an amount, nobody knows what."""
    return None if usd is None else usd.get(owner, NOTHING)


def _pipeline_readings(figures: Figures) -> Iterable[_Line]:
    yield (
        PIPELINE,
        {"component": COMPONENT},
        {
            AVAILABILITY: int(figures.available),
            COST_AGE_SECONDS: figures.cost_age_s,
            RECONCILIATION_OVERDUE_DAYS: figures.reconciliation_overdue_days,
        },
    )
    yield PIPELINE, {"reason": OBSERVABILITY_BUDGET}, {SAMPLING_FACTOR: figures.sampling_factor}
    for model_id, days in sorted(figures.days_to_end_of_life.items()):
        yield PIPELINE, {"model_id": model_id}, {MODEL_DAYS_TO_END_OF_LIFE: days}


def _reading(value: Number) -> float:
    """A number as EMF has it: JSON knows no decimals, and CloudWatch keeps a double."""
    return float(value) if isinstance(value, Decimal) else value
