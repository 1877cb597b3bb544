"""Every metric query of every panel of every dashboard finds data, after traffic through the product.

Gateway, evaluation, drift and cost job run before an AWS of the sandbox's, which publishes what AWS publishes
of itself. Then the dashboards' JSON is walked, and CloudWatch is asked for each query in it, once for every
value of the variables that it names.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from string import Template
from typing import Any, Final

import httpx
import numpy as np
import pytest
import pytest_asyncio
from msgspec import structs

from evalworker.bootstrap import assembled
from evalworker.records import StreamRecord
from evalworker.settings import EnvironmentSettings, EvalSettings
from harness.cost_account import a_row, bedrock, put_instances, put_rows, sagemaker
from harness.cost_job import MINUTE, ran, served_profiles
from harness.evaluation import JUDGE, JUDGES, brought, verdict
from harness.grafana_api import TOKEN, grafana_api
from harness.platform import TENANT, GatewayProcess, Laptop, isolated, running_laptop
from harness.score_series import GOOD
from harness.wall_clock import DAY, HOUR, well_within
from harness.watched import metric_queries_in
from llmplatform.account_budget import ACCOUNT_BUDGET
from llmplatform.aws.schedules import DEAD_LETTERS as DEAD_LETTERS_QUEUE
from llmplatform.aws.tables import EVAL_CONSUMER, EVAL_MINUTES, EVAL_RESULTS, EVAL_STREAM, TABLES
from llmplatform.catalogue import parse_catalogue
from llmplatform.emf import encode_figures
from llmplatform.eval_series import BERTSCORE_BINS, JUDGE_BINS, MinuteScores, Series, encode_minute
from llmplatform.evaluations import BERTSCORE, DIMENSIONS, decode_result, epoch_of
from llmplatform.metrics import (
    ACCOUNT_BUDGET_USED_PERCENT,
    COST,
    COSTAGG,
    PIPELINE,
    RECONCILIATION_ERROR_PERCENT,
    SAMPLING_FACTOR,
)
from llmplatform.samples import decode_sample
from llmplatform.usage import TokenUsage
from sandbox.children import Child
from sandbox.emulator import REGION
from sandbox.engines.scripted import Script, ScriptedUsage
from sandbox.faults import Refuse, StreamException
from watch.grafana.boards import boards
from watch.grafana.dashboards import encode
from watch.grafana.drawing import Places
from watch.limits import Limits
from watch.tables.native import DEAD_LETTERS, STREAM_PUSHED_AGE
from watch.tables.targets import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTE = "/v1/chat/completions"
SENT_WITHIN_S = 60  # the runtimes tell requests in flight every ten
BACKENDS = {"small": "vendor.small-v1:0", "llama": "llama"}
CATALOGUE = """
[models.small]
endpoint_type = "bedrock"
backend_model_id = "vendor.small-v1:0"
dialect = "converse"
price_key = "vendor.small/in-region"
max_attempts = 1

[models.llama]
endpoint_type = "sagemaker"
backend_model_id = "llama"
dialect = "openai_chat"
price_key = "hosted"
max_attempts = 1

[[endpoints.llama.variants]]
name = "AllTraffic"
instance_type = "ml.g5.12xlarge"
gpu_count = 4
"""
_ROW = """
regions = ["us-east-1"]
effective_from = 2020-01-01
source = "a test"
retrieved_on = 2026-01-01
"""
PRICES = f"""
version = "dashboards"

[[prices]]
price_key = "vendor.small/in-region"
{_ROW}
usd_per_million_tokens = {{ input = 1.00, output = 5.00 }}

[[prices]]
price_key = "sandbox/judge"
{_ROW}
usd_per_million_tokens = {{ input = 1.00, output = 5.00 }}

[[instance_prices]]
instance_type = "ml.g5.12xlarge"
{_ROW}
usd_per_hour = 7.00

