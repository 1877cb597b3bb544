"""The only room that knows real clients: puts the worker together from its settings."""

import asyncio
import logging
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from evalworker.bertscore.scorer import BertScorer
from evalworker.bertscore.scoring import BertScoring
from evalworker.brake import LAG, BrakeRule
from evalworker.feeds.kinesis import KinesisFeed
from evalworker.judging.bedrock import BedrockJudge, CallPolicy
from evalworker.judging.budget import Budget
from evalworker.judging.judge import JudgeConfig
from evalworker.judging.rubric import load_rubric
from evalworker.loop import Evaluator
from evalworker.publishing import ScoreLines
from evalworker.reporting import Reporter
from evalworker.sealing import Sealing
from evalworker.settings import EnvironmentSettings, EvalSettings
from evalworker.standing import Standing
from evalworker.stores.calibrations import Calibrations
from evalworker.stores.history import HistoryWriter
from evalworker.stores.objects import Objects
from evalworker.stores.parked import ParkedRecords
from evalworker.stores.results import CALLS_IN_FLIGHT, Results
from llmplatform.aws.buckets import bucket_name
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.ledger_sink import LedgerSink
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.aws.sessions import CredentialSource, aws_session, endpoint_url
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_HISTORY, EVAL_STREAM
from llmplatform.clock import Clock, SystemClock
from llmplatform.eval_heartbeat import Heartbeat, encode_heartbeat
from llmplatform.judges import load_judge_models
from llmplatform.prices import load_prices
from llmplatform.process.lines import line_sink
from llmplatform.process.sink_figures import SinkFigures
from llmplatform.sinks import Sink

logger = logging.getLogger(__name__)

