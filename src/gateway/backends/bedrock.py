"""Amazon Bedrock as a backend: Converse and ConverseStream, signed, over the shared client session.

Base models, inference profiles and every ARN are addressed alike: as one percent-encoded path segment.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from urllib.parse import quote

import aiohttp

from gateway.backends.aws import AwsRuntime
from gateway.backends.backend import BackendCall, BackendReply
from gateway.backends.http import HttpCall, WholeReply, exchange
from gateway.dialects.dialect import Dialect
from llmplatform.catalogue import DialectName


class BedrockBackend:
    """The models of Bedrock's runtime."""

    name = "bedrock"
    sends_trace = True  # in requestMetadata

    def __init__(
        self,
        session: aiohttp.ClientSession,
        runtime: AwsRuntime,
        dialects: Mapping[DialectName, Dialect],
    ) -> None:
        self._session = session
        self._runtime = runtime
        self._dialects = dialects

    def open(self, call: BackendCall) -> AbstractAsyncContextManager[BackendReply]:
        """Send the call and wait for the reply's head; see `backend.Backend`."""
        model = call.model
        dialect = self._dialects[model.dialect]
        encoded = dialect.encode(call.request, model, call.identity)
        streamed = call.request.stream and model.streaming
        path = _path(model.backend_model_id, streamed=streamed)
        headers = {"Content-Type": encoded.content_type, "Accept": encoded.accept}
        return exchange(
            self._session,
            HttpCall(
                self._runtime.url(path),
                self._runtime.signed(path, headers, encoded.body),
                encoded.body,
                model.timeouts,
                streamed,
            ),
            dialect.stream_decoder() if streamed else WholeReply(dialect),
        )


@lru_cache(maxsize=1024)
def _path(model_id: str, *, streamed: bool) -> str:
    return f"/model/{quote(model_id, safe='')}/{'converse-stream' if streamed else 'converse'}"
