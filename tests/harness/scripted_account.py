"""An AWS account that answers as a test says, on a socket, to the real client library.

It speaks the services' own protocols: JSON by `X-Amz-Target`, the query protocol of STS, and the REST paths
of Bedrock and X-Ray. What no answer is written for is refused as AWS refuses what one may not do.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from aiohttp import web

ACCOUNT = "111111111111"
_REST = (
    (re.compile(r"/foundation-model-availability/(.+)"), "GetFoundationModelAvailability"),
    (re.compile(r"/inference-profiles/(.+)"), "GetInferenceProfile"),
    (re.compile(r"/foundation-models/(.+)"), "GetFoundationModel"),
    (re.compile(r"/(GetTraceSegmentDestination|GetIndexingRules)"), None),
)
_WHO = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::{ACCOUNT}:role/operator</Arn><UserId>AROA</UserId><Account>{ACCOUNT}</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>
"""

Answer = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Refused(Exception):
    """An answer that is an error, with AWS's code for it."""


@dataclass
class ScriptedAccount:
    """Answers by operation: what it says, or a function of what was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Operations, in order."""

    async def handle(self, request: web.Request) -> web.Response:
        """Find the operation, and answer it."""
        body = await request.read()
        operation, arguments = _operation(request, body)
        self.asked.append(operation)
        if operation == "GetCallerIdentity":
            return web.Response(text=_WHO, content_type="text/xml")
        answer = self.answers.get(operation, _denied)
        try:
            return web.json_response(answer(arguments) if callable(answer) else answer)
        except Refused as refused:
            code = str(refused)
            told = {"__type": code, "message": "as the test says"}
            return web.json_response(told, status=400, headers={"x-amzn-errortype": code})


def _denied(_asked: Mapping[str, Any]) -> Mapping[str, Any]:
    raise Refused("AccessDeniedException")


def _operation(request: web.Request, body: bytes) -> tuple[str, Mapping[str, Any]]:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2], json.loads(body or b"{}")
    path = unquote(request.path)
    for pattern, operation in _REST:
        found = pattern.fullmatch(path)
        if found is not None:
            return operation or found[1], {"id": found[1]}
    return parse_qs(body.decode())["Action"][0], {}


@asynccontextmanager
async def serve_account(account: ScriptedAccount) -> AsyncIterator[ScriptedAccount]:
    """Serve it on a free port while the block runs; `url` says where."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", account.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        account.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield account
    finally:
        await runner.cleanup()
