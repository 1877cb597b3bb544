"""A night in an account: all that the console reads, written by the product's own encoders, and the console.

Emulator and console are processes, what the emulator lacks answers from the test's own loop. The alarms were
put by `python -m watch apply` and evaluated once, when the story was told.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource

from costagg.store import CostStore
from gateway.sinks.spans import spans_of
from harness.cost_lines import status_of
from harness.night.account import CATALOGUE, INITECH, JUDGE, policies
from harness.night.costs import Costs, costs_until
from harness.night.figures import lines, native_data
from harness.night.requests import Made, Requests, requests_until
from harness.night.scores import Evaluated, evaluated, looks_at
from harness.platform import free_port, isolated, until
from llmplatform.aws.access import AccessStore
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.patient_dynamodb import PatientDynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import (
    CALIBRATIONS_PREFIX,
    EVAL_DETECTOR,
    EVAL_HISTORY,
    EVAL_MINUTES,
    EVAL_RESULTS,
    GATEWAY_LOGS,
    REQUEST_LEDGER,
)
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine
from llmplatform.emf import encode_invocation
from llmplatform.eval_heartbeat import encode_heartbeat
from llmplatform.eval_series import encode_minute
from llmplatform.eval_status import LOOKED, STATUS_ENTRY, STATUSES, Look, encode_look, encode_statuses
from llmplatform.evaluations import EvalContent, EvalResult, encode_content, encode_result, moment_text
from llmplatform.invocation import InvocationRecord
from llmplatform.ledger import encode_item
from llmplatform.samples import Envelope
from llmplatform.tenants import Tenants
from sandbox.alarms.evaluator import Round, evaluate_once
from sandbox.children import Child
from sandbox.emf_intake import EmfIntake, serve_emf
from sandbox.emulator import ACCOUNT_ID, CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision
from sandbox.traces import Traces, serve_traces

SESSION_KEY: Final = "a key that signs the sessions of these tests alone"
_SETTLED: Final = timedelta(seconds=10)
"""After a period, its datapoint counts as complete."""
_APPLY_WITHIN_S: Final = 180
_LOOKS_EVERY_S: Final = 60.0
_LINES_AT_ONCE: Final = 400
_SPANS_OF: Final = timedelta(hours=1)


@dataclass
class World:
    """The account while the console runs, and the keys that open it."""

    folder: Path
    now: datetime
    """A whole minute: when the story ends."""
    aws: Emulator
    traces: Traces
    emf: EmfIntake
    console_url: str
    catalogue: Path
    requests: Requests
    evaluated: Evaluated
    costs: Costs
    operator_key: str = ""
    billing_key: str = ""
    tenant_keys: dict[str, str] = field(default_factory=dict)
    round: Round | None = None
    """What rang when the alarms were evaluated."""
    console: Child | None = None
    took_s: float = 0.0

    def environment(self) -> dict[str, str]:
        """What a process of the product is told."""
        return isolated(
            {
                **self.aws.environment(),
                "AWS_ENDPOINT_URL_XRAY": self.traces.url,
                "LLM_PLATFORM_CATALOGUE": str(self.catalogue),
                "WATCH_PUBLIC_URL": self.console_url,
                "WATCH_PORT": self.console_url.rpartition(":")[2],
                "WATCH_POLICY_REFRESH_S": "1",
                "WATCH_SESSION_KEY": SESSION_KEY,
                "WATCH_PUTS_PER_S": "1000",
                "WATCH_BANDS": "false",
            }
        )

    def logged(self) -> list[dict[str, Any]]:
        """What the console logged."""
        assert self.console is not None
        return [json.loads(line) for line in self.console.log_file.read_text().splitlines()]

    async def message_of(self, alarm: str) -> str:
        """What whoever is on call is sent: the alarm's description, which its message quotes."""
        async with sandbox_session().client("cloudwatch", endpoint_url=self.aws.url) as cloudwatch:
            answer = await cloudwatch.describe_alarms(
                AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        found = [one["AlarmDescription"] for one in answer["MetricAlarms"]]
        found += [one["AlarmDescription"] for one in answer["CompositeAlarms"]]
        (message,) = found
        return message

    async def another_request(self, tenant: str, model: str, **fields: Any) -> InvocationRecord:
        """A request that has just ended, in the ledger."""
        record = Made(secrets.randbits(32)).request(datetime.now(UTC), tenant, model, **fields)
        await self.put(REQUEST_LEDGER.name, [encode_item(record)])
        return record

    async def put(self, table: str, items: Iterable[Mapping[str, Any]]) -> None:
        """Put rows."""
        async with lean_dynamodb(self.aws.url) as dynamodb:
            patient = PatientDynamoDb(dynamodb, in_flight=8, attempts=3)
            await patient.write(table, [{"PutRequest": {"Item": item}} for item in items])

    async def put_costs(self, by_hour: Mapping[datetime, Sequence[CostLine]]) -> None:
        """Compute hours, as a run of the cost job does; the last two stay open."""
        async with lean_dynamodb(self.aws.url) as dynamodb:
            store = CostStore(dynamodb)
            await store.begin(min(by_hour))

            async def compute(hour: datetime, of_hour: Sequence[CostLine]) -> None:
                claim = await store.claim(hour)
                await store.write(claim, of_hour)
                state = "closed" if self.now - hour > timedelta(hours=2) else "open"
                await store.publish(claim, status_of(of_hour, hour, state=state, computed_at=self.now))

            async with asyncio.TaskGroup() as tasks:
                for hour, of_hour in by_hour.items():
                    tasks.create_task(compute(hour, of_hour))


@asynccontextmanager
async def lean_dynamodb(url: str) -> AsyncIterator[DynamoDb]:
    """The client without an SDK."""
    async with SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=16,
        timeout_s=60.0,
    ) as http:
        yield DynamoDb(http)


