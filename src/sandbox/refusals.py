"""Errors that AWS would answer with, as exceptions that carry their whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web


class Refusal(Exception):
    """An answer with an error status: AWS's type, message and further fields.

    ``message_key`` is how the service spells the field: Bedrock ``message``, SageMaker ``Message``.
    """

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error_type)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})

    def response(self, request_id: str, message_key: str) -> web.Response:
        """The error on the wire."""
        return web.Response(
            status=self.status,
            body=msgspec.json.encode({message_key: self.message, **self.fields}),
            headers={
                "x-amzn-RequestId": request_id,
                "x-amzn-errortype": self.error_type,
                "Content-Type": "application/json",
                **self.headers,
            },
        )
