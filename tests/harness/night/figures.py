"""What was published in the night as metrics: lines of our own encoders, and data that AWS would have put.

Figures of jobs are told once a minute for the last ten minutes, what is only the newest once. What must go on
being told to keep an alarm quiet is: nobody evaluates alarms after the story has begun.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from harness.night.account import ACME, ENDPOINT, GLOBEX, GPUS, HAIKU, INITECH, JUDGE, LLAMA, SONNET, VARIANT
from harness.night.costs import Costs
from harness.night.requests import SLOW_FOR, Requests, moments_until
from harness.night.scores import Evaluated
from llmplatform import metrics as ours
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.emf import encode_figures, encode_invocation
from llmplatform.policy import TenantPolicy
from llmplatform.spending import percent_used
from sandbox.emf_extraction import Datum, Dimensions
from watch.tables import native

_MINUTE: Final = timedelta(minutes=1)
_TOLD_FOR: Final = 10
_VARIANT: Final[Dimensions] = (("EndpointName", ENDPOINT), ("VariantName", VARIANT))
_INSTANCE: Final = "i-0c8f3a52d1b94e607"


def lines(
    requests: Requests, evaluated: Evaluated, costs: Costs, policies: tuple[TenantPolicy, ...], now: datetime
) -> Iterator[bytes]:
    """Every line of the gateway, the worker, the drift job and the cost job."""
    yield from map(encode_invocation, requests.all)
    for result in evaluated.results:
        for dimension, value in result.values.items():
            by = {"tenant_id": result.tenant_id, "model_id": result.model_id, "eval_dimension": dimension}
            yield encode_figures(result.event_at, ours.EVAL_SCORES, by, {ours.EVAL_SCORE.name: value})
    for back in range(1, _TOLD_FOR + 1):
        yield from _of_minute(evaluated, now - back * _MINUTE)
    yield from _of_costs(costs, policies, now)


def _of_minute(evaluated: Evaluated, at: datetime) -> Iterator[bytes]:
    for component in (ours.GATEWAY, ours.DRIFT, ours.COSTAGG):
        yield encode_figures(at, ours.PIPELINE, {"component": component}, {ours.AVAILABILITY.name: 1})
    yield encode_figures(at, ours.PIPELINE, {"component": ours.GATEWAY}, {ours.POLICY_AGE_SECONDS.name: 21.0})
    for sink in ours.SINKS:
        yield encode_figures(
            at, ours.PIPELINE, {"sink": sink}, {ours.SINK_DROPPED.name: 0, ours.SINK_PENDING.name: 0}
        )
    for tenant, look in evaluated.looks.items():
        missing = look.missing_stage is not None
        yield encode_figures(
            at, ours.PIPELINE, {"tenant_id": tenant}, {ours.SCORES_MISSING.name: int(missing)}
        )
        if look.missing_stage is not None:
            stage = {"stage": look.missing_stage}
            yield encode_figures(at, ours.PIPELINE, stage, {ours.SCORES_MISSING.name: 1})
    yield encode_figures(
        at,
        ours.PIPELINE,
        {"judge_identity": JUDGE.identity},
        {ours.JUDGE_UNCALIBRATED.name: 0, ours.CALIBRATION_AGE_DAYS.name: 40},
    )
    for statuses in evaluated.statuses.values():
        for status in statuses:
            series = status.series
            by = {
                "tenant_id": series.tenant_id,
                "model_id": series.model_id,
                "eval_dimension": series.dimension,
            }
            values = {
                ours.SCORE_FALLEN.name: int(status.status == "fallen"),
                ours.SCORE_DROP_PERCENT.name: status.drop_percent,
                ours.SCORE_DROPPED.name: int(bool(status.dropped)),
            }
            yield encode_figures(at, ours.EVAL_SCORES, by, values)


def _of_costs(costs: Costs, policies: tuple[TenantPolicy, ...], now: datetime) -> Iterator[bytes]:
    # The minute that runs is today's, whenever this is; the alarms look at the one before, which may not be.
    for at in (now - _MINUTE, now):
        for owner in (ACME, GLOBEX, INITECH, UNUSED, PLATFORM):
            spent = costs.today(owner)
            budget = next((one.daily_budget_usd for one in policies if one.tenant_id == owner), None)
            used = None if budget is None else round(float(percent_used(spent, budget)), 2)
            values = {
                ours.COST_TODAY_USD.name: float(spent),
                ours.COST_MONTH_TO_DATE_USD.name: float(
                    costs.since(now.replace(day=1, hour=0, minute=0), owner)
                ),
                ours.BUDGET_USED_PERCENT.name: used,
                ours.BUDGET_PROJECTED_PERCENT.name: used,
            }
            yield encode_figures(at, ours.COST, {"tenant_id": owner}, values)
        for model, kind in ((HAIKU, "bedrock"), (SONNET, "bedrock"), (LLAMA, "sagemaker")):
            yield encode_figures(
                at,
                ours.COST,
                {"model_id": model, "endpoint_type": kind},
                {ours.COST_TODAY_USD.name: float(costs.today(model=model))},
            )
        whole = {
            ours.UNPRICED_USAGE.name: costs.unpriced,
            ours.UNCOUNTED_REQUESTS.name: 0,
            ours.OBSERVABILITY_SHARE_PERCENT.name: 0.4,
            ours.OBSERVABILITY_BUDGET_USED_PERCENT.name: 22.0,
        }
        yield encode_figures(at, ours.COST, {"component": ours.COSTAGG}, whole)
        yield encode_figures(
            at, ours.COST, {"price_key": "amazon.nova-2-pro/geo"}, {ours.UNPRICED_USAGE.name: costs.unpriced}
        )
        yield encode_figures(
            at, ours.COST, {"endpoint_name": ENDPOINT}, {ours.UNUSED_CAPACITY_PERCENT.name: 33.3}
        )
        yield encode_figures(
            at, ours.PIPELINE, {"component": ours.COSTAGG}, {ours.COST_AGE_SECONDS.name: 1_500}
        )


def native_data(now: datetime) -> Iterator[Datum]:
    """What SageMaker publishes of the endpoint."""
    chance = random.Random(3)
    for at in moments_until(now):
        slow = now - at <= SLOW_FOR
        busy = 98.0 if slow else chance.uniform(38, 56)
        memory = 91.0 if slow else chance.uniform(66, 69)
        for metric, percent in ((native.GPU_UTILIZATION, busy), (native.GPU_MEMORY_UTILIZATION, memory)):
            yield _datum(metric, at, GPUS * percent)
            for gpu in range(GPUS):
                one = (("AcceleratorId", str(gpu)), ("InstanceId", _INSTANCE), *_VARIANT)
                yield _datum(metric, at, percent, one)
        yield _datum(native.CPU_UTILIZATION, at, chance.uniform(90, 160))
        yield _datum(native.MEMORY_UTILIZATION, at, chance.uniform(40, 44))
        yield _datum(native.DISK_UTILIZATION, at, 31.0)
        yield _datum(native.ENDPOINT_CONCURRENT_REQUESTS, at, 46.0 if slow else float(chance.randint(2, 6)))
        yield _datum(native.ENDPOINT_INVOCATIONS, at, 1.0)
        for errors in (native.ENDPOINT_4XX, native.ENDPOINT_5XX, native.ENDPOINT_MODEL_ERRORS):
            yield _datum(errors, at, 0.0)
        yield _datum(native.ENDPOINT_MODEL_LATENCY, at, 14_000_000.0 if slow else chance.uniform(2e6, 3e6))
        yield _datum(native.ENDPOINT_OVERHEAD_LATENCY, at, chance.uniform(4_000, 9_000))


def _datum(metric: ours.Metric, at: datetime, value: float, dimensions: Dimensions = _VARIANT) -> Datum:
    moment_ms = int(at.timestamp() * 1_000)
    return Datum(
        metric.namespace, metric.name, tuple(sorted(dimensions)), metric.unit, 60, moment_ms, (value,)
    )
