"""How full each limit is, at which size it is full, and what to change then. Pure.

Three kinds: AWS's quotas, most of which are raised on request; what no request raises; and our own settings,
which are there to be reached before a bill is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from operator_cli.estimate import figures as known
from operator_cli.estimate import quotas
from operator_cli.estimate.figures import Range
from operator_cli.estimate.needs import Facts, Needs
from operator_cli.estimate.observing import JUDGE, observing_parts
from operator_cli.estimate.parts import Part, metered_month_of, month_of
from operator_cli.estimate.pricing import DAYS_IN_A_MONTH, Pricing
from operator_cli.estimate.quotas import Quota
from operator_cli.estimate.workload import Growth, Workload

_MINUTE_S: Final = 60
_STEPS_A_DOUBLING: Final = 4
_HALVINGS: Final = 7
_DOUBLINGS: Final = 12
FACTORS: Final = tuple(
    Decimal(2) ** (Decimal(step) / _STEPS_A_DOUBLING)
    for step in range(-_HALVINGS * _STEPS_A_DOUBLING, _DOUBLINGS * _STEPS_A_DOUBLING + 1)
)
"""Sizes that are tried, a fifth apart: nothing here is known better."""
SMALLEST: Final = FACTORS[0]
"""What is full there is full at any size."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One of the limits, and how much of it is used in the busiest minute."""

    name: str
    used: Range
    quota: Quota
    change: str
    """What to do about it."""

    @property
    def fullness(self) -> Decimal | None:
        """1 is full; None where nobody knows how much there may be."""
        return None if self.quota.value is None else self.used.likely / self.quota.value


@dataclass(frozen=True, slots=True)
class Filling:
    """A limit over several sizes."""

    limits: tuple[Limit, ...]
    """At each size that was asked for."""
    full_at: Decimal | None
    """So many times the workload; None where no size that was tried fills it, or nobody knows."""


def fillings(
    workloads: Sequence[Workload], start: Workload, growth: Growth, facts: Facts, pricing: Pricing
) -> tuple[Filling, ...]:
    """Each limit at each workload, that which is full first at the top; what nobody knows is at the end."""
    asked = [limits_of(Needs(workload, facts), pricing) for workload in workloads]
    full_at: dict[str, Decimal] = {}
    for factor in FACTORS:
        for limit in limits_of(Needs(start.times(factor, growth), facts), pricing):
            if limit.fullness is not None and limit.fullness > 1:
                full_at.setdefault(limit.name, factor)
    found = [Filling(limits, full_at.get(limits[0].name)) for limits in zip(*asked, strict=True)]
    return tuple(sorted(found, key=_when_full))


def limits_of(needs: Needs, pricing: Pricing) -> tuple[Limit, ...]:
    """Every limit, in the order in which a request meets them."""
    return (
        *_of_models(needs),
        *_of_tasks(needs),
        *_of_tables(needs),
        *_of_watching(needs),
        *_of_ours(needs, tuple(observing_parts(needs, pricing))),
    )


def _when_full(filling: Filling) -> tuple[bool, Decimal, Decimal]:
    first = filling.limits[0]
    return (
        filling.full_at is None,
        filling.full_at or Decimal(0),
        Decimal(0) if first.fullness is None else -first.fullness,
    )


def _of_models(needs: Needs) -> Iterator[Limit]:
    """Quotas of Bedrock, by price key: tenants and judge share one."""
    workload = needs.workload
    used: dict[str, Range] = {}
    for name in workload.models:
        entry = needs.facts.catalogue.models[name]
        if entry.endpoint_type == "bedrock":
            key = entry.price_key
            each = workload.input_tokens + quotas.output_burndown(key) * workload.output_tokens
            tokens = Range.exactly(workload.peak_per_minute(name) * each)
            used[key] = used.get(key, Range.exactly(0)) + tokens
    key = needs.facts.judge_price_key
    judged = known.JUDGE_INPUT_TOKENS.value + known.JUDGE_OUTPUT_TOKENS.value * quotas.output_burndown(key)
    used[key] = used.get(key, Range.exactly(0)) + judged * (needs.samples_per_s * _MINUTE_S)
    for key, tokens in used.items():
        yield Limit(
            f"Bedrock, {key}",
            tokens,
            quotas.tokens_a_minute(key),
            "ask for more in Service Quotas, weeks before; name fallbacks of other models or scopes; keep "
            "max_output_tokens near what answers need: all of it is reserved; cached prompts count nothing",
        )


