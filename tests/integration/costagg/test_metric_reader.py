"""Metrics read from an emulated CloudWatch, and from a scripted one that answers with less than all."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import pytest_asyncio
from aiohttp import web

from contract.receivers import HttpReceiver
from costagg.metric_reader import MetricReader, MetricsUnavailable
from costagg.usage import CallKey, Calls, ClientTokens, Sharer
from llmplatform.catalogue import Catalogue
from llmplatform.emf import encode_invocation
from llmplatform.invocation import Outcome
from llmplatform.metric_queries import series_of
from llmplatform.metrics import INPUT_TOKEN_COUNT
from llmplatform.testing import FakeClock, make_model, make_record
from llmplatform.usage import TokenUsage
from sandbox.emf_intake import serve_emf
from sandbox.emulator import Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
LATER = HOUR + timedelta(hours=1, minutes=5)
OLD = HOUR - timedelta(days=3)
"""An hour for each test that lists no metrics, so that none finds another's values."""
ACME = series_of(INPUT_TOKEN_COUNT, {"tenant_id": "acme"})


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        yield aws


@asynccontextmanager
async def reader_at(url: str, *, now: datetime = LATER, **options: Any) -> AsyncIterator[MetricReader]:
    async with sandbox_session().client("cloudwatch", endpoint_url=url) as cloudwatch:
        yield MetricReader(cloudwatch, FakeClock(now), **options)


async def put(aws: Emulator, figures: Sequence[tuple[str, str, datetime, float]]) -> None:
    """Publish metric, tenant, moment and value."""
    async with sandbox_session().client("cloudwatch", endpoint_url=aws.url) as cloudwatch:
        for at in range(0, len(figures), 100):
            await cloudwatch.put_metric_data(
                Namespace="LLMPlatform/Inference",
                MetricData=[
                    {
                        "MetricName": name,
                        "Dimensions": [{"Name": "tenant_id", "Value": tenant_id}],
                        "Timestamp": moment,
                        "Value": value,
                    }
                    for name, tenant_id, moment, value in figures[at : at + 100]
                ],
            )


async def test_tokens_of_many_tenants_come_in_few_calls_and_no_datapoint_is_no_entry(aws: Emulator) -> None:
    tenants = [f"tenant-{at}" for at in range(300)]
    hours = [OLD, OLD + timedelta(hours=2)]
    soon = timedelta(minutes=7)
    figures = [
        figure
        for at, tenant_id in enumerate(tenants[::2])
        for figure in (
            ("input_token_count", tenant_id, hours[0] + soon, 1_000 + at),
            ("input_token_count", tenant_id, hours[0] + 5 * soon, 1),
            ("output_token_count", tenant_id, hours[1], 10 + at),
            ("output_token_count", tenant_id, hours[0] + timedelta(hours=1), 99_999),
        )
    ]
    await put(aws, figures)
    async with reader_at(aws.url) as reader:
        found = await reader.tokens(hours, tenants)
        assert (reader.calls, reader.metrics_requested) == (2, 600)
    assert found == {
        hours[0]: {tenant_id: ClientTokens(1_001 + at, 0) for at, tenant_id in enumerate(tenants[::2])},
        hours[1]: {tenant_id: ClientTokens(0, 10 + at) for at, tenant_id in enumerate(tenants[::2])},
    }


async def test_nothing_to_read_asks_for_nothing(aws: Emulator) -> None:
    async with reader_at(aws.url) as reader:
        assert await reader.tokens([], ["acme"]) == {}
        assert await reader.tokens([HOUR], []) == {HOUR: {}}
        assert reader.calls == 0


async def test_too_much_is_refused_before_anything_is_billed(aws: Emulator) -> None:
    async with reader_at(aws.url, max_metrics=9) as reader:
        with pytest.raises(MetricsUnavailable, match="10 metrics would be asked for, and 9 are allowed"):
            await reader.tokens([HOUR], [f"tenant-{at}" for at in range(5)])
        assert (reader.calls, reader.metrics_requested) == (0, 0)


async def test_without_a_cloudwatch_the_metrics_are_unavailable() -> None:
    async with reader_at("http://127.0.0.1:9") as reader:
        with pytest.raises(MetricsUnavailable, match="GetMetricData: EndpointConnectionError"):
            await reader.tokens([HOUR], ["acme"])
        with pytest.raises(MetricsUnavailable, match="ListMetrics: EndpointConnectionError"):
            await reader.tenants(HOUR)


CATALOGUE = Catalogue(
    models={
        "small": make_model("small", service_tier="priority"),
        "mine": make_model(
            "mine",
            endpoint_type="sagemaker",
            dialect="openai_chat",
            backend_model_id="my-endpoint",
            price_key="sagemaker/mine",
        ),
    }
)


