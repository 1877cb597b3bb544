"""The worker's jobs beside the stream: looking for falling scores each minute, tidying up the history."""

import asyncio
import logging
from collections.abc import Callable
from datetime import date

from evalworker.drift.job import DriftReport, run_once, unavailable
from evalworker.drift.settings import DriftSettings
from evalworker.drift.store import DriftStore
from evalworker.drift.traffic import TrafficReader
from evalworker.settings import EnvironmentSettings, EvalSettings
from evalworker.stores.compaction import MIN_AGE, Replaced, compact
from evalworker.stores.objects import Objects
from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import EVAL_HISTORY
from llmplatform.clock import SystemClock
from llmplatform.emf import encode_figures
from llmplatform.metrics import AVAILABILITY, COMPACTION, PIPELINE
from llmplatform.process.lines import line_sink
from llmplatform.process.stopping import stopped

logger = logging.getLogger(__name__)

FLUSH_S = 4.0


async def watch_drift(
    environment: EnvironmentSettings, stop: asyncio.Event, *, every_s: float, once: bool, rebuild: bool
) -> bool:
    """Look for falling scores every `every_s` until `stop` is set; tells whether the last look saw all."""
    clock = SystemClock()
    session = aws_session(environment.aws_region)
    lines = line_sink(environment.aws_emf_agent_endpoint)
    settings = DriftSettings()
    async with (
        session.client("dynamodb") as dynamodb,
        ParameterPolicySource(lambda: session.client("ssm"), clock, keys=False) as policies,
    ):
        await lines.start()
        store = DriftStore(dynamodb, EvalReader(dynamodb, clock))
        traffic = TrafficReader(dynamodb)
        try:
            while True:
                started_ns = clock.monotonic_ns()
                complete = False
                if policies.age_s is None:
                    logger.error("tenants were never read: nothing is looked at")
                    lines.accept(unavailable(clock.now()))
                else:
                    report = await run_once(
                        store,
                        traffic,
                        policies.policies(),
                        lines,
                        now=clock.now(),
                        settings=settings,
                        rebuild=rebuild,
                    )
                    complete, rebuild = report.complete, False
                    _tell(report)
                took_s = (clock.monotonic_ns() - started_ns) / 1e9
                if once or await stopped(stop, within_s=max(every_s - took_s, 0)):
                    return complete
        finally:
            await lines.flush(FLUSH_S)


async def compact_history(
    settings: EvalSettings,
    environment: EnvironmentSettings,
    first: date,
    last: date,
    progress: Callable[[Replaced], None],
) -> None:
    """Compact the days from `first` to `last`, both included, and say whether it was done.

    Raises StoreUnavailable.
    """
    clock = SystemClock()
    session = aws_session(environment.aws_region)
    lines = line_sink(environment.aws_emf_agent_endpoint)
    await lines.start()
    done = False
    try:
        async with session.client("s3") as s3:
            objects = Objects(s3, settings.history_bucket or await bucket_name(session, EVAL_HISTORY))
            await compact(objects, first, last, written_before=clock.now() - MIN_AGE, progress=progress)
        done = True
    finally:
        figures = {AVAILABILITY.name: int(done)}
        lines.accept(encode_figures(clock.now(), PIPELINE, {"component": COMPACTION}, figures))
        await lines.flush(FLUSH_S)


def _tell(report: DriftReport) -> None:
    failed = [tenant.tenant_id for tenant in report.tenants if tenant.outcome == "failed"]
    logger.info("looked for falling scores", extra={"tenants": len(report.tenants), "series": report.series})
    if failed:
        logger.error("tenants that could not be looked at: %s", ", ".join(failed))
