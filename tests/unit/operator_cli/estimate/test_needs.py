"""What a workload takes, held against what the benchmarks and the pages say."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from costagg.pipeline import metric_series
from costagg.usage import CallKey, Calls, HourUsage
from harness.estimates import BANDLESS, DESIGN, FACTS, needs
from llmplatform.aws.tables import LEDGER_SHARDS
from llmplatform.costs import INFERENCE_LAYER, OBSERVABILITY_LAYER
from llmplatform.evaluations import DIMENSIONS, JUDGE_DIMENSIONS
from llmplatform.footprint import score_series
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from operator_cli.estimate import figures
from operator_cli.estimate.needs import PROD, Needs, busy_second
from operator_cli.estimate.workload import shares_of
from watch.alarming.counting import alarms_in
from watch.alarming.definitions import AccountNames, definitions
from watch.limits import Limits
from watch.tables.targets import Scores, World

ONE = Decimal(1)


def test_the_cost_job_takes_what_its_benchmark_took() -> None:
    # 2 million rows of a day and 10,240 queries were 23.9 s of CPU, and each hour is computed eight times.
    hour = needs().cost_run_s(Decimal(2_000_000) / 24).likely / 8
    queries = 51 * LEDGER_SHARDS
    assert needs().ledger_queries == queries * 8
    assert hour * 24 == pytest.approx(Decimal("23.9"), rel=Decimal("0.02"))


def test_streams_at_once_are_arrivals_times_length() -> None:
    # 10 a second, 0.8 s to the first token and 600 tokens at 50 a second
    assert needs().streams(Decimal(10)).likely == Decimal(128)


def test_gateway_tasks_are_by_streams_or_by_cpu() -> None:
    assert needs().gateway_tasks(ONE).likely == PROD.gateway.least
    # 1,000 a second that last 12.8 s are 12,800 at once, 200 a task; their CPU would do with 61.
    assert needs().gateway_tasks(Decimal(1_000)).likely == 64
    # At most: 773 µs and 600 tokens of 63 µs each, at six tenths of a core; streams would do with 68.
    assert needs().gateway_tasks(Decimal(1_000)).high == 68


def test_workers_are_by_the_judges_calls_at_once() -> None:
    # 32 calls of 4 s, four fifths of them under way: 6.4 samples a second
    assert needs().worker_tasks(Decimal("6.4") * 5).likely == 5
    assert needs().worker_tasks(Decimal("0.1")).likely == PROD.evalworker.least


def test_alarms_are_those_that_would_be_put_for_so_many_tenants_and_series() -> None:
    tenants, scores = 3, 4
    policies = [
        TenantPolicy(tenant_id=TenantId(f"t{n}"), daily_budget_usd=ONE, daily_budget_tokens=1)
        for n in range(tenants)
    ]
    series = tuple(Scores("t0", "model", f"d{n}") for n in range(scores))
    world = World(FACTS.catalogue, tenants=tuple(policies), scores=series, judges=("judge",))
    put = definitions(world, Limits(), AccountNames("000000000000", "us-east-1"))
    assert FACTS.alarm_units.of(tenants, scores) == replace(alarms_in(put), by_scope=None)


def test_without_bands_each_series_of_scores_has_one_alarm_less() -> None:
    assert needs().alarms.bands == 750
    assert FACTS.alarm_units.scores.total - BANDLESS.scores.total == 1
    assert BANDLESS.of(50, 750).bands == 0


def test_series_are_counted_as_the_cost_job_counts_them() -> None:
    models = ("claude-haiku-4-5", "nova-lite")
    usage = HourUsage(datetime(2026, 11, 29, tzinfo=UTC), "request-ledger")
    for tenant in ("acme", "globex", "initech"):
        for model in models:
            for layer in (INFERENCE_LAYER, OBSERVABILITY_LAYER):
                key = CallKey(tenant, layer, "bedrock", model, model, None, "k", "default", "reported")
                usage.calls[key] = Calls(1)
    ours = Needs(
        replace(DESIGN, tenants=3, models_per_tenant=2, models=shares_of(",".join(models), FACTS.catalogue)),
        FACTS,
    )
    more_dimensions = score_series(3 * 2 * (len(DIMENSIONS) - len(JUDGE_DIMENSIONS)))
    assert ours.series - more_dimensions == metric_series(usage, 100)


def test_a_tenant_has_no_more_series_of_scores_than_are_published() -> None:
    assert needs(models_per_tenant=50).scored == 50 * 100


def test_an_endpoint_is_a_series_of_its_own() -> None:
    llama = needs(models="llama-3-8b-support,nova-lite", models_per_tenant=1)
    without = needs(models="nova-pro,nova-lite", models_per_tenant=1)
    assert llama.series > without.series


def test_parameters_are_read_in_pages_by_every_process() -> None:
    # 156 parameters are 16 pages; gateway 5, worker 2, billing API 2, console 2, every 45 s
    assert needs().parameters == 156
    assert needs().parameter_reads_per_s.likely == pytest.approx(Decimal(16 * 11) / 45)
    assert needs().parameters_read_s.likely == Decimal("0.32")


def test_api_keys_are_decrypted_by_those_who_let_somebody_in() -> None:
    assert needs().key_reads_per_s.likely == pytest.approx(Decimal(50 * 9) / 45)


def test_a_busy_second_is_above_its_mean_by_chance() -> None:
    assert busy_second(Decimal(100)) == 140
    assert busy_second(Decimal(10_000)) == 10_400


def test_the_largest_tenant_spreads_over_its_shards_and_peaks_by_itself() -> None:
    rows = DESIGN.peak_per_s * Decimal("1.05") * DESIGN.largest_tenant * figures.TENANT_PEAK.value.likely
    assert needs().hottest_ledger_partition.likely == pytest.approx(2 * busy_second(rows / LEDGER_SHARDS))
    assert (
        needs(largest_tenant=ONE).hottest_results_partition.likely > needs().hottest_results_partition.likely
    )


def test_the_vcpu_are_those_of_all_tasks() -> None:
    # gateway 5 of 2, worker 2 of 1, billing API 2 of a quarter, console 2 and jobs 2 of a half
    assert needs().vcpu.likely == Decimal("14.5")
