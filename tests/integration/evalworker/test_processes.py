"""Gateway and worker as processes: a worker dies in the midst of a batch, and nobody but it knows of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from evalworker.stores.history_reader import read_events
from evalworker.stores.objects import Objects
from harness.cuttable import Cuttable
from harness.evaluation import JUDGE, verdict
from harness.evalworker_process import LEASED_WITHIN_S, worker_process
from harness.platform import GatewayProcess, Laptop, eventually, running_laptop
from llmplatform.aws.tables import EVAL_HISTORY, EVAL_RESULTS
from llmplatform.evaluations import decode_result
from llmplatform.samples import decode_sample
from sandbox.emulator import ACCOUNT_ID, REGION, sandbox_session
from sandbox.engines.scripted import Script

# The consumer's first lease takes up to a minute, and taking over a dead worker's half of one.


@asynccontextmanager
async def cuttable(laptop: Laptop) -> AsyncIterator[dict[str, Cuttable]]:
    """Ways to all services that gateway and worker have in common, by the variables that name them."""
    async with AsyncExitStack() as stack:
        services = ("dynamodb", "kinesis", "kms", "s3", "ssm")
        yield {
            f"AWS_ENDPOINT_URL_{service.upper()}": await stack.enter_async_context(Cuttable(laptop.aws.port))
            for service in services
        }


@dataclass
class Tenant:
    """Chats on and on, and remembers how each ended."""

    gateway: GatewayProcess
    statuses: list[int] = field(default_factory=list)
    stopped: bool = False

    async def goes_on(self, chats: int) -> None:
        """Wait for so many more of its chats."""
        enough = len(self.statuses) + chats
        await eventually(lambda: len(self.statuses) >= enough or None)

    async def chat(self) -> None:
        async with self.gateway.http() as client:
            while not self.stopped:
                body = {
                    "model": "scripted-bedrock",
                    "messages": [{"role": "user", "content": f"CANARY-QUESTION {len(self.statuses)}?"}],
                }
                reply = await client.post("/v1/chat/completions", json=body)
                self.statuses.append(reply.status_code)
                await asyncio.sleep(0.25)


async def scored(laptop: Laptop) -> list[str]:
    """The request of each stored result."""

    def scan() -> list[Any]:
        client = laptop.boto3("dynamodb")
        try:
            pages = client.get_paginator("scan").paginate(TableName=EVAL_RESULTS.name)
            return [item for page in pages for item in page["Items"]]
        finally:
            client.close()

    return sorted(decode_result(item).request_id for item in await asyncio.to_thread(scan))


async def sampled(laptop: Laptop) -> list[str]:
    """The request of each sample on the stream."""
    return sorted(decode_sample(data).request_id for data in await laptop.samples())


async def all_scored(laptop: Laptop, chats: int) -> list[str]:
    """The stored results, once each chat has its sample on the stream and each sample its result."""
    # A lease that was lost is taken again, and a batch waits out the longest pause, before it is scored.
    async with asyncio.timeout(2 * LEASED_WITHIN_S):
        while len(found := await scored(laptop)) < chats or found != await sampled(laptop):
            assert len(found) == len(set(found))
            await asyncio.sleep(0.5)
    return found


async def test_a_killed_worker_and_the_loss_of_all_aws_cost_no_tenant_an_answer_and_no_sample_its_score(
    tmp_path: Path,
) -> None:
    async with (
        running_laptop(tmp_path) as laptop,
        cuttable(laptop) as ways,
        laptop.gateway(ready=True, within_s=60, **{name: way.url for name, way in ways.items()}) as gateway,
    ):
        urls = {name: way.url for name, way in ways.items()}
        laptop.runtime.scripts["scripted-bedrock"] = Script(text="CANARY-ANSWER it is so.")
        laptop.runtime.scripts[JUDGE] = verdict()
        tenant = Tenant(gateway)
        chatting = asyncio.create_task(tenant.chat())
        async with worker_process(laptop, "first", **urls) as first:
            await eventually(
                lambda: any(call.ended for call in laptop.runtime.calls.of(JUDGE)) or None,
                within_s=LEASED_WITHIN_S,
            )
            laptop.runtime.scripts[JUDGE] = msgspec.structs.replace(verdict(), header_delay_ms=60_000)
            answered = len(laptop.runtime.calls.of(JUDGE))
            await eventually(lambda: laptop.runtime.calls.of(JUDGE)[answered:] or None)
            first.kill()
            await first.ended
        before = len(tenant.statuses)
        assert set(await scored(laptop)) < set(await sampled(laptop)), "a batch was in hand"
        laptop.runtime.scripts[JUDGE] = verdict()
        async with worker_process(laptop, "second", **urls) as second:
            await eventually(
                lambda: '"lease is taken"' in second.log_file.read_text() or None,
                within_s=LEASED_WITHIN_S,
            )
            for way in ways.values():
                await way.cut()
            await tenant.goes_on(12)
            for way in ways.values():
                await way.mend()
            await tenant.goes_on(4)
            tenant.stopped = True
            await chatting
            found = await all_scored(laptop, len(tenant.statuses))
            assert await second.stop(within_s=60)
            assert second.returncode == 0
            ended = json.loads(second.log_file.read_text().splitlines()[-1])
        assert len(tenant.statuses) > before > 0
        assert set(tenant.statuses) == {200}
        assert len(found) == len(tenant.statuses)
        assert ended["message"] == "evaluation has ended"
        assert ended["read"] == sum(ended[end] for end in ("scored", "known", "skipped", "parked"))
        assert ended["skipped"] == ended["parked"] == 0
        history = await in_history(laptop)
        assert history == found
        for name in ("first", "second"):
            assert "CANARY" not in (laptop.folder / f"{name}.log").read_text()


async def in_history(laptop: Laptop) -> list[str]:
    """The requests that a reader of the history finds."""
    days = sorted({decode_sample(data).completed_at.date() for data in await laptop.samples()})
    async with sandbox_session().client("s3", endpoint_url=laptop.aws.url) as s3:
        objects = Objects(s3, EVAL_HISTORY.name(ACCOUNT_ID, REGION))
        return sorted([event.request_id async for event in read_events(objects, days[0], days[-1])])
