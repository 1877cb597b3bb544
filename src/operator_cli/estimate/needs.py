"""What a workload takes: tasks, calls at once, writes a second, series, alarms. Pure.

Counted for the busiest minute where something may be full, for the mean where only the month's sum counts.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.catalogue import Catalogue
from llmplatform.evaluations import DIMENSIONS
from llmplatform.footprint import (
    LEDGER_ROW_UNITS,
    RESULT_UNITS,
    SAMPLE_BYTES,
    PipelineQuantities,
    score_series,
    series_of,
)
from operator_cli.estimate import figures as known
from operator_cli.estimate.alarms import AlarmUnits
from operator_cli.estimate.figures import Range, total
from operator_cli.estimate.pricing import TaskSize
from operator_cli.estimate.workload import Workload
from watch.alarming.counting import AlarmCounts

RUNS_OF_AN_HOUR: Final = 8
"""How often the cost job computes an hour before it is closed, and how many hours a run computes."""
PARAMETERS_A_TENANT: Final = 3
PLATFORM_PARAMETERS: Final = 6
"""Roles, brakes and who was erased."""
PARAMETERS_A_READ: Final = 10
JOBS_AT_ONCE: Final = 2
"""Of the scheduled ones: drift always, and one other."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tasks of each process."""

    gateway: TaskSize
    evalworker: TaskSize
    billing_api: TaskSize
    console: TaskSize
    job: TaskSize
    """Of a scheduled job: costs, drift, alarms, compaction."""


PROD: Final = Sizes(
    gateway=TaskSize(Decimal(2), Decimal(4), 3),
    evalworker=TaskSize(Decimal(1), Decimal(2), 2),
    billing_api=TaskSize(Decimal("0.25"), Decimal("0.5"), 2),
    console=TaskSize(Decimal("0.5"), Decimal(1), 2),
    job=TaskSize(Decimal("0.5"), Decimal(1), 1),
)
"""As `infra/prod.toml` has them."""


@dataclass(frozen=True, slots=True)
class House:
    """Limits of our own, as this environment sets them."""

    judge_calls_at_once: int
    """Of one worker."""
    judge_daily_budget_usd: Decimal
    """Of a tenant whose policy has none."""
    observing_daily_budget_usd: Decimal | None
    """None is no budget."""
    max_series: int
    max_alarms: int
    policy_refresh_s: Decimal
    """How often a process reads all parameters."""
    policy_load_s: Decimal
    """How long that may take."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not grow with the workload."""

    catalogue: Catalogue
    judge: str
    """A name in the list of judges."""
    judge_price_key: str
    alarm_units: AlarmUnits
    house: House
    sizes: Sizes = PROD


