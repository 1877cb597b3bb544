"""What a user would write instead: boto3's asynchronous twin for every call, JSON and pydantic.

`peer.py SAMPLES BATCH`: prints one JSON line of figures. It does less than the worker: a judge call and a
conditional put a sample; no check for results that are there, no ledger rows, budget, metrics or Parquet.
"""

import asyncio
import json
import os
import resource
import sys
import time
from typing import Any

import aioboto3
import uvloop
from aiobotocore.config import AioConfig
from pydantic import BaseModel
from samples import encoded_sample

from llmplatform.evaluations import JUDGE_DIMENSIONS

AT_ONCE = 32


class Score(BaseModel):
    """One dimension."""

    score: int
    reason: str


async def measure(samples: int, batch: int) -> dict[str, float]:
    """Figures of so many samples, after one batch to warm up."""
    session = aioboto3.Session(region_name=os.environ["AWS_REGION"])
    config = AioConfig(max_pool_connections=2 * AT_ONCE)
    places = asyncio.Semaphore(AT_ONCE)
    async with (
        session.client("bedrock-runtime", config=config) as bedrock,
        session.client("dynamodb", config=config) as dynamodb,
    ):

        async def evaluate(data: bytes) -> None:
            async with places:
                event = json.loads(data)
                answer = await bedrock.converse(
                    modelId="us.anthropic.claude-haiku-4-5-20251001-v1:0",
                    messages=[{"role": "user", "content": [{"text": event["prompt"] + event["completion"]}]}],
                    toolConfig=_TOOLS,
                    inferenceConfig={"maxTokens": 1024, "temperature": 0},
                )
                given = answer["output"]["message"]["content"][0]["toolUse"]["input"]
                scores = {name: Score.model_validate(given[name]) for name in JUDGE_DIMENSIONS}
                await dynamodb.put_item(
                    TableName="eval-results",
                    Item={
                        "tenant_id": {"S": event["tenant_id"]},
                        "result_key": {"S": event["completed_at"] + event["request_id"]},
                        "content": {
                            "S": json.dumps({"prompt": event["prompt"], "completion": event["completion"]})
                        },
                        **{name: {"N": str(score.score)} for name, score in scores.items()},
                    },
                    ConditionExpression="attribute_not_exists(tenant_id)",
                )

        await asyncio.gather(*(evaluate(encoded_sample(number)) for number in range(batch)))
        batches = [
            [encoded_sample(n) for n in range(at, at + batch)] for at in range(batch, batch + samples, batch)
        ]
        started, cpu = time.monotonic(), time.process_time()
        for data in batches:
            await asyncio.gather(*map(evaluate, data))
        cpu_s = time.process_time() - cpu
        return {
            "samples": samples,
            "cpu_us_per_sample": cpu_s * 1e6 / samples,
            "samples_per_core_s": samples / cpu_s,
            "wall_s": time.monotonic() - started,
            "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


_TOOLS: Any = {
    "tools": [
        {
            "toolSpec": {
                "name": "record_scores",
                "inputSchema": {
                    "json": {
                        "type": "object",
                        "properties": {name: {"type": "object"} for name in JUDGE_DIMENSIONS},
                    }
                },
            }
        }
    ],
    "toolChoice": {"tool": {"name": "record_scores"}},
}

if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1]), int(sys.argv[2])))))
