"""Instances of endpoints: from an emulated CloudWatch, from SageMaker's description, or unknown."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest
import pytest_asyncio
from aiohttp import web

from contract.receivers import HttpReceiver
from costagg.instances import EndpointReader
from costagg.metric_reader import MetricReader
from costagg.usage import InstanceMinutes
from harness.wall_clock import well_within
from llmplatform.catalogue import Catalogue, Endpoint, Variant
from llmplatform.testing import FakeClock
from sandbox.emulator import Emulator, sandbox_session
from sandbox.hardware import Hardware
from sandbox.runtime import serve_runtime

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch.type_defs import DimensionTypeDef

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = "http://127.0.0.1:9"
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
LATER = HOUR + timedelta(hours=4)
LONG_AGO = HOUR - timedelta(days=30)
MINUTE = timedelta(minutes=1)


def catalogue(*names: str, **fields: Any) -> Catalogue:
    variant = Variant(name="AllTraffic", instance_type="ml.g5.xlarge", gpu_count=1, **fields)
    return Catalogue(models={}, endpoints={name: Endpoint(variants=(variant,)) for name in names})


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@asynccontextmanager
async def reader_of(
    endpoints: Catalogue, *, cloudwatch: str, sagemaker: str, now: datetime = LATER
) -> AsyncIterator[EndpointReader]:
    async with (
        sandbox_session().client("cloudwatch", endpoint_url=cloudwatch) as metrics,
        sandbox_session().client("sagemaker", endpoint_url=sagemaker) as control,
    ):
        clock = FakeClock(now)
        yield EndpointReader(MetricReader(metrics, clock), control, endpoints, clock)


async def publish(aws: Emulator, name: str, counts: Mapping[range, int]) -> None:
    """A datapoint for each instance in each minute of the ranges, which begin with the hour."""
    dimensions: list[DimensionTypeDef] = [
        {"Name": "EndpointName", "Value": name},
        {"Name": "VariantName", "Value": "AllTraffic"},
    ]
    async with sandbox_session().client("cloudwatch", endpoint_url=aws.url) as cloudwatch:
        await cloudwatch.put_metric_data(
            Namespace="/aws/sagemaker/Endpoints",
            MetricData=[
                {
                    "MetricName": "CPUUtilization",
                    "Dimensions": dimensions,
                    "Timestamp": HOUR + at * MINUTE,
                    "Unit": "Percent",
                    "Values": [20.0],
                    "Counts": [float(instances)],
                }
                for span, instances in counts.items()
                for at in span
            ],
        )


def only(read: Mapping[str, Sequence[InstanceMinutes]]) -> InstanceMinutes:
    ((minutes,),) = read.values()
    return minutes


class SageMaker(HttpReceiver):
    """A control plane that describes one instance of anything, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__(self._describe)

    @staticmethod
    def _describe(_receiver: HttpReceiver, _request: web.BaseRequest, _body: bytes) -> web.Response:
        variants = [{"VariantName": "AllTraffic", "CurrentInstanceCount": 1}]
        moment = LONG_AGO.timestamp()
        return web.json_response({"CreationTime": moment, "ProductionVariants": variants})

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def test_metered_hours_with_a_scale_out_and_a_gap_need_no_description(aws: Emulator) -> None:
    await publish(
        aws,
        "busy",
        {range(-3, -2): 1, range(2, 20): 1, range(25, 60): 3, range(60, 118): 2, range(125, 126): 2},
    )
    hours = [HOUR, HOUR + timedelta(hours=1)]
    endpoints = catalogue("busy", rated_tokens_per_minute=9_000)
    async with (
        SageMaker() as sagemaker,
        reader_of(endpoints, cloudwatch=aws.url, sagemaker=sagemaker.url) as reader,
    ):
        read = await reader.read(hours)
        assert sagemaker.requests == 0
    assert only(read[hours[0]]) == InstanceMinutes(
        endpoint_name="busy",
        variant="AllTraffic",
        instance_type="ml.g5.xlarge",
        counts=(1,) * 25 + (3,) * 35,
        source="metered",
        rated_tokens_per_minute=9_000,
    )
    assert only(read[hours[1]]).counts == (2,) * 60


async def test_an_endpoint_is_described_once_a_run_and_billed_as_it_is_now(aws: Emulator) -> None:
    hours = [HOUR + timedelta(hours=at) for at in range(3)]
    async with (
        SageMaker() as sagemaker,
        reader_of(catalogue("silent"), cloudwatch=aws.url, sagemaker=sagemaker.url) as reader,
    ):
        read = await reader.read(hours)
        assert sagemaker.requests == 1
    assert {(only(one).counts, only(one).source) for one in read.values()} == {((1,) * 60, "described")}


async def test_an_endpoint_made_in_the_hour_runs_from_then_on(aws: Emulator) -> None:
    made = Hardware(instances=3, created_at=HOUR + timedelta(minutes=40, seconds=10))
    async with (
        serve_runtime(endpoints={"new": made}) as runtime,
        reader_of(catalogue("new"), cloudwatch=aws.url, sagemaker=runtime.url) as reader,
    ):
        read = await reader.read([HOUR, HOUR - timedelta(hours=1)])
    assert only(read[HOUR]).counts == (0,) * 40 + (3,) * 20
    assert only(read[HOUR - timedelta(hours=1)]).counts == (0,) * 60


