"""From nothing to a platform that works, is watched, and has somebody on call: what a drill begins with."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from evalworker.judging.judge import JudgeConfig
from evalworker.judging.rubric import load_rubric
from llmplatform import metrics as ours
from llmplatform.aws.sessions import aws_session
from llmplatform.aws.tables import TOPICS
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.judges import load_judge_models
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.tenants import Tenants
from operator_cli.console import CommandFailed
from operator_cli.drill import history, scenarios
from operator_cli.drill.board import Board
from operator_cli.drill.clients import Clients, Lane
from operator_cli.drill.console import Console
from operator_cli.drill.hands import ANSWERS, HARD, UNPRICED, Hands
from operator_cli.drill.receiver import serve_receiver
from operator_cli.drill.scenarios import Scenario
from operator_cli.drill.story import Parts
from operator_cli.drill.telling import Telling
from sandbox.children import Child
from sandbox.laptop import JUDGES
from sandbox.state import Running

# Of the platform that a drill starts. A judge that answers at once may be asked more at once, and costs are
# computed twice a minute.
SETTINGS: Final = {
    "EVAL_JUDGE": "scripted",
    "EVAL_JUDGE_IN_FLIGHT": "8",
    "EVAL_BERTSCORE": "false",
    "COST_LOOK_BACK_H": "3",
    "SANDBOX_COST_EVERY_S": "30",
}
_READY_WITHIN_S: Final = 180.0
_PUBLISHED_WITHIN_S: Final = 420.0
_POLL_S: Final = 2.0
_OPERATOR: Final = "operator"


@asynccontextmanager
async def prepared(
    telling: Telling, running: Running, children: Sequence[Child], chosen: Sequence[Scenario], prices: Path
) -> AsyncIterator[Parts]:
    """Everything in place and quiet. Raises CommandFailed where something does not come up."""
    os.environ.update(running.sandbox.environment)
    region = running.sandbox.environment["AWS_REGION"]
    session = aws_session(region)
    names = {scenario.name for scenario in chosen}
    async with AsyncExitStack() as stack:
        cloudwatch = await stack.enter_async_context(session.client("cloudwatch"))
        dynamodb = await stack.enter_async_context(session.client("dynamodb"))
        ssm = await stack.enter_async_context(session.client("ssm"))
        sns = await stack.enter_async_context(session.client("sns"))
        receiver = await stack.enter_async_context(serve_receiver())
        runtime_url = running.sandbox.environment["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
        hands = Hands(runtime_url, prices, children)
        stack.push_async_callback(hands.close)
        clients = Clients(running.openai_base_url)
        stack.push_async_callback(clients.close)
        console = Console(running.console_url, running.sandbox.role_keys[_OPERATOR])
        stack.push_async_callback(console.close)
        board = Board(cloudwatch)

        await hands.judge_answers()
        quality_key = None
        if scenarios.WORSE_ANSWERS in names:
            config = JudgeConfig(load_judge_models(JUDGES).named(SETTINGS["EVAL_JUDGE"]), load_rubric(None))
            began_s = time.monotonic()
            past = await history.put(
                dynamodb,
                history.results_of(scenarios.QUALITY_TENANT, ANSWERS, config, datetime.now(UTC)),
            )
            telling.say(
                f"seeded, not measured: {past.rows:,} evaluation results of "
                f"tenant {scenarios.QUALITY_TENANT} from {past.first:%Y-%m-%d %H:%M}Z on, "
                f"in {time.monotonic() - began_s:.0f} s"
            )
            # Added after its past: whatever is known of a new tenant, the drift job reads.
            quality_key = await Tenants(ssm, SystemClock()).create(
                TenantPolicy(
                    tenant_id=TenantId(scenarios.QUALITY_TENANT),
                    display_name="Drill Shop",
                    content_mode=ContentMode.FULL,
                    eval_sample_rate=1.0,
                )
            )
        for lane in _lanes(running, names, quality_key):
            clients.start(lane)
        if not await console.ready(within_s=_READY_WITHIN_S):
            raise CommandFailed(f"the console did not answer within {_READY_WITHIN_S:g} s")
        await _measured(telling, board, names)
        await _in_place(telling, board, chosen)
        topics = [(await sns.create_topic(Name=topic.name))["TopicArn"] for topic in TOPICS]  # as they are
        await receiver.subscribe(sns, topics)
        telling.say(
            f"on call: {receiver.url}, subscribed to {', '.join(arn.rpartition(':')[2] for arn in topics)}"
        )
        await _quiet(telling, board, chosen)
        alarms = await board.names()
        lane = Lane(scenarios.SLOW_TENANT, _key(running, scenarios.SLOW_TENANT), UNPRICED, every_s=5)
        yield Parts(
            telling, board, receiver, console, hands, clients, {scenarios.PRICE_MISSING: lane}, alarms
        )


def _lanes(running: Running, names: set[str], quality_key: str | None) -> list[Lane]:
    """The clients that ask all the time."""
    slow = Lane(scenarios.SLOW_TENANT, _key(running, scenarios.SLOW_TENANT), scenarios.SLOW_ENDPOINT, 2)
    down = Lane(scenarios.DOWN_TENANT, _key(running, scenarios.DOWN_TENANT), scenarios.DOWN_ENDPOINT, 1)
    lanes = [slow]
    if names & {scenarios.ENDPOINT_DOWN, scenarios.JUDGE_DOWN, scenarios.INTAKE_DOWN}:
        lanes.append(down)
    if quality_key is not None:
        lanes.append(Lane(scenarios.QUALITY_TENANT, quality_key, ANSWERS, 1, _quality_question))
    return lanes


def _quality_question(number: int) -> str:
    """Three of ten are hard, as in the seeded past."""
    kind = f", {HARD}" if number % 10 in {2, 5, 8} else ""
    return f"Question {number}{kind}: how high is the Eiffel Tower?"


def _key(running: Running, tenant: str) -> str:
    key = running.key_of(tenant)
    if key is None:
        raise CommandFailed(f"the sandbox has no tenant {tenant}")
    return key


async def _measured(telling: Telling, board: Board, names: set[str]) -> None:
    """Wait for the first figures of all: without them some alarms ring, and others are not made."""
    wanted = [
        (ours.AVAILABILITY, {"component": ours.GATEWAY}),
        (ours.AVAILABILITY, {"component": ours.EVALWORKER}),
        (ours.AVAILABILITY, {"component": ours.DRIFT}),
        (ours.UNPRICED_USAGE, {"component": ours.COSTAGG}),
    ]
    if scenarios.WORSE_ANSWERS in names:
        quality = {
            "tenant_id": scenarios.QUALITY_TENANT,
            "model_id": ANSWERS,
            "eval_dimension": "factual_fidelity",
        }
        wanted.append((ours.SCORE_FALLEN, quality))
    missing, began_s = wanted, time.monotonic()
    with telling.waiting("platform", "first figures of all processes", _PUBLISHED_WITHIN_S):
        while time.monotonic() - began_s < _PUBLISHED_WITHIN_S:
            missing = [
                (metric, dimensions)
                for metric, dimensions in wanted
                if not await board.is_published(metric.namespace, metric.name, dimensions)
            ]
            if not missing:
                telling.say(
                    f"all processes report, {time.monotonic() - began_s:.0f} s after clients began to ask"
                )
                return
            await asyncio.sleep(_POLL_S)
    told = "; ".join(f"{metric.name} of {', '.join(dimensions.values())}" for metric, dimensions in missing)
    raise CommandFailed(f"not published within {_PUBLISHED_WITHIN_S:g} s: {told}")


async def _in_place(telling: Telling, board: Board, chosen: Sequence[Scenario]) -> None:
    """Wait for the platform's own alarms job, which puts alarms on what is published once a minute."""
    wanted = {expected.name for scenario in chosen for expected in scenario.expected}
    began_s = time.monotonic()
    missing = wanted
    with telling.waiting("platform", "alarms in place", _PUBLISHED_WITHIN_S):
        while time.monotonic() - began_s < _PUBLISHED_WITHIN_S:
            there = await board.names()
            if not (missing := wanted - there):
                telling.say(f"{len(there)} alarms are in place, put by the platform's own job")
                return
            await asyncio.sleep(_POLL_S)
    raise CommandFailed(f"no alarm within {_PUBLISHED_WITHIN_S:g} s: {', '.join(sorted(missing))}")


async def _quiet(telling: Telling, board: Board, chosen: Sequence[Scenario]) -> None:
    """Wait until all that is to ring is quiet."""
    wanted = [expected.name for scenario in chosen for expected in scenario.expected]
    with telling.waiting("platform", "quiet", _PUBLISHED_WITHIN_S):
        for name in wanted:
            if await board.wait_for(name, ("OK",), within_s=_PUBLISHED_WITHIN_S) is None:
                raise CommandFailed(f"alarm {name} is not OK before anything was broken")
    telling.say(f"all is well: {len(wanted)} alarms that have to ring are OK")
