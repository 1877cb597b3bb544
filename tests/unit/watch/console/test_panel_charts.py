from datetime import datetime, timedelta
from typing import Any

import pytest

from llmplatform import metrics as ours
from llmplatform.testing import START, make_model, make_policy
from watch.console.charts import NOTHING_PUBLISHED
from watch.console.panel_charts import Drawn, drawn_of, span_of, whole_of
from watch.console.timerange import WEEK, TimeRange
from watch.limits import Limits
from watch.metric_queries import Figures, Found, Span, Wanted
from watch.panels import BY_KEY, PANELS, panels_of
from watch.tables import native, thresholds
from watch.tables.panel import Panel
from watch.tables.readings import Series, read
from watch.tables.targets import EndpointVariant, Model, Platform, Scores, Tenant

NOW = START.replace(second=0)
RANGE = TimeRange.asked({"last": "15m"}, NOW)
WITH_WEEK = TimeRange.asked({"last": "15m", "compare": "week"}, NOW)
LIMITS = Limits()
ACME = Tenant(make_policy("acme"))
GPUS = EndpointVariant("llama", "blue", "ml.g5.12xlarge", 4)
TTFT = Drawn(BY_KEY["tenant-ttft"], ACME, "tenant-ttft")


def ttft(statistic: str) -> Series:
    return read(ours.TIME_TO_FIRST_TOKEN, statistic, tenant_id="acme").series({})


def told(values: dict[tuple[Series, Span], Any], **more: Any) -> Figures:
    return Figures(
        {
            Wanted(series, span): value if isinstance(value, Found) else Found(value, NOW, **more)
            for (series, span), value in values.items()
        }
    )


def at(minute: int) -> datetime:
    return RANGE.first + timedelta(minutes=minute)


def test_a_line_is_drawn_where_there_is_a_datapoint_and_nowhere_else() -> None:
    figures = told({(ttft("p50"), span_of(RANGE)): {at(0): 300.0, at(2): 310.0}})
    line = TTFT.chart(figures, RANGE, LIMITS).series[0]
    assert line.label == "p50"
    assert list(line.values[:4]) == [300.0, None, 310.0, None]


def test_a_percentile_says_how_many_requests_it_rests_on() -> None:
    figures = told(
        {
            (ttft("p50"), span_of(RANGE)): {at(0): 300.0},
            (ttft("SampleCount"), whole_of(RANGE)): {RANGE.first: 1_204.0},
        }
    )
    assert Wanted(ttft("SampleCount"), whole_of(RANGE)) in set(TTFT.wants(RANGE))
    assert [one.rests_on for one in TTFT.chart(figures, RANGE, LIMITS).series] == ["1,204 streams", None]


def test_a_sum_of_a_period_that_is_not_over_is_said_to_be_one() -> None:
    requests = Drawn(BY_KEY["tenant-requests"], ACME, "x")
    running = TimeRange.asked({"last": "7d"}, NOW + timedelta(minutes=20))
    chart = requests.chart(told({}), running, LIMITS)
    assert [(mark.label, mark.at) for mark in chart.marks] == [("so far", running.steps[-1])]
    assert chart.question.endswith("The last point is the running 1 h so far.")
    assert not TTFT.chart(told({}), running, LIMITS).marks
    over = TimeRange.asked({"from": "2026-01-30T10:00", "to": "2026-01-30T11:00"}, NOW)
    assert not requests.chart(told({}), over, LIMITS).marks


def test_the_week_before_is_drawn_at_this_weeks_times() -> None:
    before = span_of(WITH_WEEK.week_before)
    figures = told({(ttft("p50"), before): {at(3) - WEEK: 250.0}})
    assert Wanted(ttft("p50"), before) in set(TTFT.wants(WITH_WEEK))
    lines = {one.label: one for one in TTFT.chart(figures, WITH_WEEK, LIMITS).series}
    assert lines["p50, a week before"].week_before
    assert lines["p50, a week before"].values[3] == 250.0


def test_thresholds_are_the_tenants_own_and_say_where_they_come_from() -> None:
    policy = make_policy("acme", objectives={"ttft_p99_ms": 2_500})
    chart = Drawn(BY_KEY["tenant-ttft"], Tenant(policy), "x").chart(told({}), RANGE, LIMITS)
    assert [(line.label, line.value) for line in chart.thresholds] == [
        ("ttft_p50_ms (policy)", 800),
        ("ttft_p99_ms (policy)", 2_500),
    ]