[[service_prices]]
service = "AmazonDynamoDB"
name = "WriteRequestUnits"
unit = "units"
{_ROW}
usd_per_unit = 0.000001
"""
CAUSED = {
    ("AWS/DynamoDB", "ReadThrottleEvents"): "the emulator's tables have no limit to run into",
    ("AWS/DynamoDB", "WriteThrottleEvents"): "the emulator's tables have no limit to run into",
    ("LLMPlatform/Cost", "reconciliation_error_percent"): "told when a month's bill has been compared",
}
"""What no traffic brings about, and why: a datapoint is put as its publisher would put it."""
IN_AN_ACCOUNT: Final = (
    (STREAM_PUSHED_AGE, {"StreamName": EVAL_STREAM.name, "ConsumerName": EVAL_CONSUMER}),
    (DEAD_LETTERS, {"QueueName": DEAD_LETTERS_QUEUE}),
)
"""What AWS publishes of what only a deployment has: a consumer that is pushed to, a queue of dead letters."""


@dataclass
class Ran:
    """A platform after its traffic."""

    laptop: Laptop
    world: World

    def dashboards(self) -> list[Mapping[str, Any]]:
        return [encode(board, Places(None)) for board in boards(self.world, Limits())]


def body(model: str, *, stream: bool, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "Why is the sky blue?"}]
    reference = {"reference": "Air scatters blue light more."}
    return {"model": model, "messages": said, "stream": stream, "x_evaluation": reference, **more}


async def traffic(laptop: Laptop, gateway: GatewayProcess) -> None:
    """Requests with every outcome, and with every fault that a backend counts."""
    usage = ScriptedUsage(input_tokens=100, output_tokens=20)
    good = Script(pieces=("Blue light ", "scatters ", "more."), usage=usage, interval_ms=5)
    refusals = {
        "throttled": Refuse(status=429, error_type="ThrottlingException"),
        "refused": Refuse(status=400, error_type="ValidationException"),
        "failed": Refuse(status=500, error_type="InternalServerException"),
    }
    broken = StreamException(exception_type="modelStreamErrorException", after_events=2)
    async with gateway.http() as client:
        for model, backend in BACKENDS.items():
            scripts = laptop.runtime.scripts
            scripts[backend] = good
            for stream in (False, True, True):
                reply = await client.post(ROUTE, json=body(model, stream=stream))
                assert reply.status_code == 200, reply.text
            tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
            refused = await client.post(ROUTE, json=body(model, stream=False, tools=tools))
            assert refused.status_code == 400, refused.text
            scripts[backend] = structs.replace(good, token_count=400, pieces=(), interval_ms=20)
            asked = body(model, stream=True, max_tokens=400)
            async with client.stream("POST", ROUTE, json=asked) as reply:
                await anext(reply.aiter_raw())
            for fault in (*refusals.values(), broken):
                scripts[backend] = structs.replace(good, faults=(structs.replace(fault, times=1),))
                await client.post(ROUTE, json=body(model, stream=fault is broken))
                scripts[backend] = good


async def evaluate(laptop: Laptop, folder: Path) -> None:
    """What was sampled, judged: once without a verdict, as a judge that is down, then with one."""
    samples = await laptop.samples()
    assert {decode_sample(data).model_id for data in samples} == set(BACKENDS)
    arrived = datetime.now(UTC) - timedelta(seconds=60)
    records = [
        StreamRecord("shardId-000000000000", f"{number:056d}", arrived, data)
        for number, data in enumerate(samples)
    ]
    (folder / "judges.toml").write_text(JUDGES)
    settings = EvalSettings(judges=folder / "judges.toml")
    environment = EnvironmentSettings(
        aws_region=REGION,
        llm_platform_prices=folder / "prices.toml",
        aws_emf_agent_endpoint=laptop.emf.address,
    )
    async with assembled(settings, environment) as worker:
        unanswered = Refuse(status=400, error_type="ValidationException", times=1)
        laptop.runtime.scripts[JUDGE] = structs.replace(verdict(), faults=(unanswered,))
        judging = asyncio.create_task(brought(worker.evaluator, records))
        while not judging.done():  # what waits is told while it waits
            worker.reporter.report()
            await asyncio.sleep(0.2)
        await judging
        await worker.delivered(within_s=60)


async def remember_a_week(laptop: Laptop) -> None:
    """Minutes of good scores in the days before, so that the detector knows what is normal."""
    dynamodb = laptop.boto3("dynamodb")
    drawn = np.random.default_rng(3)
    until = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    try:
        results = [decode_result(item) for item in dynamodb.scan(TableName=EVAL_RESULTS.name)["Items"]]
        series = {
            Series(
                one.tenant_id, one.model_id, name, epoch_of(name, one.judge.identity, one.bertscore_identity)
            )
            for one in results
            for name in one.values
        }
        assert {(one.model_id, one.dimension) for one in series} == set(product(BACKENDS, DIMENSIONS))
        rows = []
        for one in series:
            bins = np.asarray(BERTSCORE_BINS if one.dimension == BERTSCORE else JUDGE_BINS)
            chances = GOOD if len(bins) == len(GOOD) else np.full(len(bins), 1 / len(bins))
            for at in range(96, 0, -1):
                counts = drawn.multinomial(20, chances)
                sums = float(counts @ bins), float(counts @ bins**2)
                moment = until - at * timedelta(minutes=45)
                rows.append(
                    encode_minute(
                        one, MinuteScores(moment, 20, 20.0, sums[0], sums[1], tuple(counts.tolist()))
                    )
                )
        for at in range(0, len(rows), 25):
            writes = [{"PutRequest": {"Item": row}} for row in rows[at : at + 25]]
            dynamodb.batch_write_item(RequestItems={EVAL_MINUTES.name: writes})
    finally:
        dynamodb.close()


async def watch_drift(laptop: Laptop, folder: Path) -> None:
    """`python -m evalworker drift --once`."""
    environment = isolated({**laptop.aws.environment(), "AWS_EMF_AGENT_ENDPOINT": laptop.emf.address})
    child = await Child.start(
        "drift",
        "evalworker",
        ("drift", "--once"),
        environment=environment,
        log_file=folder / "drift.log",
    )
    async with asyncio.timeout(60):
        await child.ended
    assert child.returncode == 0, child.tail()


async def compact(laptop: Laptop, folder: Path) -> None:
    """`python -m evalworker compact`."""
    environment = isolated({**laptop.aws.environment(), "AWS_EMF_AGENT_ENDPOINT": laptop.emf.address})
    child = await Child.start(
        "compaction", "evalworker", ("compact",), environment=environment, log_file=folder / "compact.log"
    )
    async with asyncio.timeout(60):
        await child.ended
    assert child.returncode == 0, child.tail()


async def compute_costs(laptop: Laptop, folder: Path) -> None:
    """`python -m costagg run`, with requests in an hour that is over and in a minute of today that is.

    Metrics are held against the first; and of an endpoint only minutes that are over have a cost, which none
    may be since the traffic began, or since midnight: two of today are, of which one is used by nobody.
    """
    now = await well_within(DAY, begun=2 * MINUTE, left=MINUTE)
    before, minute = now - HOUR, now.replace(second=0, microsecond=0) - MINUTE
    usage = TokenUsage(input_tokens=100, output_tokens=20)
    attempts = (bedrock("small", "vendor.small/in-region", usage), sagemaker("llama", usage))
    await put_rows(
        laptop.aws.url, [a_row(TENANT, at, attempt) for at in (before, minute) for attempt in attempts]
    )
    hour = before.replace(minute=0, second=0, microsecond=0)
    await put_instances(laptop.aws.url, "llama", hour, [1] * 60)
    async with served_profiles({}) as profiles:
        environment = {
            **laptop.aws.environment(),
            "AWS_ENDPOINT_URL_SAGEMAKER": laptop.runtime.url,
            "AWS_ENDPOINT_URL_BEDROCK": profiles,
            "AWS_EMF_AGENT_ENDPOINT": laptop.emf.address,
            "LLM_PLATFORM_CATALOGUE": str(folder / "catalogue.toml"),
            "LLM_PLATFORM_PRICES": str(folder / "prices.toml"),
            "COST_LOOK_BACK_H": "4",
            "COST_CLOSE_AFTER_H": "2",
            "COST_OBSERVABILITY_DAILY_BUDGET_USD": "1",
        }
        ended = await ran(folder, "run", environment=environment)
    assert ended.status == 0, ended.told


def cause(laptop: Laptop) -> None:
    """What no traffic brings about; see CAUSED and IN_AN_ACCOUNT."""
    laptop.emf.accept_line(b'{"_aws": {"CloudWatchMetrics": [')
    laptop.emf.accept_line(json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{}]}}).encode())
    now = datetime.now(UTC)
    for service in ("AmazonBedrock", "AmazonSageMaker"):
        figures = {RECONCILIATION_ERROR_PERCENT.name: 0.4}
        metric = RECONCILIATION_ERROR_PERCENT
        laptop.emf.accept_line(encode_figures(now, metric.namespace, {"service": service}, figures))
    used = {ACCOUNT_BUDGET_USED_PERCENT.name: 12.5}
    laptop.emf.accept_line(encode_figures(now, COST, {"component": COSTAGG}, used))
    laptop.emf.accept_line(
        encode_figures(now, PIPELINE, {"reason": ACCOUNT_BUDGET}, {SAMPLING_FACTOR.name: 1.0})
    )
    cloudwatch = laptop.boto3("cloudwatch")
    try:
        for native, dimensions in IN_AN_ACCOUNT:
            named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
            told = {"MetricName": native.name, "Value": 0, "Dimensions": named}
            cloudwatch.put_metric_data(Namespace=native.namespace, MetricData=[told])
        for table in TABLES:
            for name in ("ReadThrottleEvents", "WriteThrottleEvents"):
                datum = {
                    "MetricName": name,
                    "Value": 1,
                    "Unit": "Count",
                    "Dimensions": [{"Name": "TableName", "Value": table.name}],
                }
                cloudwatch.put_metric_data(Namespace="AWS/DynamoDB", MetricData=[datum])
    finally:
        cloudwatch.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="platform")
async def after_traffic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ran]:
    folder = tmp_path_factory.mktemp("state")
    (folder / "catalogue.toml").write_text(CATALOGUE)
    (folder / "prices.toml").write_text(PRICES)
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        laptop = await stack.enter_async_context(
            running_laptop(
                folder,
                metered=True,
                daily_budget_usd=Decimal(1),
                daily_budget_tokens=1_000_000,
                log_content=True,
            )
        )
        endpoints = {
            **laptop.aws.environment(),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": laptop.runtime.url,
        }
        for name, value in endpoints.items():
            patch.setenv(name, value)
        async with httpx.AsyncClient(base_url=laptop.runtime.url) as door:
            long_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
            hardware = {"gpu_count": 4, "created_at": long_ago}
            assert (await door.put("/_sandbox/hardware/llama", json=hardware)).is_success
        async with laptop.gateway(
            within_s=60, LLM_PLATFORM_CATALOGUE=str(folder / "catalogue.toml")
        ) as gateway:
            await traffic(laptop, gateway)
            assert await gateway.child.stop(within_s=90)  # reports as it ends, not a minute later
        await evaluate(laptop, folder)
        await remember_a_week(laptop)
        await watch_drift(laptop, folder)
        await compact(laptop, folder)
        await laptop.emf.flush()
        await compute_costs(laptop, folder)
        await laptop.samples()
        cause(laptop)
        await laptop.emf.flush()
        assert laptop.runtime.metrics is not None
        await laptop.runtime.metrics.publish()
        catalogue = parse_catalogue(CATALOGUE, folder=folder)
        yield Ran(laptop, World(catalogue, (laptop.policy,)))


def asked_of(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each query after its panel's title, once for each combination of values of its variables."""
    values = {
        variable["name"]: variable["query"].split(",")
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "custom"
    }
    for panel, query in metric_queries_in(dashboard):
        named = sorted(set(re.findall(r"\$\{?(\w+)", json.dumps(query["dimensions"]))))
        for chosen in product(*(values[name] for name in named)):
            filled = dict(zip(named, chosen, strict=True))
            dimensions = {
                key: Template(value).substitute(filled) for key, value in query["dimensions"].items()
            }
            yield panel["title"], {**query, "dimensions": dimensions}


