"""Metrics, alarms and how scores stand, read from an emulated AWS; and calls counted where they go out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from llmplatform import metrics as ours
from llmplatform.aws.tables import EVAL_DETECTOR
from llmplatform.eval_status import STATUS_ENTRY, STATUSES, SeriesStatus, encode_statuses
from llmplatform.testing import FakeClock
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import provision
from watch.metric_queries import Span, wanted
from watch.reading import alarms, standing
from watch.reading.alarms import AlarmReader
from watch.reading.aws_calls import AwsCalls, count_calls_of, counted
from watch.reading.metrics import MetricReader
from watch.reading.standing import StandingReader
from watch.tables.readings import Series, read

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_cloudwatch import CloudWatchClient
    from types_aiobotocore_dynamodb import DynamoDBClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

END = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
SPAN = Span(END - timedelta(minutes=17), END, 60)
WHOLE = Span.whole(SPAN.first, SPAN.end)
"""Seventeen minutes, which begin at no multiple of themselves."""
FIRST = SPAN.first + timedelta(minutes=1, seconds=5)
LAST = SPAN.end - timedelta(seconds=5)
WITHIN_S = 60.0
"""A busy machine may take its time."""


@dataclass
class Clients:
    cloudwatch: "CloudWatchClient"
    dynamodb: "DynamoDBClient"


def ttft(statistic: str, tenant: str = "acme") -> Series:
    return read(ours.TIME_TO_FIRST_TOKEN, statistic, tenant_id=tenant).series({})


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        session = sandbox_session()
        count_calls_of(session)
        async with (
            session.client("cloudwatch", endpoint_url=aws.url) as cloudwatch,
            session.client("dynamodb", endpoint_url=aws.url) as dynamodb,
        ):
            await cloudwatch.put_metric_data(
                Namespace=ours.INFERENCE,
                MetricData=[
                    {
                        "MetricName": "time_to_first_token",
                        "Dimensions": [{"Name": "tenant_id", "Value": "acme"}],
                        "Timestamp": moment,
                        "Values": values,
                        "Counts": [1.0] * len(values),
                        "Unit": "Milliseconds",
                    }
                    for moment, values in ((FIRST, [100.0, 200.0, 300.0]), (LAST, [1_000.0]))
                ],
            )
            yield Clients(cloudwatch, dynamodb)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for reading in (alarms, standing):
        monkeypatch.setattr(reading, "WITHIN_S", WITHIN_S)


async def test_series_by_minute_have_gaps_and_the_whole_time_is_one_value(aws: Clients) -> None:
    async with MetricReader(aws.cloudwatch, FakeClock(END), within_s=WITHIN_S) as reader:
        series = [ttft("Average"), ttft("p99"), ttft("SampleCount"), ttft("Average", "zeta")]
        with counted(AwsCalls()) as calls:
            figures = await reader.read(wanted(series, SPAN, WHOLE))
        assert calls.count == 2
        assert figures.of(ttft("Average"), SPAN).values == {
            FIRST.replace(second=0): 200.0,
            LAST.replace(second=0): 1_000.0,
        }
        assert figures.of(ttft("SampleCount"), WHOLE).only == 4
        assert figures.of(ttft("Average"), WHOLE).only == 400.0
        assert 900 < (figures.of(ttft("p99"), WHOLE).only or 0) <= 1_000
        assert figures.of(ttft("Average", "zeta"), SPAN).values == {}
        assert not figures.of(ttft("Average", "zeta"), SPAN).unknown


async def test_what_was_just_read_is_no_call(aws: Clients) -> None:
    async with MetricReader(aws.cloudwatch, FakeClock(END), within_s=WITHIN_S) as reader:
        await reader.read(wanted([ttft("Average")], SPAN))
        with counted(AwsCalls()) as calls:
            await reader.read(wanted([ttft("Average")], SPAN))
        assert calls.count == 0


async def test_what_rings_is_asked_for_alone(aws: Clients) -> None:
    for name in ("llm-platform/tenant/acme/ttft-p99", "llm-platform/tenant/zeta/ttft-p99", "other"):
        await aws.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace=ours.INFERENCE,
            MetricName="time_to_first_token",
            ExtendedStatistic="p99",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=["arn:aws:sns:us-east-1:000000000000:llm-platform-warning"],
        )
    for name in ("llm-platform/tenant/acme/ttft-p99", "other"):
        await aws.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="late")
    sns: object = None
    reader = AlarmReader(aws.cloudwatch, sns, FakeClock(END))  # type: ignore[arg-type]  # nobody is told here
    assert [alarm.name for alarm in await reader.ringing()] == ["llm-platform/tenant/acme/ttft-p99"]


async def test_how_scores_stand_is_one_call_for_all_tenants(aws: Clients) -> None:
    status = SeriesStatus(
        key="acme#small#relevance#0123", status="steady", current=True, began=FIRST, latest=LAST
    )
    await aws.dynamodb.put_item(
        TableName=EVAL_DETECTOR.name,
        Item={"owner": {"S": "acme"}, "entry": {"S": STATUS_ENTRY}, STATUSES: encode_statuses([status])},
    )
    with counted(AwsCalls()) as calls:
        stand = await StandingReader(aws.dynamodb, FakeClock(END)).of(["acme", "zeta"])
    assert calls.count == 1
    assert stand.by_tenant == {"acme": (status,), "zeta": ()}
