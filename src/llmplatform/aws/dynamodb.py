"""DynamoDB calls over the lean client: an SDK costs 111 µs a row written, this a tenth.

Items stay in DynamoDB's own JSON (`{"S": ...}`): those who encode rows write it, and nothing is translated
in between. What is read now and then, by a person or a job, goes through an SDK client instead.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from llmplatform.aws.signed_http import Answer, SignedHttp
from llmplatform.errors import TelemetryFault

_VERSION: Final = "DynamoDB_20120810"


class DynamoDbFault(TelemetryFault):
    """A call that DynamoDB refused. `kind` is its own name of the error, `ThrottlingException` say."""

    def __init__(self, operation: str, status: int, kind: str) -> None:
        super().__init__(f"DynamoDB {operation} answered {status} {kind}")
        self.kind = kind


class DynamoDb:
    """The service behind an open `SignedHttp`."""

    def __init__(self, http: SignedHttp) -> None:
        self._http = http
        self._headers: dict[str, dict[str, str]] = {}

    async def call(self, operation: str, request: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """The answer to one operation; the request may be encoded already.

        Raises DynamoDbFault when it was refused, and what aiohttp raises when there was no answer.
        """
        answer = await self._post(operation, request)
        decoded = _decoded(answer.body)
        if answer.ok and decoded is not None:
            return decoded
        raise DynamoDbFault(operation, answer.status, _kind(decoded or {}))

    async def call_undecoded(self, operation: str, request: Mapping[str, Any] | bytes) -> bytes:
        """The body of the answer, for those who have a decoder of their own; raises as `call` does."""
        answer = await self._post(operation, request)
        if answer.ok:
            return answer.body
        raise DynamoDbFault(operation, answer.status, _kind(_decoded(answer.body) or {}))

    async def _post(self, operation: str, request: Mapping[str, Any] | bytes) -> Answer:
        headers = self._headers.get(operation)
        if headers is None:
            headers = self._headers[operation] = {
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": f"{_VERSION}.{operation}",
            }
        body = request if isinstance(request, bytes) else orjson.dumps(request)
        return await self._http.post("/", headers, body)


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return decoded if isinstance(decoded, dict) else None


def _kind(decoded: Mapping[str, Any]) -> str:
    """`com.amazonaws.dynamodb.v20120810#ValidationException` without what stands before the `#`."""
    kind = decoded.get("__type")
    return kind.rpartition("#")[2] if isinstance(kind, str) else "without a reason"
