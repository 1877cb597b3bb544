"""Signed POST requests to one AWS service over aiohttp, for calls so many that an SDK's millisecond shows.

One attempt a call, bounded in time and size. Who calls knows what a status means and whether to try again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from llmplatform.aws.sigv4 import Credentials, Signer
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault

CONNECT_TIMEOUT_S: Final = 2.0
MAX_ANSWER_BYTES: Final = 16_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the service did what was asked."""
        return self.status == 200  # noqa: PLR2004


class SignedHttp:
    """A service at `url`: `async with SignedHttp(...) as http: await http.post("/", headers, body)`."""

    def __init__(
        self,
        *,
        service: str,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Clock,
        connections: int,
        timeout_s: float | None = None,
    ) -> None:
        """`service` as signatures name it: `bedrock`, `dynamodb`; `timeout_s` is of a whole call."""
        self._url = URL(url).with_path("/")
        self._host = (self._url.raw_host if self._url.is_default_port() else self._url.raw_authority) or ""
        self._signer = Signer(service, region)
        self._credentials = credentials
        self._clock = clock
        self._connections = connections
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Be ready to call; nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        """See `open`."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `close`."""
        await self.close()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request; `path` is encoded already.

        Raises TelemetryFault for an answer over any limit, and what aiohttp raises when there is none.
        """
        if self._session is None:
            raise TelemetryFault("the client is not open")
        signature = self._signer.sign(
            method="POST",
            host=self._host,
            path=path,
            headers=headers,
            body=body,
            credentials=self._credentials(),
            timestamp=f"{self._clock.now():%Y%m%dT%H%M%SZ}",
        )
        url = self._url.join(URL(path, encoded=True))
        async with self._session.post(
            url, data=body, headers={**headers, **signature}, allow_redirects=False
        ) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise TelemetryFault("the service's answer is over any limit")
            return Answer(response.status, response.headers, bytes(answer))
