"""How things stand after a run: budgets, the brake on sampling, what observing costs, as metrics.

All of it is made from the lines and statuses that are stored, not from what this run computed: whoever runs
next, after whatever failed, says the same. Nothing here fails a run, whose lines are written: what cannot be
read is unknown, and left out.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from costagg.brake import daily_brake, next_brake, share_percent
from costagg.budgets import tenant_standing
from costagg.differences import Difference, HourlyTokens, differences
from costagg.hours import computed_when_over, cost_age_s, midnight_of
from costagg.job import Services
from costagg.metric_reader import MetricReader, MetricsUnavailable
from costagg.publishing import Figures, days_to_end_of_life
from costagg.reconciliation.overdue import is_due, month_before, overdue_days
from costagg.tenants import KnownTenants
from costagg.totals import Totals, first_day, month_to_date
from costagg.usage import ClientTokens
from llmplatform.aws.cost_reader import CostsUnavailable
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.catalogue import Catalogue
from llmplatform.costs import OBSERVABILITY_LAYER, HourStatus
from llmplatform.errors import TelemetryFault
from llmplatform.redaction import describe_fault
from llmplatform.spending import percent_used

logger = logging.getLogger(__name__)

NOTICEABLE_PERCENT: Final = 1.0
"""A difference between ledger and metrics that is worth a line in the log."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What observing may cost, and the parameter that holds sampling down."""

    daily_usd: Decimal | None
    brake: BrakeParameter


async def figures_now(
    services: Services,
    catalogue: Catalogue,
    budget: Budget,
    tenants: KnownTenants | None,
    *,
    computed: Collection[datetime],
    available: bool,
    now: datetime,
) -> Figures:
    """How things stand at `now`, after a run that computed some hours.

    `available` says whether it could do what it is for.
    """
    costs = services.costs
    end_of_life = days_to_end_of_life(catalogue, now.date())
    policies = {} if tenants is None else tenants.policies
    try:
        statuses = await costs.statuses(min(first_day(now), now.date().replace(day=1)), now.date())
        sums = Totals(now)
        async for _, _, lines in costs.all_lines(first_day(now), now.date(), statuses):
            sums.add(lines)
    except CostsUnavailable as unavailable:
        logger.error("how things stand is not known: %s", unavailable)  # noqa: TRY400
        return Figures(available=False, days_to_end_of_life=end_of_life)
    midnight = midnight_of(now)
    today_known = _computed_since(midnight, statuses)
    used_percent = _budget_used(sums, budget.daily_usd) if today_known else None
    tokens = _ledger_tokens(statuses)
    return Figures(
        available=available,
        tenants={
            name: tenant_standing(policy, sums.inference_by_hour.get(name, {}), tokens, now)
            for name, policy in policies.items()
            if today_known
        },
        today_usd=sums.today if today_known else None,
        month_to_date_usd=month_to_date(statuses, now)
        if _computed_since(midnight.replace(day=1), statuses)
        else None,
        today_by_model_usd=sums.today_by_model,
        unpriced_lines=sums.unpriced_today if today_known else None,
        uncounted_requests=sum(
            status.uncounted_requests for hour, status in statuses.items() if hour >= midnight
        )
        if today_known
        else None,
        ledger_difference_percent=await _differences(services.metrics, tokens, statuses, computed),
        unused_capacity_percent=sums.unused_capacity_percent,
        observability_share_percent=share_percent(
            sums.last_24_h_by_layer.get("observability-layer"), sums.last_24_h_by_layer.get("inference")
        ),
        observability_budget_used_percent=used_percent,
        sampling_factor=await _hold(budget.brake, used_percent, now),
        cost_age_s=cost_age_s(now, statuses),
        reconciliation_overdue_days=await _overdue_days(services, now),
        days_to_end_of_life=end_of_life,
    )


def _computed_since(first: datetime, statuses: Mapping[datetime, HourStatus]) -> bool:
    """Whether an hour from `first` on was ever computed: if none was, what was spent is not 0 but unknown."""
    return any(status.run for hour, status in statuses.items() if hour >= first)


def _budget_used(sums: Totals, daily_usd: Decimal | None) -> Decimal | None:
    """Today's observing in percent of its budget; None without a budget, or where nothing of it is known."""
    spent = sums.today_by_layer.get(OBSERVABILITY_LAYER, Decimal(0))
    return None if daily_usd is None or spent is None else percent_used(spent, daily_usd)


def _ledger_tokens(statuses: Mapping[datetime, HourStatus]) -> HourlyTokens:
    """Tokens of clients' requests by hour and tenant, as the hours' statuses have them from the ledger."""
    return {
        hour: {tenant: ClientTokens(*counts) for tenant, counts in status.client_tokens.items()}
        for hour, status in statuses.items()
    }


async def _differences(
    metrics: MetricReader,
    tokens: HourlyTokens,
    statuses: Mapping[datetime, HourStatus],
    computed: Collection[datetime],
) -> dict[str, float]:
    """How far CloudWatch's token metrics are from the ledger, of those hours that can be compared."""
    ledger = {
        hour: by_tenant
        for hour, by_tenant in tokens.items()
        if hour in computed and _comparable(statuses[hour])
    }
    tenants = {tenant for by_tenant in ledger.values() for tenant in by_tenant}
    try:
        found = differences(ledger, await metrics.tokens(sorted(ledger), sorted(tenants)))
    except MetricsUnavailable as unavailable:
        logger.warning("ledger and metrics are not compared: %s", unavailable)
        return {}
    for difference in found:
        if difference.percent >= NOTICEABLE_PERCENT:
            _tell(difference)
    return {difference.tenant_id: difference.percent for difference in found}


def _comparable(status: HourStatus) -> bool:
    """Whether an hour can be held against metrics: while it runs, these come at their own pace."""
    return status.computed_from == "request-ledger" and computed_when_over(status)


def _tell(difference: Difference) -> None:
    logger.warning(
        "ledger and metrics disagree",
        extra={
            "tenant_id": difference.tenant_id,
            "percent": round(difference.signed_percent, 2),
            "ledger_prompt_tokens": difference.ledger.prompt,
            "ledger_output_tokens": difference.ledger.output,
            "metric_prompt_tokens": difference.metrics.prompt,
            "metric_output_tokens": difference.metrics.output,
        },
    )


async def _overdue_days(services: Services, now: datetime) -> int | None:
    """How long the month before waits to be held against AWS's bill; one without costs never does."""
    if not is_due(now):
        return 0
    first, last = month_before(now)
    try:
        reconciled = {(kept.first, kept.last) for kept in await services.reconciliations.read(first)}
        overdue = overdue_days(reconciled, now)
        if overdue:
            statuses = await services.costs.statuses(first, last)
            return overdue if any(status.run for status in statuses.values()) else 0
    except (CostsUnavailable, TelemetryFault) as unavailable:
        logger.error("reconciliations cannot be read: %s", describe_fault(unavailable))  # noqa: TRY400
        return None
    return overdue


async def _hold(brake: BrakeParameter, used_percent: Decimal | None, now: datetime) -> float | None:
    """Hold sampling down as far as the budget wants it; gives the factor, None where it could not be set."""
    wanted = daily_brake(used_percent, now)
    try:
        if (fresh := next_brake(await brake.read(), wanted, now=now)) is not None:
            await brake.publish(fresh)
            logger.info("the budget sets how far sampling is held down", extra={"factor": fresh.factor})
    except (BotoCoreError, ClientError, OSError, aiohttp.ClientError) as error:
        logger.error("the brake on sampling is not set: %s", describe_fault(error))  # noqa: TRY400
        return None
    return wanted.factor
