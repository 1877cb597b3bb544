"""Writes down what each process asks of AWS, and lets through what it may ask: a way of its own for each.

What a call is, is read off the wire as the service would: the target of the JSON protocols, the action of the
query protocol, method and path of the others. What has no name here is kept as unknown, and not passed over.
What is not allowed is answered as AWS would, and goes no further.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

_SIGNED_FOR: Final = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/(?P<service>[^/]+)/aws4_request")
_CBOR: Final = re.compile(r"/service/\w+/operation/(?P<operation>\w+)")
"""Of the RPC v2 protocol; nobody here looks into what it asks with."""
_HOP_BY_HOP: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
_BODY_MAX_BYTES: Final = 2**26
_IAM_PREFIXES: Final = {"monitoring": "cloudwatch", "tagging": "tag"}
"""Where IAM calls a service another name than its signatures do."""
_REST: Final = (
    ("bedrock", "POST", re.compile(r"/model/(?P<model>[^/]+)/converse"), "Converse"),
    ("bedrock", "POST", re.compile(r"/model/(?P<model>[^/]+)/converse-stream"), "ConverseStream"),
    ("bedrock", "GET", re.compile(r"/inference-profiles/(?P<profile>.+)"), "GetInferenceProfile"),
    ("sagemaker", "POST", re.compile(r"/endpoints/(?P<endpoint>[^/]+)/invocations"), "InvokeEndpoint"),
    (
        "sagemaker",
        "POST",
        re.compile(r"/endpoints/(?P<endpoint>[^/]+)/invocations-response-stream"),
        "InvokeEndpointWithResponseStream",
    ),
    ("xray", "POST", re.compile(r"/StartTraceRetrieval"), "StartTraceRetrieval"),
    ("xray", "POST", re.compile(r"/ListRetrievedTraces"), "ListRetrievedTraces"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as far as IAM looks at it."""

    process: str
    service: str
    """As IAM calls it."""
    operation: str
    asked: Mapping[str, Any]

    def __str__(self) -> str:
        """Who called what."""
        return f"{self.process}: {self.service} {self.operation}"


class UnknownCall(AssertionError):
    """A call that nobody here can name."""


@dataclass
class Recorder:
    """The ways to AWS, and what went along them."""

    upstream: Callable[[str, str], str]
    """The address of a service by its name in signatures and a request's path."""
    allowed: Callable[[Call], bool]
    session: ClientSession
    stack: AsyncExitStack
    calls: list[Call] = field(default_factory=list)
    """Those that went through."""
    refused: list[Call] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    async def way(self, process: str) -> str:
        """The address to give to a process instead of AWS's."""
        app = web.Application(client_max_size=_BODY_MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", partial(self._answer, process))
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _answer(self, process: str, request: web.Request) -> web.StreamResponse:
        """Write a call down, and pass it on and its answer back as it comes."""
        body = await request.read()
        try:
            service, call = _call(process, request, body)
        except UnknownCall as unknown:
            self.unknown.append(f"{process}: {unknown}")
            return web.Response(status=HTTPStatus.FORBIDDEN)
        if not self.allowed(call):
            self.refused.append(call)
            return _access_denied(call, request)
        self.calls.append(call)
        return await self._pass_on(service, request, body)

    async def _pass_on(self, service: str, request: web.Request, body: bytes) -> web.StreamResponse:
        url = URL(self.upstream(service, request.path) + request.raw_path, encoded=True)
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
        )
        async with self.session.request(request.method, url, headers=headers, data=body) as answer:
            passed = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    passed.headers.add(name, value)
            passed.content_length = answer.content_length  # all that a HEAD is answered with
            await passed.prepare(request)
            async for chunk in answer.content.iter_any():
                await passed.write(chunk)
            await passed.write_eof()
        return passed


def _access_denied(call: Call, request: web.Request) -> web.Response:
    """As each protocol has it: XML for S3 and the query protocol, JSON for the others."""
    reason = f"{call.process} is not authorized to perform {call.service}:{call.operation}"
    if "X-Amz-Target" not in request.headers and call.service in {"s3", "sns", "sts", "cloudwatch"}:
        error = f"<Error><Code>AccessDenied</Code><Message>{reason}</Message></Error>"
        text = error if call.service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        return web.Response(status=HTTPStatus.FORBIDDEN, text=text, content_type="text/xml")
    return web.json_response(
        {"__type": "AccessDeniedException", "message": reason, "Message": reason},
        status=HTTPStatus.BAD_REQUEST,
        headers={"x-amzn-ErrorType": "AccessDeniedException"},
    )


@asynccontextmanager
async def recording(
    upstream: Callable[[str, str], str], allowed: Callable[[Call], bool]
) -> AsyncIterator[Recorder]:
    """Stand before AWS until the block ends."""
    async with (
        ClientSession(
            connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False
        ) as session,
        AsyncExitStack() as stack,
    ):
        yield Recorder(upstream, allowed, session, stack)


def _call(process: str, request: web.Request, body: bytes) -> tuple[str, Call]:
    """The service as signatures name it, and the call. Raises UnknownCall."""
    signed = _SIGNED_FOR.search(request.headers.get("Authorization", ""))
    if signed is None:
        raise UnknownCall(f"{request.method} {request.path} is not signed")
    service = signed["service"]
    operation, asked = _read(service, request, body)
    return service, Call(process, _IAM_PREFIXES.get(service, service), operation, asked)


def _read(service: str, request: web.Request, body: bytes) -> tuple[str, Mapping[str, Any]]:
    """Operation and parameters of a call. Raises UnknownCall."""
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2], json.loads(body or b"{}")
    if service == "s3":
        return _of_s3(request, body)
    for named, method, path, operation in _REST:
        found = path.fullmatch(request.raw_path.partition("?")[0])
        if (named, method) == (service, request.method) and found is not None:
            parts = {name: unquote(value) for name, value in found.groupdict().items()}
            return operation, parts | _document(body)
    cbor = _CBOR.fullmatch(request.path)
    if cbor is not None:
        return cbor["operation"], {}
    form = parse_qs(body.decode(errors="replace"))
    if "Action" in form:
        return form["Action"][0], {name: values[0] for name, values in form.items()}
    raise UnknownCall(f"{service} {request.method} {request.path_qs}")


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_s3(request: web.Request, body: bytes) -> tuple[str, Mapping[str, Any]]:
    bucket, _, key = request.path.lstrip("/").partition("/")
    asked: dict[str, Any] = {"Bucket": bucket, "Key": key, **request.query}
    asked["SSEKMSKeyId"] = request.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    match request.method, bool(key):
        case "GET" | "HEAD", True:
            return "GetObject", asked
        case "PUT", True:
            return "PutObject", asked
        case "GET", False if "list-type" in request.query:
            return "ListObjectsV2", asked
        case "GET", False if "versions" in request.query:
            return "ListObjectVersions", asked
        case "POST", False if "delete" in request.query:
            keys, versions = (
                re.findall(rf"<{name}>([^<]+)</{name}>", body.decode()) for name in ("Key", "VersionId")
            )
            return "DeleteObjects", asked | {"Keys": keys, "Versions": versions}
        case _:
            raise UnknownCall(f"s3 {request.method} {request.path_qs}")