def lines() -> list[bytes]:
    """What the gateway logs of six requests."""

    def line(minute: int, **fields: Any) -> bytes:
        return encode_invocation(make_record(completed_at=HOUR + timedelta(minutes=minute), **fields))

    cached = TokenUsage(100, 20, cache_read_tokens=700, cache_write_tokens=300, cache_write_1h_tokens=200)
    dedicated = {
        "model_id": "mine",
        "endpoint_type": "sagemaker",
        "endpoint_name": "my-endpoint",
        "usage": TokenUsage(50, 5),
    }
    return [
        line(0, usage=cached),
        line(59, usage=TokenUsage(1, 2)),
        line(3, **dedicated),
        line(3, **dedicated, tenant_id="globex"),
        line(30, model_id="departed", tenant_id="globex", usage=TokenUsage(7, 8)),
        line(31, outcome=Outcome.REFUSED, usage=TokenUsage(), tenant_id="_unknown", model_id=None),
        line(60, usage=TokenUsage(10**6, 10**6)),
    ]


async def test_an_hours_usage_is_read_from_what_the_gateway_logs(aws: Emulator) -> None:
    async with serve_emf(sandbox_session(), endpoint_url=aws.url) as intake:
        for line in lines():
            intake.accept_line(line)
        await intake.flush()
    async with reader_at(aws.url) as reader:
        assert {"acme", "globex"} <= await reader.tenants(HOUR)
        assert "_unknown" not in await reader.tenants(HOUR)
        usage = await reader.usage(HOUR, ["acme", "globex", "silent"], CATALOGUE)
        assert reader.metrics_requested == 4 * 5 + 3
    assert usage.computed_from == "cloudwatch-metrics"
    assert usage.requests == 5
    assert usage.client_tokens == {"acme": ClientTokens(1_151, 27), "globex": ClientTokens(57, 13)}

    def key(tenant_id: str, model_id: str, price_key: str, **fields: Any) -> CallKey:
        usual = {
            "layer": "inference",
            "endpoint_type": "bedrock",
            "backend_model_id": model_id,
            "endpoint_name": None,
            "service_tier": "default",
            "usage_source": "estimated",
        }
        return CallKey(tenant_id=tenant_id, model_id=model_id, price_key=price_key, **{**usual, **fields})

    mine = {
        "endpoint_type": "sagemaker",
        "backend_model_id": "my-endpoint",
        "endpoint_name": "my-endpoint",
    }
    assert usage.calls == {
        key(
            "acme", "small", "vendor.small", backend_model_id="vendor.small-v1:0", service_tier="priority"
        ): Calls(2, {"input": 101, "output": 22, "cache_read": 700, "cache_write": 300}),
        key("acme", "mine", "sagemaker/mine", **mine): Calls(1, {"input": 50, "output": 5}),
        key("globex", "mine", "sagemaker/mine", **mine): Calls(1, {"input": 50, "output": 5}),
        key("globex", "departed", "departed"): Calls(1, {"input": 7, "output": 8}),
    }
    (endpoint,) = usage.endpoints.values()
    sharers = [Sharer(tenant_id, "mine", "inference") for tenant_id in ("acme", "globex")]
    assert endpoint.tokens == dict.fromkeys(sharers, 55)
    assert endpoint.requests == dict.fromkeys(sharers, 1)
    assert endpoint.active_minutes == 1 << 3
    assert [(at, tokens) for at, tokens in enumerate(endpoint.tokens_by_minute) if tokens] == [(3, 110)]


async def test_a_tenant_that_was_not_asked_for_is_not_read(aws: Emulator) -> None:
    async with reader_at(aws.url) as reader:
        usage = await reader.usage(HOUR, ["silent"], CATALOGUE)
        assert reader.calls == 0
    assert (usage.calls, usage.requests) == ({}, 0)


# -- a scripted CloudWatch -----------------------------------------------------------------------------------


def result(status: str = "Complete", values: Sequence[float] = (), *, more: str = "") -> str:
    """The data of the only query, from the hour on."""
    moments = [(HOUR + timedelta(hours=at)).isoformat() for at in range(len(values))]
    return (
        f"<member><Id>m0</Id><StatusCode>{status}</StatusCode>{more}"
        f"<Timestamps>{''.join(f'<member>{moment}</member>' for moment in moments)}</Timestamps>"
        f"<Values>{''.join(f'<member>{value}</member>' for value in values)}</Values></member>"
    )


def data(*results: str, token: str = "", more: str = "") -> web.Response:
    return _xml("GetMetricData", f"<MetricDataResults>{''.join(results)}</MetricDataResults>{more}", token)


def metrics(*tenants: str, token: str = "") -> web.Response:
    members = "".join(
        "<member><MetricName>request_count</MetricName><Dimensions><member>"
        f"<Name>tenant_id</Name><Value>{tenant_id}</Value></member></Dimensions></member>"
        for tenant_id in tenants
    )
    return _xml("ListMetrics", f"<Metrics>{members}</Metrics>", token)


def throttled() -> web.Response:
    error = "<Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error>"
    return web.Response(status=400, text=f"<ErrorResponse>{error}</ErrorResponse>", content_type="text/xml")