@asynccontextmanager
async def night(folder: Path) -> AsyncIterator[World]:
    """The world, whole: the console answers and the alarms ring."""
    started = time.monotonic()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    requests = requests_until(now)
    catalogue = folder / "models.toml"
    catalogue.write_text(CATALOGUE)
    async with AsyncExitStack() as stack:
        aws = await stack.enter_async_context(Emulator(folder))
        world = World(
            folder=folder,
            now=now,
            aws=aws,
            traces=await stack.enter_async_context(serve_traces()),
            emf=await stack.enter_async_context(serve_emf(sandbox_session(), endpoint_url=aws.url)),
            console_url=f"http://127.0.0.1:{free_port()}",
            catalogue=catalogue,
            requests=requests,
            evaluated=evaluated(requests, now),
            costs=costs_until(now),
        )
        await provision(sandbox_session(), endpoint_url=aws.url)
        await _furnish(world)
        world.console = await Child.start(
            "watch",
            "watch",
            ("--until-stdin-ends",),
            environment=world.environment(),
            log_file=folder / "watch.log",
        )
        stack.push_async_callback(_stop, world.console)
        await _tell(world)
        await _ring(world)
        async with httpx.AsyncClient(base_url=world.console_url) as http:
            await until(http.get, "/readyz")
        world.took_s = time.monotonic() - started
        looking = asyncio.create_task(_look_every_minute(world))
        try:
            yield world
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def _stop(child: Child) -> None:
    child.kill()
    await child.ended


async def _furnish(world: World) -> None:
    """Tenants, roles and a tenant's own key."""
    session, url = sandbox_session(), world.aws.url
    async with (
        session.client("ssm", endpoint_url=url) as ssm,
        session.client("kms", endpoint_url=url) as kms,
    ):
        for policy in policies():
            if policy.kms_key is not None:
                key = (await kms.create_key(Description="Content of one tenant"))["KeyMetadata"]["KeyId"]
                await kms.create_alias(AliasName=policy.kms_key, TargetKeyId=key)
            world.tenant_keys[policy.tenant_id] = await Tenants(ssm, SystemClock()).create(policy)
        access = AccessStore(ssm, SystemClock())
        world.operator_key = await access.add_key("operator")
        world.billing_key = await access.add_key("billing")


async def _tell(world: World) -> None:
    """The story, into every place that it is read from."""
    told = world.evaluated
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_publish(world))
        tasks.create_task(world.put(REQUEST_LEDGER.name, map(encode_item, world.requests.all)))
        tasks.create_task(
            world.put(EVAL_RESULTS.name, map(encode_result, await _sealed(world, told.results)))
        )
        tasks.create_task(
            world.put(EVAL_MINUTES.name, (encode_minute(series, scores) for series, scores in told.minutes))
        )
        tasks.create_task(world.put(EVAL_DETECTOR.name, _of_detector(told)))
        tasks.create_task(world.put_costs(world.costs.by_hour))
        tasks.create_task(_put_calibration(world))
        tasks.create_task(_put_log_line(world, world.requests.complaint))
        tasks.create_task(asyncio.to_thread(_export_spans, world))


