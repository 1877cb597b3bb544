"""What observing costs: against the page on allocation, the cost job's own estimate, and by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from costagg.pipeline import pipeline_lines
from costagg.usage import HourUsage
from harness.estimates import DESIGN, FACTS, needs, pricing
from llmplatform.footprint import (
    LOGS_IN,
    READS,
    STREAM_HOURS,
    STREAM_IN,
    STREAM_OUT,
    TRACES,
    VCPU_HOURS,
    WRITES,
    PipelineQuantities,
)
from llmplatform.prices import load_prices
from operator_cli.estimate.needs import Needs
from operator_cli.estimate.observing import observing_parts
from operator_cli.estimate.parts import Part
from operator_cli.estimate.pricing import DAYS_IN_A_MONTH

ONE_PERCENT = Decimal("0.01")


def parts_of(of: Needs, region: str = "us-east-1") -> dict[str, Part]:
    return {part.name: part for part in observing_parts(of, pricing(region))}


def usd(part: Part) -> Decimal:
    assert part.usd is not None
    return part.usd.likely


def metered(part: Part) -> Decimal:
    assert part.metered_usd is not None
    return part.metered_usd.likely


def test_the_judge_costs_a_day_what_the_page_on_allocation_says() -> None:
    judge = parts_of(needs())["judge"]
    assert usd(judge) / DAYS_IN_A_MONTH == Decimal(429)
    assert judge.usd is not None
    assert judge.usd.low < judge.usd.likely < judge.usd.high


def test_a_judge_without_a_price_is_unknown_and_not_nothing() -> None:
    facts = replace(FACTS, judge_price_key="acme.judge/in-region")
    assert parts_of(Needs(DESIGN, facts))["judge"].usd is None


def test_the_cost_jobs_own_estimate_says_the_same_of_what_it_knows() -> None:
    parts = parts_of(needs())
    requests, judged = 2_000_000, 100_000
    day = HourUsage(
        datetime(2026, 11, 29, tzinfo=UTC),
        "request-ledger",
        requests=requests + judged,
        sampled=judged,
        judged=judged,
    )
    lines = pipeline_lines(
        day,
        load_prices(),
        region="us-east-1",
        quantities=PipelineQuantities(),
        metrics_requested=102,
        at_work=True,
    )
    job = {line.price_key: line.amount_usd or Decimal(0) for line in lines}
    # An hour with a day's requests: what goes by the hour is a twenty-fourth. The job sees traces of the
    # judge's calls too, since those have rows; they have none.
    judge_traces = judged * Decimal("0.1") * Decimal("0.000005")
    ours = {
        name: metered(parts[name]) / DAYS_IN_A_MONTH
        for name in ("tables, writes", "tables, reads", "logs, taken in", "traces", "stream")
    }
    hours = 23 * job[STREAM_HOURS]
    assert ours["tables, writes"] == pytest.approx(job[WRITES], rel=ONE_PERCENT)
    assert ours["tables, reads"] == pytest.approx(job[READS], rel=ONE_PERCENT)
    assert ours["logs, taken in"] == pytest.approx(job[LOGS_IN], rel=ONE_PERCENT)
    assert ours["traces"] == pytest.approx(job[TRACES] - judge_traces, rel=ONE_PERCENT)
    assert ours["stream"] == pytest.approx(job[STREAM_IN] + job[STREAM_OUT] + job[STREAM_HOURS] + hours)
    assert metered(parts["evaluation workers"]) / 730 > job[VCPU_HOURS]  # and its memory


def test_series_are_priced_in_steps_and_metered_at_the_first() -> None:
    series = parts_of(Needs(DESIGN.times(Decimal(10), "tenants"), FACTS))["custom metrics"]
    number = series.quantity.likely
    assert number > 10_000
    assert usd(series) == 10_000 * Decimal("0.30") + (number - 10_000) * Decimal("0.10")
    assert metered(series) == number * Decimal("0.30")


def test_a_table_holds_what_is_written_until_its_rows_expire() -> None:
    stored = parts_of(needs(sample_rate=Decimal(0), models_per_tenant=1))["tables, stored"]
    ledger = Decimal(2_000_000) * 2 * 1_300 * 90 / 2**30
    assert stored.quantity.likely - ledger < 10  # gigabytes of cost lines
    assert parts_of(needs())["tables, recovery"].quantity.likely < stored.quantity.likely


def test_logs_are_kept_ninety_days_and_archived_for_two_years() -> None:
    parts = parts_of(needs())
    taken = parts["logs, taken in"].quantity.likely / DAYS_IN_A_MONTH
    assert parts["logs, 90 days"].quantity.likely == pytest.approx(taken * 90 / 10)
    assert parts["logs, 2 years"].quantity.likely == pytest.approx(taken * 730 / 10)


def test_without_samples_nothing_is_paid_for_judging() -> None:
    parts = parts_of(needs(sample_rate=Decimal(0)))
    assert not usd(parts["judge"])
    assert not usd(parts["history, files put"])
    assert usd(parts["evaluation workers"]) > 0  # they stand there


def test_what_kinesis_asks_for_later_days_is_not_known() -> None:
    assert [part.name for part in parts_of(needs()).values() if part.usd is None] == [
        "stream, after its first day"
    ]


def test_elsewhere_hardly_a_price_is_known() -> None:
    unknown = [part.name for part in parts_of(needs(), "eu-north-1").values() if part.usd is None]
    assert "custom metrics" in unknown
    assert "alarms" in unknown


def test_a_part_says_where_its_figures_come_from() -> None:
    for name, part in parts_of(needs()).items():
        assert len(part.source) > 10, name
