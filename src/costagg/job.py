"""The cost job's story: what a run does, from top to bottom.

Who may have used something, which hours are not closed, what ran in them; then each hour by itself: claimed,
read from the ledger (from CloudWatch's metrics where that cannot be read), shared out, written, published,
swept. At the end, what the day's lines come to: see `standing`. A run that is repeated, overtaken or cut off
leaves the table that one whole run makes.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from costagg.allocation import AllocationRules, HourCost, allocate
from costagg.hours import HOUR, HourRules, computed_when_over, hour_of, hours_due, state_after
from costagg.instances import EndpointReader
from costagg.ledger_reader import LedgerReader, LedgerUnavailable
from costagg.metric_reader import MetricReader, MetricsUnavailable
from costagg.profiles import ProfileResolver, resolved
from costagg.reconciliation.store import ReconciliationStore
from costagg.roster import roster
from costagg.sagemaker import all_known
from costagg.store import CostStore, StoreUnavailable
from costagg.tenants import KnownTenants
from costagg.usage import Endpoints, HourUsage
from llmplatform.aws.cost_reader import CostReader
from llmplatform.catalogue import Catalogue
from llmplatform.clock import Clock
from llmplatform.costs import ComputedFrom, HourStatus, amounts_by_owner
from llmplatform.prices import PriceTable

logger = logging.getLogger(__name__)

Outcome = Literal["done", "superseded", "failed"]
"""Superseded: another run claimed the hour later, and its lines hold."""

LOOKED_BACK: Final = timedelta(days=7)
"""How far before its hours a run looks for tenants that it knows, and for hours that were left open."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a run reads and writes."""

    ledger: LedgerReader
    metrics: MetricReader
    endpoints: EndpointReader
    profiles: ProfileResolver
    costs: CostReader
    store: CostStore
    reconciliations: ReconciliationStore
    """Read only, to tell whether one is overdue."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run goes by."""

    region: str
    catalogue: Catalogue
    prices: PriceTable
    hours: HourRules = field(default_factory=HourRules)
    allocation: AllocationRules = field(default_factory=AllocationRules)


@dataclass(frozen=True, slots=True)
class HourReport:
    """What a run did with an hour."""

    hour: datetime
    outcome: Outcome
    closed: bool = False
    computed_from: ComputedFrom | None = None
    rows: int = 0
    """Of the ledger; by the metrics, requests."""
    lines: int = 0
    total_usd: Decimal | None = None
    unpriced_lines: int = 0
    uncounted_requests: int = 0
    swept: int = 0
    """Lines of earlier runs that were removed."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did."""

    began_at: datetime
    hours: tuple[HourReport, ...]
    left_open: tuple[datetime, ...] = ()
    """Older hours that were begun and never closed."""
    tenants_known: bool = True
    """Whether the tenants could be read: without them somebody's rows may be missed."""

    @property
    def complete(self) -> bool:
        """Whether every hour was computed, by this run or by one that overtook it, and of every tenant."""
        return self.tenants_known and all(hour.outcome != "failed" for hour in self.hours)


Progress = Callable[[HourReport, int, int], None]
"""Told of each hour, which one of how many it was."""


async def compute(
    services: Services,
    terms: Terms,
    clock: Clock,
    tenants: KnownTenants | None,
    progress: Progress,
    *,
    asked: Sequence[datetime] = (),
) -> RunReport:
    """Compute the hours that are asked for, or all that are due.

    `tenants` is None where they could not be read: who is known otherwise is computed, no hour is closed, and
    the run is not complete.

    Raises CostsUnavailable or StoreUnavailable when the table is away altogether; a single hour that fails
    is in the report.
    """
    now = clock.now()
    first = min(asked, default=now - terms.hours.look_back)
    statuses = await services.costs.statuses((first - LOOKED_BACK).date(), now.date())
    plan = hours_due(now, statuses, terms.hours)
    hours = tuple(asked) or plan.hours
    seen = await _seen(services.metrics, hours)
    everybody = tenants is not None and seen is not None
    read_for = _read_for(tenants, seen or set(), statuses)
    endpoints = await services.endpoints.read(hours)
    busy = {hour for hour, status in statuses.items() if status.ledger_rows}
    work = _Work(services, terms, clock, read_for, everybody, busy)
    reports = []
    # Where the automatic run would begin: what was asked for first is not the platform's beginning.
    await services.store.begin(min(hour_of(now - terms.hours.look_back), *hours))
    for hour in hours:
        report = await work.compute(hour, endpoints.get(hour, {}))
        reports.append(report)
        progress(report, len(reports), len(hours))
    left_open = () if asked else plan.left_open
    return RunReport(now, tuple(reports), left_open, tenants_known=tenants is not None)