def _of_tasks(needs: Needs) -> Iterator[Limit]:
    yield Limit(
        "all tasks",
        needs.vcpu,
        quotas.FARGATE_VCPU,
        "ask for more in Service Quotas before going live",
    )
    yield Limit(
        "behind the load balancer",
        needs.peak_gateway_tasks,
        quotas.LOAD_BALANCER_TARGETS,
        "ask for more targets, or a second load balancer and service",
    )
    yield Limit(
        "reads of Parameter Store",
        needs.parameter_reads_per_s,
        quotas.PARAMETER_READS,
        "turn on higher throughput (100 calls/s by path); beyond that one task must read for all: until then "
        "`policy-age` rings, changes take longer, and tasks that start may find no tenants",
    )
    yield Limit(
        "a reading of all parameters",
        needs.parameters_read_s,
        Quota(
            needs.facts.house.policy_load_s, "s", "llmplatform.aws.parameters: LOAD_WITHIN_S", adjustable=True
        ),
        "what is not read whole is not taken: read pages side by side, or tenants from a table",
    )
    yield Limit(
        "Parameter Store",
        Range.exactly(needs.parameters),
        quotas.PARAMETERS,
        "the advanced tier for new ones (100,000, 0.05 USD each a month), or tenants in a table",
    )
    shards = max(Decimal(quotas.STREAM_SHARDS_AT_FIRST), _whole(2 * needs.stream_bytes_per_s / 2**20))
    yield Limit(
        "evaluation workers",
        needs.peak_worker_tasks,
        Quota(shards, "workers", "a worker beyond the stream's shards waits", adjustable=True),
        "raise EVAL_JUDGE_IN_FLIGHT: a worker has CPU for 1,000 samples a second, and 32 calls for eight",
    )
    yield Limit(
        "into the stream",
        Range.exactly(needs.stream_bytes_per_s),
        quotas.STREAM_BYTES,
        "it grows by itself to twice the peak of 30 days; before a sudden step, provision it for a day",
    )


def _of_tables(needs: Needs) -> Iterator[Limit]:
    yield Limit(
        "request-ledger",
        Range.exactly(needs.ledger_writes_per_s),
        quotas.TABLE_WRITES,
        "ask for a higher quota of the table; warm it before a step, a new one takes 4,000 units",
    )
    yield Limit(
        "request-ledger, one partition",
        needs.hottest_ledger_partition,
        quotas.PARTITION_WRITES,
        "raise LEDGER_SHARDS at an hour's boundary: writers and readers take the number from one place",
    )
    yield Limit(
        "eval-results, one partition",
        needs.hottest_results_partition,
        quotas.PARTITION_WRITES,
        "lower the tenant's sample rate, or give the table's key a shard: a tenant has one partition",
    )
    rows = needs.rows_per_day / 24 * needs.workload.peak_to_mean
    yield Limit(
        "cost job, one run",
        needs.cost_run_s(rows),
        quotas.JOB_SECONDS,
        "lower COST_CLOSE_AFTER_H (fewer hours a run), or share tenants out over several runs",
    )
    yield Limit(
        "tenant-cost, an hour's status",
        known.STATUS_BYTES_AN_OWNER.value * (needs.workload.tenants + 2),
        quotas.ITEM_BYTES,
        "short tenant ids; beyond that, a status for each group of owners",
    )


def _of_watching(needs: Needs) -> Iterator[Limit]:
    yield Limit(
        "alarms in CloudWatch",
        Range.exactly(needs.alarms.total),
        quotas.ALARMS,
        "ask for more in Service Quotas; or WATCH_BANDS=false, and fewer models a tenant",
    )
    yield Limit(
        "anomaly bands",
        Range.exactly(needs.alarms.bands),
        quotas.ANOMALY_MODELS,
        "WATCH_BANDS=false: nothing rests on them; or ask for more, then WATCH_MAX_BANDS",
    )


def _of_ours(needs: Needs, observing: Sequence[Part]) -> Iterator[Limit]:
    house = needs.facts.house
    judge = [part for part in observing if part.name == JUDGE]
    yield Limit(
        "judging the largest tenant, our budget",
        month_of(judge) * (needs.workload.largest_tenant / DAYS_IN_A_MONTH),
        _ours(house.judge_daily_budget_usd, "USD/day", "EVAL_DAILY_BUDGET_USD"),
        "raise its judge_daily_budget_usd, or lower its rate: what is over is skipped, and seen as `budget`",
    )
    if house.observing_daily_budget_usd is not None:
        yield Limit(
            "observing, our budget",
            metered_month_of(observing) * (1 / DAYS_IN_A_MONTH),
            _ours(house.observing_daily_budget_usd, "USD/day", "COST_OBSERVABILITY_DAILY_BUDGET_USD"),
            "raise it with the traffic, or lower rates: from 80 % on the brake holds sampling down",
        )
    yield Limit(
        "series, our budget",
        Range.exactly(needs.series),
        _ours(Decimal(house.max_series), "series", "WATCH_MAX_SERIES"),
        "raise it when the bill may rise; fewer models a tenant make fewer series",
    )
    yield Limit(
        "alarms, our budget",
        Range.exactly(needs.alarms.total),
        _ours(Decimal(house.max_alarms), "alarms", "WATCH_MAX_ALARMS"),
        "raise it when the bill may rise",
    )


def _ours(value: Decimal, unit: str, setting: str) -> Quota:
    return Quota(value, unit, f"{setting}, as this environment sets it", adjustable=True)


def _whole(number: Decimal) -> Decimal:
    return number.to_integral_value(ROUND_CEILING)
