"""The floor: raw ASGI in, aiohttp out, bytes passed on as they come. No translation, no telemetry, no keys.

Run by uvicorn with `PASS_THROUGH_TO` in the environment: the address of the backend.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class PassThrough:
    """Sends every request on to one backend."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._client: aiohttp.ClientSession | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        assert self._client is not None
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        kept = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in {b"authorization", b"content-type"}
        }
        async with self._client.post(self._backend + scope["path"], data=body, headers=kept) as reply:
            headers = [(b"content-type", reply.content_type.encode("latin-1"))]
            if reply.content_length is not None:
                headers.append((b"content-length", str(reply.content_length).encode("ascii")))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            while data := await reply.content.readany():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._client.close()
        await send({"type": "lifespan.shutdown.complete"})


app = PassThrough(os.environ["PASS_THROUGH_TO"])
