"""The only room that knows real clients: puts the cost job, the billing API and the exports together."""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from costagg.api.observe import AsgiApp
from costagg.brake import OBSERVABILITY_BUDGET
from costagg.hours import HourRules
from costagg.instances import EndpointReader
from costagg.job import Progress, RunReport, Services, Terms, compute
from costagg.ledger_reader import LedgerReader
from costagg.metric_reader import MetricReader
from costagg.profiles import ProfileResolver
from costagg.publishing import Figures, figure_lines
from costagg.reconciliation.store import ReconciliationStore
from costagg.settings import CostSettings, EnvironmentSettings
from costagg.standing import Budget, figures_now
from costagg.store import CostStore, StoreUnavailable
from costagg.tenants import TenantSource
from llmplatform.aws.access import AccessSource
from llmplatform.aws.cost_reader import CostReader, CostsUnavailable
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.aws.sessions import CredentialSource, aws_session, endpoint_url
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.catalogue import load_catalogue
from llmplatform.clock import Clock, SystemClock
from llmplatform.prices import load_prices
from llmplatform.process.lines import line_sink
from llmplatform.sinks import Sink

logger = logging.getLogger(__name__)

FLUSH_S: Final = 4.0
"""How long metrics may be delivered after a run."""
DYNAMODB_TIMEOUT_S: Final = 10.0
_CONNECTIONS: Final = 32
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class CostJob:
    """The cost job, put together."""

    services: Callable[[], Services]
    """Anew for each run: what one run has asked an endpoint or a profile is not the next one's."""
    terms: Terms
    tenants: TenantSource
    budget: Budget
    lines: Sink[bytes]
    clock: Clock

    async def run(self, progress: Progress, *, asked: Sequence[datetime] = ()) -> RunReport | None:
        """Compute what is asked for or due, and publish how things stand; None when nothing could be read."""
        services = self.services()
        tenants = await self.tenants.read()
        report: RunReport | None = None
        try:
            report = await compute(services, self.terms, self.clock, tenants, progress, asked=asked)
        except (CostsUnavailable, StoreUnavailable) as unavailable:
            logger.error("nothing is computed: %s", unavailable)  # noqa: TRY400
        figures = await figures_now(
            services,
            self.terms.catalogue,
            self.budget,
            tenants,
            computed=frozenset(hour.hour for hour in report.hours) if report else frozenset(),
            available=report is not None and report.complete,
            now=self.clock.now(),
        )
        await self._publish(figures)
        return report

    async def _publish(self, figures: Figures) -> None:
        for line in figure_lines(self.clock.now(), figures):
            self.lines.accept(line)
        try:
            async with asyncio.timeout(FLUSH_S):
                while self.lines.counts.pending:  # noqa: ASYNC110  # a sink tells nobody
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            logger.warning("not all metrics were delivered in time")


@asynccontextmanager
async def cost_job(settings: CostSettings, environment: EnvironmentSettings) -> AsyncIterator[CostJob]:
    """The job on the clients that its environment names. Raises ConfigFault."""
    clock = SystemClock()
    region = environment.aws_region
    terms = Terms(
        region=region,
        catalogue=load_catalogue(environment.llm_platform_catalogue),
        prices=load_prices(environment.llm_platform_prices),
        hours=HourRules(settings.close_after, settings.look_back),
    )
    async with AsyncExitStack() as stack:
        session = aws_session(region)
        dynamodb = await stack.enter_async_context(_dynamodb(region, clock))
        cloudwatch = await stack.enter_async_context(session.client("cloudwatch"))
        sagemaker = await stack.enter_async_context(session.client("sagemaker"))
        bedrock = await stack.enter_async_context(session.client("bedrock"))
        ssm = await stack.enter_async_context(session.client("ssm"))
        lines = await stack.enter_async_context(metric_lines(environment))

        def services() -> Services:
            metrics = MetricReader(cloudwatch, clock)
            return Services(
                ledger=LedgerReader(dynamodb, queries_at_once=settings.queries_in_flight),
                metrics=metrics,
                endpoints=EndpointReader(metrics, sagemaker, terms.catalogue, clock),
                profiles=ProfileResolver(bedrock),
                costs=CostReader(dynamodb),
                store=CostStore(dynamodb),
                reconciliations=ReconciliationStore(dynamodb),
            )

        yield CostJob(
            services=services,
            terms=terms,
            tenants=TenantSource(ssm, clock),
            budget=Budget(settings.observability_daily_budget_usd, BrakeParameter(ssm, OBSERVABILITY_BUDGET)),
            lines=lines,
            clock=clock,
        )


