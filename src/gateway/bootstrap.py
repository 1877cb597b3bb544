"""The only room that knows real clients: puts the gateway together from its settings."""

import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import aioboto3
import aiohttp

from gateway.backends.aws import AwsRuntime
from gateway.backends.backend import Backend
from gateway.backends.bedrock import BedrockBackend
from gateway.backends.http import open_session
from gateway.backends.sagemaker import SageMakerBackend
from gateway.dialects.registry import DIALECTS
from gateway.emission import COMPONENT, Emission, HealthFigures, Sinks
from gateway.http.app import AppParts, build_app
from gateway.http.asgi import AsgiApp
from gateway.http.observe import Observe
from gateway.lifeline import Lifelines
from gateway.limits import InFlight
from gateway.serving import Serving, ServingLimits
from gateway.settings import EnvironmentSettings, GatewaySettings
from gateway.sinks.content_log import ContentLogSink
from gateway.sinks.kinesis import KinesisSink
from gateway.sinks.sealing import SealingSink
from gateway.sinks.spans import SpanSink
from gateway.surfaces.openai_chat import OPENAI_CHAT
from gateway.tokenizing import Counters, TokenCounter, build_counters
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.ledger_sink import LedgerSink
from llmplatform.aws.parameters import ParameterPolicySource, PolicySource
from llmplatform.aws.sessions import CredentialSource, aws_session, endpoint_url
from llmplatform.catalogue import Catalogue, load_catalogue
from llmplatform.clock import Clock, SystemClock
from llmplatform.invocation import InvocationRecord
from llmplatform.metrics import (
    AVAILABILITY,
    CIRCUIT_OPEN,
    POLICY_AGE_SECONDS,
    REQUESTS_IN_FLIGHT,
    TOKENIZER_MISSING,
)
from llmplatform.process.lines import line_sink
from llmplatform.process.tracing import otlp_exporter, process_resource
from llmplatform.sampling import keep_trace
from llmplatform.sinks import NullSink, Sink

logger = logging.getLogger(__name__)

SURFACES = {"/v1/chat/completions": OPENAI_CHAT}
"""Inference routes. A further surface is one more line here."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway, put together and not yet listening."""

    app: AsgiApp
    serving: Serving
    in_flight: InFlight
    lifelines: Lifelines
    emission: Emission
    counter: TokenCounter

    def stop_admitting(self) -> None:
        """From now on new requests are sent elsewhere, and readiness says no."""
        self.in_flight.draining = True

    def cut_streams(self) -> None:
        """End the streams that are still open, each with an error event."""
        self.lifelines.cut_all("shutting_down")


@asynccontextmanager
async def assembled(settings: GatewaySettings, environment: EnvironmentSettings) -> AsyncIterator[Gateway]:
    """The gateway on the clients that its environment names; flushed and closed when the block ends.

    Raises ConfigFault. An AWS service that does not answer stops nothing here: readiness waits for tenants,
    and sinks wait for their receivers.
    """
    clock = SystemClock()
    region = environment.aws_region
    catalogue = load_catalogue(environment.llm_platform_catalogue)
    counters = build_counters(catalogue)
    _tell(counters, catalogue)
    async with AsyncExitStack() as stack:
        session = aws_session(region)
        credentials = await stack.enter_async_context(await CredentialSource.of(session))
        policies = await stack.enter_async_context(
            ParameterPolicySource(lambda: session.client("ssm"), clock, refresh_s=settings.policy_refresh_s)
        )
        upstream = await stack.enter_async_context(
            open_session(max_connections=settings.max_upstream_connections)
        )
        backends = open_backends(
            upstream,
            bedrock=AwsRuntime(
                "bedrock", region, endpoint_url("bedrock-runtime", region, os.environ), credentials, clock
            ),
            sagemaker=AwsRuntime(
                "sagemaker", region, endpoint_url("sagemaker-runtime", region, os.environ), credentials, clock
            ),
        )
        sinks = await _sinks(session, stack, environment, credentials, clock)
        gateway = build_gateway(
            settings,
            catalogue=catalogue,
            policies=policies,
            backends=backends,
            sinks=sinks,
            counters=counters,
            clock=clock,
        )
        await gateway.emission.start()
        try:
            yield gateway
        finally:
            gateway.counter.close()
            await gateway.emission.flush(settings.flush_s)
            lost = {name: counts.dropped for name, counts in gateway.emission.counts().items()}
            logger.info("telemetry is flushed", extra={f"dropped_{name}": n for name, n in lost.items()})


def open_backends(
    upstream: aiohttp.ClientSession, *, bedrock: AwsRuntime, sagemaker: AwsRuntime
) -> dict[str, Backend]:
    """Both backends over one client session, by endpoint type."""
    return {
        "bedrock": BedrockBackend(upstream, bedrock, DIALECTS),
        "sagemaker": SageMakerBackend(upstream, sagemaker, DIALECTS),
    }