async def _seen(metrics: MetricReader, hours: Sequence[datetime]) -> set[str] | None:
    """Tenants that the metrics know of; None where those are away, and who is known to them alone is missed.

    Instances are not metered then either: an hour that is computed meanwhile is not closed.
    """
    seen: set[str] = set()
    try:
        for hour in {min(hours), max(hours)}:
            seen |= await metrics.tenants(hour)
    except MetricsUnavailable as unavailable:
        logger.warning("tenants that were removed may be missed: %s", unavailable)
        return None
    return seen


def _read_for(
    known: KnownTenants | None, seen: set[str], statuses: Mapping[datetime, HourStatus]
) -> tuple[str, ...]:
    """Tenants whose rows are read."""
    configured, erased = ((), ()) if known is None else (known.configured, known.erased)
    return roster(configured, erased, seen, statuses.values())


@dataclass(frozen=True, slots=True)
class _Work:
    """What all hours of a run have in common."""

    services: Services
    terms: Terms
    clock: Clock
    tenants: tuple[str, ...]
    """Whose rows are read."""
    whole: bool
    """Whether that is everybody."""
    busy: set[datetime]
    """Hours that had requests, of those that are known and those of this run."""

    async def compute(self, hour: datetime, endpoints: Endpoints) -> HourReport:
        """An hour, from its claim to the last line of an earlier run that is removed."""
        store, terms = self.services.store, self.terms
        try:
            claim = await store.claim(hour)
            read_at = self.clock.now()
            usage = await self._usage(hour, claim.before)
            usage = await resolved(usage, terms.prices, self.services.profiles)
            cost = allocate(
                usage,
                endpoints,
                terms.prices,
                region=terms.region,
                rules=terms.allocation,
                metrics_requested=_metrics_of(usage, endpoints),
                at_work=self._at_work(usage),
            )
            status = self._status(read_at, usage, endpoints, cost)
            held = await store.write(claim, cost.lines) and await store.publish(claim, status)
            swept = await store.sweep(hour)
        except (LedgerUnavailable, MetricsUnavailable, StoreUnavailable) as unavailable:
            logger.error("hour %s is not computed: %s", f"{hour:%Y-%m-%dT%H}", unavailable)  # noqa: TRY400
            return HourReport(hour, "failed")
        except Exception:  # a fault of ours in one hour takes no other hour's bill with it
            logger.exception("hour %s is not computed", f"{hour:%Y-%m-%dT%H}")
            return HourReport(hour, "failed")
        return HourReport(
            hour=hour,
            outcome="done" if held else "superseded",
            closed=held and status.state == "closed",
            computed_from=usage.computed_from,
            rows=usage.requests,
            lines=len(cost.lines),
            total_usd=cost.total_usd,
            unpriced_lines=status.unpriced_lines,
            uncounted_requests=status.uncounted_requests,
            swept=swept,
        )

    async def _usage(self, hour: datetime, before: HourStatus) -> HourUsage:
        """What the ledger has of an hour, or the metrics where it cannot be read. Raises when neither.

        An estimate takes the place of nothing better: not of what was read from the ledger when the hour was
        over.
        """
        try:
            return await self.services.ledger.read(hour, self.tenants)
        except LedgerUnavailable as unavailable:
            if before.run and before.computed_from == "request-ledger" and computed_when_over(before):
                raise
            logger.error("computing from CloudWatch's metrics instead: %s", unavailable)  # noqa: TRY400
        return await self.services.metrics.usage(hour, self.tenants, self.terms.catalogue)

    def _at_work(self, usage: HourUsage) -> bool:
        """Whether the platform ran in an hour: from its first request on, as far back as we look."""
        if usage.requests:
            self.busy.add(usage.hour)
        return min(self.busy, default=usage.hour + HOUR) <= usage.hour

    def _status(
        self, read_at: datetime, usage: HourUsage, endpoints: Endpoints, cost: HourCost
    ) -> HourStatus:
        """What is to be known of an hour, but for the run that computed it, which the store fills in."""
        from_ledger = usage.computed_from == "request-ledger"
        whole = from_ledger and self.whole and all_known(usage, endpoints)
        return HourStatus(
            hour=usage.hour,
            state=state_after(usage.hour, read_at, self.terms.hours, whole=whole),
            claimed_run=0,
            run=0,
            computed_at=read_at,
            computed_from=usage.computed_from,
            ledger_rows=usage.requests if from_ledger else None,
            amounts_usd=amounts_by_owner(cost.lines),
            unpriced_lines=len(cost.unpriced),
            uncounted_requests=cost.uncounted_requests + usage.undecodable,
            price_version=self.terms.prices.version,
            client_tokens={
                tenant: (tokens.prompt, tokens.output) for tenant, tokens in usage.client_tokens.items()
            },
        )


def _metrics_of(usage: HourUsage, endpoints: Endpoints) -> int:
    """How many metrics an hour's run asks for: by what is in the hour, so that a rerun says the same."""
    return 2 * len(usage.client_tokens) + sum(len(variants) for variants in endpoints.values())