def test_gpus_are_drawn_per_gpu_and_so_is_their_threshold() -> None:
    series = read(native.GPU_UTILIZATION, "Average", EndpointName="llama", VariantName="blue").series({})
    chart = Drawn(BY_KEY["endpoint-gpu"], GPUS, "x").chart(
        told({(series, span_of(RANGE)): {at(0): 360.0}}), RANGE, LIMITS
    )
    assert chart.series[0].values[0] == 90.0
    assert [line.value for line in chart.thresholds] == [LIMITS.gpu_percent]


def test_microseconds_are_drawn_as_milliseconds() -> None:
    panel = BY_KEY["endpoint-model-latency"]
    series = panel.readings[0].series(GPUS.variables)
    chart = Drawn(panel, GPUS, "x").chart(told({(series, span_of(RANGE)): {at(0): 250_000.0}}), RANGE, LIMITS)
    assert chart.series[0].values[0] == pytest.approx(250.0)


def test_what_cannot_be_read_is_not_called_empty() -> None:
    failed = Found({}, None, failed="Throttling")
    figures = told({(ttft(one), span_of(RANGE)): failed for one in ("p50", "p99")})
    assert TTFT.chart(figures, RANGE, LIMITS).unknown == "Throttling"


def test_a_line_that_could_not_be_read_beside_one_that_could_is_told() -> None:
    figures = told(
        {
            (ttft("p50"), span_of(RANGE)): {at(0): 300.0},
            (ttft("p99"), span_of(RANGE)): Found({}, None, failed="Throttling"),
        }
    )
    chart = TTFT.chart(figures, RANGE, LIMITS)
    assert (chart.unknown, chart.incomplete) == (None, "Throttling")


def test_an_incomplete_answer_and_a_stale_one_are_told() -> None:
    since = NOW - timedelta(minutes=5)
    figures = told(
        {
            (ttft("p50"), span_of(RANGE)): Found({at(0): 300.0}, NOW, incomplete="PartialData"),
            (ttft("p99"), span_of(RANGE)): Found({at(0): 900.0}, since, failed="TimeoutError"),
        }
    )
    chart = TTFT.chart(figures, RANGE, LIMITS)
    assert (chart.incomplete, chart.stale_since, chart.unknown) == ("PartialData", since, None)


def test_no_data_of_what_is_published_only_when_there_is_some_is_good_news() -> None:
    sparse, other = BY_KEY["platform-emf-errors"], BY_KEY["platform-logs"]
    empty = told({(one.series({}), span_of(RANGE)): {} for one in (*sparse.readings, *other.readings)})
    assert (
        "only published when there is some"
        in Drawn(sparse, Platform(), "x").chart(empty, RANGE, LIMITS).when_empty
    )
    assert Drawn(other, Platform(), "x").chart(empty, RANGE, LIMITS).when_empty == NOTHING_PUBLISHED


def test_sums_say_over_how_much_time() -> None:
    assert (
        Drawn(BY_KEY["platform-requests"], Platform(), "x")
        .chart(told({}), RANGE, LIMITS)
        .title.endswith(", per 1 min")
    )


def test_panels_of_another_kind_of_model_and_of_gpus_that_are_not_there_are_left_out() -> None:
    bedrock = Model(make_model("small"))
    sagemaker = Model(make_model("big", endpoint_type="sagemaker", backend_model_id="llama", dialect="lmi"))
    keys = [{one.panel.key for one in drawn_of(panels_of("model"), model)} for model in (bedrock, sagemaker)]
    assert "model-bedrock-calls" in keys[0] - keys[1]
    cpu = EndpointVariant("llama", "blue", "ml.c5.large", 0)
    assert "endpoint-gpu" not in {one.panel.key for one in drawn_of(panels_of("endpoint"), cpu)}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_every_panel_can_be_drawn(panel: Panel) -> None:
    targets: dict[str, Any] = {
        "platform": Platform(),
        "tenant": ACME,
        "endpoint": GPUS,
        "model": Model(make_model("small")),
        "scores": Scores("acme", "small", "relevance"),
    }
    drawn = Drawn(panel, targets[panel.scope], panel.key)
    figures = told({(want.series, want.span): {want.span.first: 1.0} for want in drawn.wants(WITH_WEEK)})
    chart = drawn.chart(figures, WITH_WEEK, LIMITS)
    assert not chart.empty
    assert chart.question
    labels = [series.label for series in chart.series]
    assert len(set(labels)) == len(labels)


def test_budget_lines_of_one_height_are_one_line() -> None:
    policy = make_policy("acme", daily_budget_usd="10", daily_budget_tokens=1_000)
    panel = BY_KEY["tenant-budget"]
    assert len(panel.thresholds) == len((thresholds.BUDGET_USD, thresholds.BUDGET_TOKENS))
    chart = Drawn(panel, Tenant(policy), "x").chart(told({}), RANGE, LIMITS)
    assert [line.value for line in chart.thresholds] == [LIMITS.budget_percent]