def build_gateway(
    settings: GatewaySettings,
    *,
    catalogue: Catalogue,
    policies: PolicySource,
    backends: Mapping[str, Backend],
    sinks: Sinks,
    counters: Counters,
    clock: Clock,
) -> Gateway:
    """The gateway on the given seams; nothing is opened or started here."""
    in_flight = InFlight(max_in_flight=settings.max_in_flight)
    lifelines = Lifelines(drain_s=settings.drain_s, max_drains=settings.max_drains)
    counter = TokenCounter(counters)
    serving = Serving(
        catalogue=catalogue,
        policies=policies,
        backends=backends,
        dialects=DIALECTS,
        counter=counter,
        in_flight=in_flight,
        lifelines=lifelines,
        clock=clock,
        limits=ServingLimits(
            max_body_bytes=settings.max_body_bytes,
            body_timeout_s=settings.body_timeout_s,
            ping_s=settings.ping_s,
            stall_s=settings.stall_s,
        ),
    )

    def health() -> Iterator[HealthFigures]:
        yield (
            {"component": COMPONENT},
            {
                AVAILABILITY.name: 0 if _not_ready(policies, in_flight) else 1,
                POLICY_AGE_SECONDS.name: policies.age_s,
                REQUESTS_IN_FLIGHT.name: in_flight.total,
                TOKENIZER_MISSING.name: len(counters.fallbacks),
            },
        )
        for model_id, circuit in serving.circuits.items():
            held_back = circuit.state(clock.monotonic_ns() / 1e9) != "closed"
            yield {"model_id": model_id}, {CIRCUIT_OPEN.name: int(held_back)}

    emission = Emission(sinks, clock=clock, health=health)
    key = settings.trace_sample_key.get_secret_value().encode() or secrets.token_bytes(32)
    app = Observe(
        app=build_app(AppParts(catalogue, policies, partial(_not_ready, policies, in_flight))),
        serving=serving,
        surfaces=SURFACES,
        emission=emission,
        keep_trace=partial(keep_trace, key=key, head_rate=settings.trace_sample_rate),
        clock=clock,
    )
    return Gateway(app, serving, in_flight, lifelines, emission, counter)


def _not_ready(policies: PolicySource, in_flight: InFlight) -> list[str]:
    waiting_for = []
    if policies.age_s is None:
        waiting_for.append("tenant policies: Parameter Store has not been read yet")
    if in_flight.draining:
        waiting_for.append("nothing: this task is shutting down")
    return waiting_for


async def _sinks(
    session: aioboto3.Session,
    stack: AsyncExitStack,
    environment: EnvironmentSettings,
    credentials: CredentialSource,
    clock: Clock,
) -> Sinks:
    region = environment.aws_region
    kinesis = await stack.enter_async_context(session.client("kinesis"))
    logs = await stack.enter_async_context(session.client("logs"))
    keys = ContentKeys(region=region)
    stack.callback(keys.close)
    samples = KinesisSink(kinesis)
    return Sinks(
        lines=line_sink(environment.aws_emf_agent_endpoint),
        ledger=LedgerSink(
            url=endpoint_url("dynamodb", region, os.environ),
            region=region,
            credentials=credentials.current,
            clock=clock,
        ),
        spans=_spans(environment),
        samples=samples,
        sealing=SealingSink(keys, samples),
        content=ContentLogSink(logs, log_stream=f"gateway/{socket.gethostname()}/{os.getpid()}"),
    )


def _spans(environment: EnvironmentSettings) -> Sink[InvocationRecord]:
    if environment.otel_exporter_otlp_endpoint:
        resource = process_resource(
            "llm-platform-gateway", version=version("llm-platform"), instance_id=socket.gethostname()
        )
        return SpanSink(otlp_exporter(environment.otel_exporter_otlp_endpoint), resource)
    if environment.aws_xray_daemon_address:
        # Imported where it is wanted: it takes 0.3 s, and a socket that it never closes.
        from gateway.sinks.xray_daemon import XrayDaemonSink  # noqa: PLC0415

        return XrayDaemonSink(environment.aws_xray_daemon_address)
    logger.warning(
        "traces go nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT (a collector), or AWS_XRAY_DAEMON_ADDRESS"
    )
    return NullSink("spans")


def _tell(counters: Counters, catalogue: Catalogue) -> None:
    logger.info("catalogue is loaded", extra={"models": len(catalogue.models)})
    for model, reason in counters.fallbacks.items():
        logger.warning("tokens of model %s are estimated: %s", model, reason)
