"""A client that leaves in mid-stream, and knows when it has been noticed."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_ROUTE = "/v1/chat/completions"


async def left(url: str, headers: Mapping[str, str], body: Mapping[str, Any], *, events: int) -> str:
    """Ask a gateway for a stream, leave after so many events of it; its request id, once the gateway hung up.

    Who has written all that it will is taken for gone, and its connection is closed.
    """
    sent = json.dumps(body).encode()
    lines = {"host": "gateway", "content-type": "application/json", "content-length": len(sent), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(f"POST {_ROUTE} HTTP/1.1\r\n{head}\r\n".encode() + sent)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *told = answer.strip().split("\r\n")
        assert status.split()[1] == "200", answer
        got = b""
        while got.count(b"data: ") < events:
            got += await reader.read(65_536)
            assert not reader.at_eof(), got
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    return dict(line.lower().split(": ", 1) for line in told)["x-request-id"]
