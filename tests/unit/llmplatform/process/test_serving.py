"""A request whose length can be read in two ways goes no further."""

from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from llmplatform.process.serving import of_one_length

LENGTH, CHUNKED = (b"content-length", b"4"), (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("headers", "status"), [((), 200), ((LENGTH,), 200), ((CHUNKED,), 200), ((CHUNKED, LENGTH), 400)]
)
async def test_two_lengths_are_refused_and_end_the_connection(
    headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    (start, *_) = await answered({"type": "http", "headers": list(headers)})
    assert start["status"] == status
    assert ((b"connection", b"close") in start["headers"]) == (status == 400)


async def answered(scope: dict[str, Any]) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    await of_one_length(PlainTextResponse("here"))(scope, receive, send)
    return sent