async def test_an_endpoint_that_is_gone_runs_no_longer(aws: Emulator) -> None:
    await publish(aws, "gone", {range(-5, 10): 2})
    async with (
        serve_runtime() as runtime,
        reader_of(catalogue("gone"), cloudwatch=aws.url, sagemaker=runtime.url) as reader,
    ):
        read = await reader.read([HOUR, HOUR + timedelta(hours=1)])
    assert only(read[HOUR]).counts == (2,) * 10 + (0,) * 50
    assert only(read[HOUR + timedelta(hours=1)]).counts == (0,) * 60


async def test_without_cloudwatch_the_description_counts() -> None:
    endpoints = {"there": Hardware(instances=2, created_at=LONG_AGO)}
    async with (
        serve_runtime(endpoints=endpoints) as runtime,
        reader_of(catalogue("there"), cloudwatch=NOWHERE, sagemaker=runtime.url) as reader,
    ):
        read = only((await reader.read([HOUR]))[HOUR])
    assert (read.counts, read.source) == ((2,) * 60, "described")


async def test_without_cloudwatch_nobody_knows_when_an_endpoint_went() -> None:
    async with (
        serve_runtime(endpoints={}) as runtime,
        reader_of(catalogue("gone"), cloudwatch=NOWHERE, sagemaker=runtime.url) as reader,
    ):
        read = only((await reader.read([HOUR]))[HOUR])
    assert (read.counts, read.source) == ((None,) * 60, "unknown")


async def test_without_either_it_is_unknown_and_not_0(aws: Emulator) -> None:
    async with reader_of(catalogue("quiet"), cloudwatch=aws.url, sagemaker=NOWHERE) as reader:
        read = only((await reader.read([HOUR]))[HOUR])
    assert (read.counts, read.source) == ((None,) * 60, "unknown")


async def test_metered_minutes_stand_where_nobody_describes(aws: Emulator) -> None:
    await publish(aws, "late", {range(50): 2})
    async with reader_of(catalogue("late"), cloudwatch=aws.url, sagemaker=NOWHERE) as reader:
        read = only((await reader.read([HOUR]))[HOUR])
    assert (read.counts, read.source) == ((2,) * 60, "metered")


async def test_of_the_hour_that_runs_minutes_to_come_are_none(aws: Emulator) -> None:
    await publish(aws, "running", {range(28): 2})
    now = HOUR + timedelta(minutes=30, seconds=40)
    async with (
        SageMaker() as sagemaker,
        reader_of(catalogue("running"), cloudwatch=aws.url, sagemaker=sagemaker.url, now=now) as reader,
    ):
        read = await reader.read([HOUR, HOUR + timedelta(hours=1)])
    assert only(read[HOUR]).counts == (2,) * 30 + (0,) * 30
    assert only(read[HOUR + timedelta(hours=1)]).counts == (0,) * 60


async def test_an_old_hour_is_read_in_longer_periods(aws: Emulator) -> None:
    await publish(aws, "old", {range(-2, 61): 2})
    async with (
        SageMaker() as sagemaker,
        reader_of(
            catalogue("old"), cloudwatch=aws.url, sagemaker=sagemaker.url, now=HOUR + timedelta(days=20)
        ) as reader,
    ):
        read = only((await reader.read([HOUR]))[HOUR])
        assert sagemaker.requests == 0
    assert (read.counts, read.source) == ((2,) * 60, "metered")


async def test_what_the_sandbox_publishes_of_an_idle_endpoint_is_its_instances(aws: Emulator) -> None:
    began = await well_within(timedelta(hours=1), left=timedelta(minutes=1))
    endpoints = {"idle": Hardware(instances=2, created_at=began)}
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(
            serve_runtime(cloudwatch_url=aws.url, metrics_interval_s=3_600, endpoints=endpoints)
        )
        metrics = runtime.metrics
        assert metrics is not None
        await metrics.publish()
        published = datetime.now(UTC)
        reader = await stack.enter_async_context(
            reader_of(
                catalogue("idle"),
                cloudwatch=aws.url,
                sagemaker=runtime.url,
                now=published + timedelta(minutes=1),
            )
        )
        runtime.hardware["idle"] = Hardware(instances=9, created_at=began)  # told from what was metered
        hour = began.replace(minute=0, second=0, microsecond=0)
        read = only((await reader.read([hour]))[hour])
    assert (set(read.counts), read.source) == ({0, 2}, "metered")


async def test_no_endpoints_and_no_hours_are_nothing(aws: Emulator) -> None:
    async with reader_of(Catalogue(models={}), cloudwatch=aws.url, sagemaker=NOWHERE) as reader:
        assert await reader.read([]) == {}
        assert await reader.read([HOUR]) == {HOUR: {}}