@asynccontextmanager
async def billing_api(settings: CostSettings, environment: EnvironmentSettings) -> AsyncIterator[AsgiApp]:
    """The billing API's application, whose tenants and roles are kept fresh while the block runs."""
    from costagg.api.app import ApiParts, create_app  # noqa: PLC0415  # FastAPI; no run needs it

    clock = SystemClock()
    session = aws_session(environment.aws_region)
    async with (
        _dynamodb(environment.aws_region, clock) as dynamodb,
        ParameterPolicySource(
            lambda: session.client("ssm"), clock, refresh_s=settings.policy_refresh_s
        ) as policies,
        AccessSource(lambda: session.client("ssm"), clock, refresh_s=settings.policy_refresh_s) as access,
    ):
        yield create_app(ApiParts(CostReader(dynamodb), policies, access, clock))


@asynccontextmanager
async def cost_table(environment: EnvironmentSettings) -> AsyncIterator[tuple[CostReader, DynamoDb]]:
    """The table of costs, for who reads it once."""
    async with _dynamodb(environment.aws_region, SystemClock()) as dynamodb:
        yield CostReader(dynamodb), dynamodb


@asynccontextmanager
async def bill_files(
    environment: EnvironmentSettings, names: Sequence[str], month: date
) -> AsyncIterator[tuple[str, ...]]:
    """Names of files, with a month's files in the place of an export in S3; they are gone with the block.

    Raises BillFault for an export that is not there, or not whole.
    """
    from costagg.reconciliation.s3_export import SCHEME, ExportAddress, fetch  # noqa: PLC0415

    exports = [ExportAddress.parse(name) for name in names if name.startswith(SCHEME)]
    if not exports:
        yield tuple(names)
        return
    with tempfile.TemporaryDirectory(prefix="bill-") as folder:
        files = [name for name in names if not name.startswith(SCHEME)]
        async with aws_session(environment.aws_region).client("s3") as s3:
            for number, export in enumerate(exports):
                into = Path(folder) / str(number)
                into.mkdir()
                files += map(str, await fetch(s3, export, month, into))
        yield tuple(files)


async def account_id(environment: EnvironmentSettings) -> str:
    """The AWS account that the environment's credentials are of."""
    client: Any = aws_session(environment.aws_region).client("sts")  # the one service without stubs here
    async with client as sts:
        account: str = (await sts.get_caller_identity())["Account"]
    return account


@asynccontextmanager
async def _dynamodb(region: str, clock: Clock) -> AsyncIterator[DynamoDb]:
    session = aws_session(region)
    async with (
        await CredentialSource.of(session) as credentials,
        SignedHttp(
            service="dynamodb",
            url=endpoint_url("dynamodb", region, os.environ),
            region=region,
            credentials=credentials.current,
            clock=clock,
            connections=_CONNECTIONS,
            timeout_s=DYNAMODB_TIMEOUT_S,
        ) as http,
    ):
        yield DynamoDb(http)


@asynccontextmanager
async def metric_lines(environment: EnvironmentSettings, *, fd: int = 1) -> AsyncIterator[Sink[bytes]]:
    """Where EMF lines go: an agent, else `fd`; the rest is delivered at the block's end, within bounds."""
    lines = line_sink(environment.aws_emf_agent_endpoint, fd=fd)
    await lines.start()
    try:
        yield lines
    finally:
        await lines.flush(FLUSH_S)