def without_data(laptop: Laptop, queries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The queries to which CloudWatch has no answer."""
    cloudwatch = laptop.boto3("cloudwatch")
    now = datetime.now(UTC)
    empty = []
    try:
        for at in range(0, len(queries), 100):
            some = queries[at : at + 100]
            data = [
                {
                    "Id": f"q{number}",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": query["namespace"],
                            "MetricName": query["metricName"],
                            "Dimensions": [
                                {"Name": name, "Value": value} for name, value in query["dimensions"].items()
                            ],
                        },
                        "Period": 60,
                        "Stat": query["statistic"],
                    },
                }
                for number, query in enumerate(some)
            ]
            told = cloudwatch.get_metric_data(
                MetricDataQueries=data,
                StartTime=now - timedelta(minutes=30),
                EndTime=now + timedelta(minutes=2),
            )["MetricDataResults"]
            found = {result["Id"] for result in told if result["Values"]}
            empty += [query for number, query in enumerate(some) if f"q{number}" not in found]
    finally:
        cloudwatch.close()
    return empty


async def test_every_metric_query_of_every_panel_finds_data(platform: Ran) -> None:
    asked = [
        (dashboard["title"], title, query)
        for dashboard in platform.dashboards()
        for title, query in asked_of(dashboard)
    ]
    assert len(asked) > 200
    empty = await asyncio.to_thread(without_data, platform.laptop, [query for *_, query in asked])
    deadline = time.monotonic() + SENT_WITHIN_S
    while empty and time.monotonic() < deadline:
        await asyncio.sleep(1)
        empty = await asyncio.to_thread(without_data, platform.laptop, empty)
    told = {
        (board, title, query["namespace"], query["metricName"], query["statistic"], str(query["dimensions"]))
        for board, title, query in asked
        if any(query is one for one in empty)
    }
    assert not told, "\n".join(map(str, sorted(told)))


async def test_the_command_puts_them_into_grafana_and_no_tenant_is_without(platform: Ran) -> None:
    async with grafana_api() as grafana:
        for told in ("5 to create", "0 to create, 0 to update, 0 to delete, 5 to keep"):
            environment = isolated(
                {
                    **platform.laptop.aws.environment(),
                    "LLM_PLATFORM_CATALOGUE": str(platform.laptop.folder / "catalogue.toml"),
                    "GRAFANA_URL": grafana.url,
                    "GRAFANA_TOKEN": TOKEN,
                }
            )
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "operator_cli", "watch", "dashboards", "apply", "--yes"),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            assert told in out.decode()
        assert set(grafana.dashboards) == {board.uid for board in boards(platform.world, Limits())}
        assert {grafana.version(uid) for uid in grafana.dashboards} == {1}


async def test_what_was_put_by_hand_is_in_panels_where_no_data_is_good_news(platform: Ran) -> None:
    by_hand = {
        (query["namespace"], query["metricName"]): panel["description"]
        for dashboard in platform.dashboards()
        for panel, query in metric_queries_in(dashboard)
        if (query["namespace"], query["metricName"]) in CAUSED
    }
    assert set(by_hand) == set(CAUSED)
    assert all("no data is good news" in description for description in by_hand.values())
