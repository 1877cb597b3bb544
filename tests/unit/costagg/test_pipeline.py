"""What watching costs: from counts and sizes, at the services' prices."""

from decimal import Decimal
from fractions import Fraction

from corpus.costs import REGION, call, prices, service_price, usage
from costagg.pipeline import metric_series, pipeline_lines
from costagg.usage import Calls, HourUsage
from llmplatform.costs import OBSERVABILITY_LAYER, PLATFORM, CostLine
from llmplatform.footprint import METRICS_READ, STREAM_HOURS, WRITES, PipelineQuantities
from llmplatform.metrics import METRICS
from llmplatform.prices import load_prices

WRITE_PRICE = service_price("AmazonDynamoDB", "WriteRequestUnits", "0.000000625")
ALONE = PipelineQuantities(
    per_request={WRITES: Fraction(4)},
    per_sample={WRITES: Fraction(2)},
    per_judgement={WRITES: Fraction(16)},
    per_hour={},
)


def lines_of(
    facts: HourUsage, quantities: PipelineQuantities = ALONE, metrics: int = 0, *, at_work: bool = True
) -> list[CostLine]:
    return list(
        pipeline_lines(
            facts,
            prices(WRITE_PRICE),
            region=REGION,
            quantities=quantities,
            metrics_requested=metrics,
            at_work=at_work,
        )
    )


def test_writes_are_those_of_requests_samples_and_judgements() -> None:
    (line,) = lines_of(usage(requests=1_000, sampled=50, judged=40))
    # 4,000 + 100 + 640 units at 0.625 $ a million
    assert (line.quantity, line.amount_usd) == (Decimal(4_740), Decimal("0.0029625"))
    assert (line.tenant_id, line.layer, line.requests) == (PLATFORM, OBSERVABILITY_LAYER, 0)
    assert (line.service, line.price_key, line.unit) == ("AmazonDynamoDB", WRITES, "Units")
    assert (line.charge_class, line.usage_source) == ("service", "estimated")
    assert (line.allocation_method, line.endpoint_type, line.model_id) == ("estimate/1", None, None)


def test_a_service_without_a_price_is_unpriced() -> None:
    lines = lines_of(usage(), PipelineQuantities({}, {}, {}, {STREAM_HOURS: Fraction(1)}), metrics=500)
    assert [(line.price_key, line.quantity, line.amount_usd) for line in lines] == [
        (METRICS_READ, Decimal(500), None),
        (STREAM_HOURS, Decimal(1), None),
    ]


def test_what_is_not_used_makes_no_line() -> None:
    assert lines_of(usage()) == []


def test_an_hour_before_the_platform_ran_has_no_fixed_cost() -> None:
    assert lines_of(usage(), PipelineQuantities({}, {}, {}, {STREAM_HOURS: Fraction(1)}), at_work=False) == []


def test_every_service_of_the_defaults_has_a_price() -> None:
    facts = usage(requests=83_000, sampled=4_000, judged=4_000, calls={call(): Calls(1, {"input": 1})})
    lines = list(
        pipeline_lines(
            facts,
            load_prices(),
            region=REGION,
            quantities=PipelineQuantities(),
            metrics_requested=2_000,
            at_work=True,
        )
    )
    assert len(lines) == 11
    assert all(line.amount_usd for line in lines)


def test_metrics_are_counted_by_the_dimensions_that_were_seen() -> None:
    bedrock = usage(calls={call(): Calls(1), call(usage_source="drained"): Calls(1)})
    one = metric_series(bedrock, 100)
    bedrock.calls[call("globex")] = Calls(1)
    two = metric_series(bedrock, 100)
    bedrock.calls[call(endpoint_type="sagemaker", model_id="llama", endpoint_name="llama")] = Calls(1)
    three = metric_series(bedrock, 100)
    assert metric_series(usage(), 100) == 0
    assert 0 < one < two < three < 3 * one


def test_a_call_without_an_endpoint_has_no_series_by_endpoint() -> None:
    without = metric_series(usage(calls={call(): Calls(1)}), 100)
    with_one = metric_series(usage(calls={call(endpoint_name="llama"): Calls(1)}), 100)
    by_endpoint = [metric for metric in METRICS.values() if ("endpoint_name",) in metric.dimension_sets]
    assert with_one - without == len(by_endpoint) > 0


def test_scores_are_series_of_judged_tenants_alone_and_bounded() -> None:
    facts = usage(calls={call(model_id=f"m{at}"): Calls(1) for at in range(50)})
    unjudged = metric_series(facts, 100)
    facts.calls[call(layer=OBSERVABILITY_LAYER)] = Calls(1)
    # 50 models of 4 dimensions are 200 series; of 100, four metrics each are published.
    assert metric_series(facts, 100) - unjudged == 400