async def _publish(world: World) -> None:
    """Metrics and log lines, through the intake."""
    told = lines(world.requests, world.evaluated, world.costs, policies(), world.now)
    for number, line in enumerate(told):
        world.emf.accept_line(line)
        if number % _LINES_AT_ONCE == 0:  # a put of many lines is larger than a client likes to send
            await world.emf.flush()
    for datum in native_data(world.now):
        world.emf.delivery.add_datum(datum)
    await world.emf.flush()


def _of_detector(told: Evaluated) -> list[dict[str, Any]]:
    return [encode_heartbeat(told.heartbeat), *_looks(told, told.looks)]


def _looks(told: Evaluated, looks: Mapping[str, Look]) -> list[dict[str, Any]]:
    owner, entry = EVAL_DETECTOR.partition_key.name, EVAL_DETECTOR.sort_key.name
    return [
        {
            owner: {"S": tenant},
            entry: {"S": STATUS_ENTRY},
            STATUSES: encode_statuses(told.statuses.get(tenant, ())),
            LOOKED: encode_look(look),
        }
        for tenant, look in looks.items()
    ]


async def _look_every_minute(world: World) -> None:
    """Go on as the drift job does, which is known to run by that."""
    while True:
        await asyncio.sleep(_LOOKS_EVERY_S)
        await world.put(EVAL_DETECTOR.name, _looks(world.evaluated, looks_at(datetime.now(UTC))))


async def _sealed(world: World, results: Iterable[EvalResult]) -> list[EvalResult]:
    """What was said by the tenant with a key of its own, under that key."""
    (kms_key,) = (policy.kms_key for policy in policies() if policy.kms_key is not None)
    keys = ContentKeys(region=REGION, endpoint_url=world.aws.url, credentials=CREDENTIALS)
    try:
        arn = await keys.arn(kms_key)
        sealed: list[EvalResult] = []
        for result in results:
            if result.tenant_id != INITECH or not isinstance(result.content, EvalContent):
                sealed.append(result)
                continue
            ciphertext = await keys.seal(
                encode_content(result.content, 100_000),
                kms_key=arn,
                tenant_id=result.tenant_id,
                request_id=result.request_id,
            )
            envelope = Envelope(arn, base64.b64encode(ciphertext).decode())
            sealed.append(replace(result, content=envelope))
        return sealed
    finally:
        keys.close()


async def _put_calibration(world: World) -> None:
    """Forty days ago people agreed with the judge."""
    at = world.now - timedelta(days=40)
    record = {"judge_identity": JUDGE.identity, "calibrated_at": at.isoformat(), "passed": True}
    async with sandbox_session().client("s3", endpoint_url=world.aws.url) as s3:
        await s3.put_object(
            Bucket=EVAL_HISTORY.name(ACCOUNT_ID, REGION),
            Key=f"{CALIBRATIONS_PREFIX}{JUDGE.identity}/{moment_text(at)}.json",
            Body=json.dumps(record).encode(),
        )


async def _put_log_line(world: World, record: InvocationRecord) -> None:
    """The line of a request at its own time; the others came when the story was told."""
    async with sandbox_session().client("logs", endpoint_url=world.aws.url) as logs:
        await logs.create_log_stream(logGroupName=GATEWAY_LOGS.name, logStreamName="gateway-then")
        await logs.put_log_events(
            logGroupName=GATEWAY_LOGS.name,
            logStreamName="gateway-then",
            logEvents=[
                {
                    "timestamp": int(record.completed_at.timestamp() * 1_000),
                    "message": encode_invocation(record).decode(),
                }
            ],
        )


def _export_spans(world: World) -> None:
    """The spans of what is looked at, by OTLP."""
    exporter = OTLPSpanExporter(endpoint=f"{world.traces.url}/v1/traces")
    resource = Resource.create({"service.name": "gateway"})
    kept = [one for one in world.requests.all if one.trace_kept and world.now - one.completed_at < _SPANS_OF]
    exporter.export([span for one in kept for span in spans_of(one, resource)])
    exporter.shutdown()  # type: ignore[no-untyped-call]  # it ships none


async def _ring(world: World) -> None:
    """Put the alarms, and look at them once."""
    apply = await Child.start(
        "apply",
        "watch",
        ("apply", "--platform-wide"),
        environment=world.environment(),
        log_file=world.folder / "apply.log",
    )
    try:
        async with asyncio.timeout(_APPLY_WITHIN_S):
            if await asyncio.shield(apply.ended):
                raise apply.failure()
    finally:
        apply.kill()
        await apply.ended
    # At the story's end, however long telling it took.
    world.round = await evaluate_once(sandbox_session(), endpoint_url=world.aws.url, now=world.now + _SETTLED)