def _xml(operation: str, body: str, token: str) -> web.Response:
    next_token = f"<NextToken>{token}</NextToken>" if token else ""
    wrapped = f"<{operation}Result>{body}{next_token}</{operation}Result>"
    return web.Response(text=f"<{operation}Response>{wrapped}</{operation}Response>", content_type="text/xml")


@dataclass
class Scripted:
    """Answers in order, the last one again and again, and what was asked."""

    answers: Sequence[Callable[[], web.Response]]
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, _receiver: HttpReceiver, _request: web.BaseRequest, body: bytes) -> web.Response:
        self.asked.append({name: values[0] for name, values in parse_qs(body.decode()).items()})
        return self.answers[min(len(self.asked), len(self.answers)) - 1]()

    @asynccontextmanager
    async def reader(self, **options: Any) -> AsyncIterator[MetricReader]:
        server = HttpReceiver(self.answer)
        await server.start()
        try:
            async with reader_at(server.url, **options) as reader:
                yield reader
        finally:
            await server.stop()

    async def values(self) -> dict[datetime, float]:
        async with self.reader() as reader:
            read = await reader.values([ACME], HOUR, HOUR + timedelta(hours=3), 3_600)
            assert reader.calls == reader.metrics_requested
        return dict(read[ACME])


async def test_pages_are_read_to_the_last_and_each_is_counted() -> None:
    scripted = Scripted(
        [
            lambda: data(result("PartialData", [5.0]), token="page-2"),
            lambda: data(token="page-3"),
            lambda: data(result("Complete", [5.0, 6.0])),
        ]
    )
    assert await scripted.values() == {HOUR: 5.0, HOUR + timedelta(hours=1): 6.0}
    assert [asked.get("NextToken") for asked in scripted.asked] == [None, "page-2", "page-3"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: data(result("PartialData", [5.0])), "PartialData"),
        (lambda: data(result("InternalError")), "InternalError"),
        (lambda: data(result("Forbidden")), "Forbidden"),
        (data, "absent"),
        (
            lambda: data(
                result(values=[5.0]),
                more="<Messages><member><Code>MaxMetricsExceeded</Code><Value>so</Value></member></Messages>",
            ),
            "MaxMetricsExceeded",
        ),
        (
            lambda: data(
                result(
                    values=[5.0],
                    more="<Messages><member><Code>Warn</Code><Value>so</Value></member></Messages>",
                )
            ),
            "Warn",
        ),
        (lambda: data(result("PartialData"), token="again"), "endless"),
    ],
    ids=["partial", "internal error", "forbidden", "absent", "message", "message of a series", "endless"],
)
async def test_what_is_not_complete_is_not_taken_for_it(answer: Callable[[], web.Response], why: str) -> None:
    with pytest.raises(MetricsUnavailable, match=why):
        await Scripted([answer]).values()


async def test_throttling_is_waited_out() -> None:
    scripted = Scripted([throttled, lambda: data(result(values=[5.0]))])
    assert await scripted.values() == {HOUR: 5.0}
    assert len(scripted.asked) == 2


async def test_throttling_that_does_not_end_makes_them_unavailable() -> None:
    scripted = Scripted([throttled])
    with pytest.raises(MetricsUnavailable, match="GetMetricData: Throttling"):
        await scripted.values()
    assert len(scripted.asked) == 3


async def test_listing_reads_all_pages_and_knows_what_is_no_tenant() -> None:
    scripted = Scripted([lambda: metrics("acme", "_unknown", token="2"), lambda: metrics("globex", "NO")])
    async with scripted.reader() as reader:
        assert await reader.tenants(HOUR) == {"acme", "globex"}
    assert [asked.get("NextToken") for asked in scripted.asked] == [None, "2"]
    assert {asked["Dimensions.member.1.Name"] for asked in scripted.asked} == {"tenant_id"}


@pytest.mark.parametrize(("age_h", "recently"), [(2, "PT3H"), (3, None), (48, None)])
async def test_only_of_a_recent_hour_the_recently_active_are_listed(age_h: int, recently: str | None) -> None:
    scripted = Scripted([metrics])
    async with scripted.reader(now=HOUR + timedelta(hours=age_h)) as reader:
        await reader.tenants(HOUR)
    assert [asked.get("RecentlyActive") for asked in scripted.asked] == [recently]


async def test_endless_listing_is_given_up() -> None:
    scripted = Scripted([lambda: metrics("acme", token="again")])
    async with scripted.reader() as reader:
        with pytest.raises(MetricsUnavailable, match="endless"):
            await reader.tenants(HOUR)


async def test_an_hour_of_which_metrics_are_listed_no_longer_is_not_taken_for_an_empty_one() -> None:
    scripted = Scripted([metrics])
    async with scripted.reader(now=HOUR + timedelta(days=15)) as reader:
        with pytest.raises(MetricsUnavailable, match="two weeks"):
            await reader.usage(HOUR, ["acme"], CATALOGUE)
    assert scripted.asked == []
