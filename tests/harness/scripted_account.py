"""An AWS account that answers as a test says, on a socket, to the real client library.

It speaks the services' own protocols: JSON by `X-Amz-Target`, the query protocol of STS and CloudFormation,
and the REST paths of Bedrock and X-Ray. What no answer is written for is refused as AWS refuses what one may
not do.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from aiohttp import web

ACCOUNT = "111111111111"
_REST = (
    (re.compile(r"/foundation-model-availability/(.+)"), "GetFoundationModelAvailability"),
    (re.compile(r"/inference-profiles/(.+)"), "GetInferenceProfile"),
    (re.compile(r"/foundation-models/(.+)"), "GetFoundationModel"),
    (re.compile(r"/(GetTraceSegmentDestination|GetIndexingRules)"), None),
)
_WHO = {"Arn": f"arn:aws:iam::{ACCOUNT}:role/operator", "UserId": "AROA", "Account": ACCOUNT}

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
        named = _operation(request, body)
        if named is None:
            return self._query(parse_qs(body.decode()).get("Action", [request.path])[0])
        operation, arguments = named
        self.asked.append(operation)
        answer = self.answers.get(operation, _denied)
        try:
            return web.json_response(answer(arguments) if callable(answer) else answer)
        except Refused as refused:
            code = str(refused)
            told = {"__type": code, "message": "as the test says"}
            return web.json_response(told, status=400, headers={"x-amzn-errortype": code})

    def _query(self, operation: str) -> web.Response:
        """Answer in the query protocol; who is asking is always known."""
        self.asked.append(operation)
        answer = {"GetCallerIdentity": _WHO, **self.answers}.get(operation, _denied)
        try:
            told = answer({}) if callable(answer) else answer
        except Refused as refused:
            text = _xml("ErrorResponse", {"Error": {"Type": "Sender", "Code": str(refused)}})
            return web.Response(text=text, status=400, content_type="text/xml")
        text = _xml(f"{operation}Response", {f"{operation}Result": told, "ResponseMetadata": {}})
        return web.Response(text=text, content_type="text/xml")


def _denied(_asked: Mapping[str, Any]) -> Mapping[str, Any]:
    raise Refused("AccessDeniedException")


def _xml(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = "".join(_xml(member, one) for member, one in value.items())
    elif isinstance(value, list):
        inner = "".join(_xml("member", one) for one in value)
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def _operation(request: web.Request, body: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """What is asked and with which arguments; None for the query protocol."""
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2], json.loads(body or b"{}")
    path = unquote(request.path)
    for pattern, operation in _REST:
        found = pattern.fullmatch(path)
        if found is not None:
            return operation or found[1], {"id": found[1]}
    return None


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