FLUSH_S: Final = 4.0
"""How long rows and metrics may be delivered after the last batch."""
DYNAMODB_TIMEOUT_S: Final = 10.0
MAX_POLICY_AGE_S: Final = 60.0
STDOUT: Final = 1
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker, put together and not yet fed."""

    evaluator: Evaluator
    policies: ParameterPolicySource
    judge: BedrockJudge
    feed: KinesisFeed
    reporter: Reporter
    scores: ScoreLines
    sinks: Sequence[Sink[Any]]

    async def run(self, stop: asyncio.Event) -> None:
        """Consume the stream until `stop` is set, reporting meanwhile."""
        reporting = asyncio.create_task(self.reporter.run(), name="reporting")
        try:
            await self.feed.run(stop)
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            self.scores.flush()
            self.reporter.report()

    async def heed_tenants(self) -> None:
        """Read the tenants again if what is known is too old to heed an opt-out: we may have been frozen."""
        age_s = self.policies.age_s
        if age_s is None or age_s > MAX_POLICY_AGE_S:
            await self.policies.refresh()

    async def delivered(self, *, within_s: float) -> None:
        """Report, and wait until rows and metrics are delivered, at most so long; the sinks go on."""
        self.scores.flush()
        self.reporter.report()
        try:
            async with asyncio.timeout(within_s):
                await self.reporter.look()
                while any(sink.counts.pending for sink in self.sinks):  # noqa: ASYNC110  # a sink tells nobody
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            logger.warning("not all rows and metrics were delivered in time")


@asynccontextmanager
async def assembled(
    settings: EvalSettings, environment: EnvironmentSettings, *, lines_fd: int = STDOUT
) -> AsyncIterator[Worker]:
    """The worker on the clients that its environment names; flushed and closed when the block ends.

    Metrics go to `lines_fd` where the environment names no agent for them.
    Raises ConfigFault. A service that does not answer stops nothing here: records wait for it.
    """
    clock = SystemClock()
    region = environment.aws_region
    config = JudgeConfig(
        load_judge_models(settings.judges).named(settings.judge), load_rubric(settings.rubric)
    )
    prices = load_prices(environment.llm_platform_prices)
    async with AsyncExitStack() as stack:
        session = aws_session(region)
        credentials = await stack.enter_async_context(await CredentialSource.of(session))
        policies = await stack.enter_async_context(
            ParameterPolicySource(
                lambda: session.client("ssm"), clock, refresh_s=settings.policy_refresh_s, keys=False
            )
        )
        bedrock = await stack.enter_async_context(
            SignedHttp(
                service="bedrock",
                url=endpoint_url("bedrock-runtime", region, os.environ),
                region=region,
                credentials=credentials.current,
                clock=clock,
                connections=settings.judge_in_flight,
                timeout_s=settings.judge_timeout_s,
            )
        )
        dynamodb = DynamoDb(
            await stack.enter_async_context(
                SignedHttp(
                    service="dynamodb",
                    url=endpoint_url("dynamodb", region, os.environ),
                    region=region,
                    credentials=credentials.current,
                    clock=clock,
                    connections=2 * CALLS_IN_FLIGHT,
                    timeout_s=DYNAMODB_TIMEOUT_S,
                )
            )
        )
        lines = line_sink(environment.aws_emf_agent_endpoint, fd=lines_fd)
        ledger = LedgerSink(
            url=endpoint_url("dynamodb", region, os.environ),
            region=region,
            credentials=credentials.current,
            clock=clock,
        )
        sinks = SinkFigures((ledger, lines))
        await lines.start()
        stack.push_async_callback(lines.flush, FLUSH_S / 2)
        # Left in the reverse order: the last lines tell what the ledger did not get rid of.
        stack.callback(_write, sinks, lines, clock)
        await ledger.start()
        stack.push_async_callback(ledger.flush, FLUSH_S / 2)
        bucket = settings.history_bucket or partial(bucket_name, session, EVAL_HISTORY)
        objects = Objects(await stack.enter_async_context(session.client("s3")), bucket)
        keys = ContentKeys(region=region, clock=clock)
        stack.callback(keys.close)
        judge = BedrockJudge(
            config,
            bedrock,
            ledger=ledger,
            prices=prices,
            region=region,
            clock=clock,
            random=random.random,
            random_bytes=secrets.token_bytes,
            policy=CallPolicy(concurrency=settings.judge_in_flight),
        )
        scores = ScoreLines(lines)
        budget = Budget(dynamodb, clock)
        stack.push_async_callback(budget.flush)
        evaluator = Evaluator(
            policies=policies,
            judge=judge,
            budget=budget,
            daily_budget_usd=settings.daily_budget_usd,
            bertscoring=_bertscoring(settings, stack),
            sealing=Sealing(keys),
            results=Results(dynamodb),
            history=HistoryWriter(objects),
            parked=ParkedRecords(objects),
            lines=scores,
            clock=clock,
        )
        # Functions on Lambda may share the name of a host and the number of a process.
        writer = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        feed = _feed(evaluator, settings, region, clock)

        async def beat(heartbeat: Heartbeat) -> None:
            item = encode_heartbeat(heartbeat)
            await dynamodb.call("PutItem", {"TableName": EVAL_DETECTOR.name, "Item": item})

        reporter = Reporter(
            writer=writer,
            tally=evaluator.tally,
            feed=lambda: feed.figures,
            judge=judge,
            standing=Standing(partial(Calibrations(objects).newest, judge.judge.identity)),
            policy_age_s=lambda: policies.age_s,
            scores=scores,
            sinks=sinks,
            lines=lines,
            brake=BrakeParameter(await stack.enter_async_context(session.client("ssm")), LAG),
            rule=BrakeRule(settings.brake_over_s, settings.ease_under_s),
            beat=beat,
            write_spending=budget.flush,
            clock=clock,
        )
        yield Worker(evaluator, policies, judge, feed, reporter, scores, (ledger, lines))


def _write(sinks: SinkFigures, lines: Sink[bytes], clock: Clock) -> None:
    for line in sinks.lines(clock.now()):
        lines.accept(line)


def _feed(evaluator: Evaluator, settings: EvalSettings, region: str, clock: Clock) -> KinesisFeed:
    return KinesisFeed(
        evaluator,
        stream=EVAL_STREAM.name,
        application_name=settings.application_name,
        region=region,
        clock=clock,
        fan_out=settings.fan_out,
        max_batch=settings.batch_records,
        grace_s=settings.stop_grace_s,
    )


def _bertscoring(settings: EvalSettings, stack: AsyncExitStack) -> BertScoring | None:
    if not settings.bertscore:
        return None
    scoring = BertScoring(BertScorer.load())
    stack.callback(scoring.close)
    return scoring