@dataclass(frozen=True, slots=True)
class Needs:
    """What a workload takes of a platform."""

    workload: Workload
    facts: Facts

    @property
    def judgements_per_day(self) -> Decimal:
        """Every sample is judged once."""
        return self.workload.requests_per_day * self.workload.sample_rate

    @property
    def rows_per_day(self) -> Decimal:
        """Rows of the ledger: requests, and the judge's calls."""
        return self.workload.requests_per_day + self.judgements_per_day

    @property
    def samples_per_s(self) -> Decimal:
        """In the busiest minute."""
        return self.workload.peak_per_s * self.workload.sample_rate

    def streams(self, requests_per_s: Decimal) -> Range:
        """At once, at so many requests a second."""
        spoken = known.TOKENS_A_SECOND.value.inverse() * self.workload.output_tokens
        return (known.FIRST_TOKEN_S.value + spoken) * requests_per_s

    def gateway_tasks(self, requests_per_s: Decimal) -> Range:
        """By streams at once and by CPU, whichever takes more. A task's event loop is one core."""
        request_us = (
            known.GATEWAY_REQUEST_US.value + known.GATEWAY_TOKEN_US.value * self.workload.output_tokens
        )
        busy = request_us * (requests_per_s / _MILLION) * known.CPU_SHARE.value.inverse()
        by_streams = self.streams(requests_per_s) * known.GATEWAY_STREAMS.value.inverse()
        return busy.larger(by_streams).map(lambda tasks: _at_least(self.facts.sizes.gateway.least, tasks))

    def judge_calls(self, samples_per_s: Decimal) -> Range:
        """At once."""
        return known.JUDGE_S.value * samples_per_s

    def worker_tasks(self, samples_per_s: Decimal) -> Range:
        """By the judge's calls at once and by CPU, whichever takes more."""
        slots = known.JUDGE_SLOTS.value.inverse() * (Decimal(1) / self.facts.house.judge_calls_at_once)
        by_calls = self.judge_calls(samples_per_s) * slots
        busy = known.EVALUATION_US.value * (samples_per_s / _MILLION) * known.CPU_SHARE.value.inverse()
        return by_calls.larger(busy).map(lambda tasks: _at_least(self.facts.sizes.evalworker.least, tasks))

    @property
    def peak_gateway_tasks(self) -> Range:
        """In the busiest minute."""
        return self.gateway_tasks(self.workload.peak_per_s)

    @property
    def peak_worker_tasks(self) -> Range:
        """In the busiest minute."""
        return self.worker_tasks(self.samples_per_s)

    @property
    def vcpu(self) -> Range:
        """Of all tasks, in the busiest minute."""
        sizes = self.facts.sizes
        fixed = (
            *(size.least * size.vcpu for size in (sizes.billing_api, sizes.console)),
            JOBS_AT_ONCE * sizes.job.vcpu,
        )
        return total(
            [
                self.peak_gateway_tasks * sizes.gateway.vcpu,
                self.peak_worker_tasks * sizes.evalworker.vcpu,
                *map(Range.exactly, fixed),
            ]
        )

    @property
    def ledger_writes_per_s(self) -> Decimal:
        """Units of the table, and as many of its index, in a busy second."""
        return busy_second(self.workload.peak_per_s + self.samples_per_s) * LEDGER_ROW_UNITS

    @property
    def hottest_ledger_partition(self) -> Range:
        """Units a second of each of the largest tenant's shards, in a busy second."""
        rows = (self.workload.peak_per_s + self.samples_per_s) * self.workload.largest_tenant
        return (known.TENANT_PEAK.value * (rows / LEDGER_SHARDS)).map(busy_second) * LEDGER_ROW_UNITS

    @property
    def hottest_results_partition(self) -> Range:
        """Units a second of the largest tenant's results, in a busy second: they have one partition key."""
        results = self.samples_per_s * self.workload.largest_tenant
        return (known.TENANT_PEAK.value * results).map(busy_second) * RESULT_UNITS

    @property
    def stream_bytes_per_s(self) -> Decimal:
        """In a busy second."""
        return busy_second(self.samples_per_s) * SAMPLE_BYTES

    @property
    def scored(self) -> int:
        """Triples of tenant, model and dimension with scores."""
        each = self.workload.models_per_tenant * len(DIMENSIONS)
        return self.workload.tenants * min(each, PipelineQuantities().eval_series_per_tenant)

    @property
    def series(self) -> int:
        """Custom metrics, counted as the cost job counts them: what usage does not tell is one value."""
        return series_of(self._values_of) + score_series(self.scored)

    @property
    def alarms(self) -> AlarmCounts:
        """Of all tenants, series of scores, endpoints, models, and of the platform itself."""
        return self.facts.alarm_units.of(self.workload.tenants, self.scored)

    def _values_of(self, dimensions: tuple[str, ...]) -> int:
        models = [self.facts.catalogue.models[name] for name in self.workload.models]
        number = self.workload.tenants if "tenant_id" in dimensions else 1
        if "model_id" in dimensions:
            number *= self.workload.models_per_tenant if "tenant_id" in dimensions else len(models)
        if "endpoint_name" in dimensions:
            number *= len({model.endpoint_name for model in models} - {None})
        return number

    @property
    def doors(self) -> Range:
        """Processes that let somebody in by a key."""
        sizes = self.facts.sizes
        return self.peak_gateway_tasks + Range.exactly(sizes.billing_api.least + sizes.console.least)

    @property
    def parameters(self) -> int:
        """Of all tenants, and of the platform."""
        return self.workload.tenants * PARAMETERS_A_TENANT + PLATFORM_PARAMETERS

    @property
    def parameter_reads_per_s(self) -> Range:
        """Every process reads all parameters again and again, a page at a time."""
        readers = self.doors + self.peak_worker_tasks
        return readers * (self._parameter_pages / self.facts.house.policy_refresh_s)

    @property
    def parameters_read_s(self) -> Range:
        """How long a process takes to read all parameters."""
        return known.PARAMETERS_PAGE_S.value * self._parameter_pages

    @property
    def _parameter_pages(self) -> Decimal:
        return _at_least(1, Decimal(self.parameters) / PARAMETERS_A_READ)

    @property
    def key_reads_per_s(self) -> Range:
        """Lists of API keys that are decrypted, one a tenant and reading."""
        return self.doors * (self.workload.tenants / self.facts.house.policy_refresh_s)

    @property
    def ledger_queries(self) -> int:
        """Of an hourly run of the cost job: each owner's shards, of each hour that is open."""
        return (self.workload.tenants + 1) * LEDGER_SHARDS * RUNS_OF_AN_HOUR

    def cost_run_s(self, rows_per_hour: Decimal) -> Range:
        """CPU seconds of an hourly run of the cost job."""
        rows = known.COST_ROW_US.value * (RUNS_OF_AN_HOUR * rows_per_hour)
        return (rows + known.COST_QUERY_US.value * self.ledger_queries) * (Decimal(1) / _MILLION)


def busy_second(mean: Decimal) -> Decimal:
    """What a busy second brings where so many come in the mean: arrivals are by chance."""
    return mean + known.BUSIEST_SECOND.value.likely * mean.sqrt()


def _at_least(least: int, number: Decimal) -> Decimal:
    return max(Decimal(least), number.to_integral_value(ROUND_CEILING))
