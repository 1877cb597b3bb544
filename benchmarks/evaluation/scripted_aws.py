"""A scripted AWS as a process of its own: answers at once what the worker asks, stores nothing, counts calls.

The emulator would be the bottleneck of what is measured here. Judge, results, ledger, spending, history,
parameters; each answers after `LATENCY_S`. `GET /calls` tells how often each was asked.
"""

import asyncio
import json
import signal
import sys
from collections import Counter

import orjson
import uvloop
from aiohttp import web

from llmplatform.evaluations import JUDGE_DIMENSIONS
from llmplatform.testing import make_policy

LATENCY_S = {"converse": 0.05, "dynamodb": 0.003, "s3": 0.02}

_INPUT = {
    name: {"score": 4, "reason": "It answers what was asked, in order, and adds nothing."}
    for name in JUDGE_DIMENSIONS
}
_VERDICT = orjson.dumps(
    {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "one", "name": "record_scores", "input": _INPUT}}],
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 1500, "outputTokens": 160, "totalTokens": 1660},
        "metrics": {"latencyMs": 50},
    }
)
_POLICY = make_policy("acme", content_mode="full", judge_daily_budget_usd=1_000_000)


class ScriptedAws:
    """Answers and counts."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.Response:
        """Whatever is asked of whichever service."""
        body = await request.read()
        target = request.headers.get("X-Amz-Target", "")
        if request.path.endswith("/converse"):
            return await self._after("converse", _VERDICT)
        if target.startswith("DynamoDB"):
            return await self._dynamodb(target.rpartition(".")[2])
        if target.startswith("AmazonSSM"):
            return self._parameters(target.rpartition(".")[2])
        if request.method == "PUT":
            self.calls["s3.put_bytes"] += len(body)
            return await self._after("s3", b"")
        if b"GetCallerIdentity" in body:
            self.calls["sts"] += 1
            return web.Response(body=_IDENTITY, content_type="text/xml")
        return web.Response(body=orjson.dumps(self.calls))

    async def _dynamodb(self, operation: str) -> web.Response:
        answers = {
            "BatchGetItem": {"Responses": {}},
            "BatchWriteItem": {"UnprocessedItems": {}},
            "UpdateItem": {"Attributes": {"spent_usd": {"N": "0.01"}}},
        }
        self.calls[operation] += 1
        return await self._after("dynamodb", orjson.dumps(answers.get(operation, {})))

    def _parameters(self, operation: str) -> web.Response:
        document = _POLICY.model_dump_json(exclude={"eval_sample_rate", "tenant_id"}, exclude_defaults=True)
        parameters = [{"Name": "/llm-platform/acme/policy", "Value": document, "Type": "String"}]
        found = parameters if operation == "GetParametersByPath" else []
        return web.Response(body=json.dumps({"Parameters": found}).encode())

    async def _after(self, service: str, body: bytes) -> web.Response:
        self.calls[service] += 1
        await asyncio.sleep(LATENCY_S[service])
        return web.Response(body=body, content_type="application/json")


_IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn><UserId>1</UserId></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", ScriptedAws().answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
