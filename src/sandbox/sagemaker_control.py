"""SageMaker's control plane, as far as a reader of the account asks it: `DescribeEndpoint`.

The emulator has no SageMaker. An endpoint exists here once its hardware is known to the runtime, from the
catalogue, from a script or, where metrics are published, from its first call.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from sandbox.emulator import ACCOUNT_ID, REGION
from sandbox.hardware import Hardware
from sandbox.refusals import Refusal
from sandbox.signing import SignatureCheck

_TARGET = "SageMaker.DescribeEndpoint"
_JSON = "application/x-amz-json-1.1"


class _Asked(msgspec.Struct, rename="pascal"):
    endpoint_name: str


class SageMakerControl:
    """Answers what is posted to the root."""

    def __init__(self, hardware: Mapping[str, Hardware], signatures: SignatureCheck) -> None:
        self._hardware = hardware
        self._signatures = signatures
        self._started_at = datetime.now(UTC)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one call."""
        request_id = str(uuid.uuid4())
        content = await request.read()
        try:
            self._signatures.demand(
                service="sagemaker",
                method=request.method,
                raw_path=request.raw_path,
                headers=request.headers,
                body=content,
            )
            described = self._describe(request.headers.get("X-Amz-Target", ""), content)
        except Refusal as refusal:
            refusal.fields["__type"] = refusal.error_type  # where JSON 1.1 has it
            return refusal.response(request_id, "message")
        return web.Response(
            body=msgspec.json.encode(described),
            headers={"x-amzn-RequestId": request_id, "Content-Type": _JSON},
        )

    def _describe(self, target: str, content: bytes) -> dict[str, object]:
        if target != _TARGET:
            raise Refusal(400, "UnknownOperationException", "")
        try:
            name = msgspec.json.decode(content, type=_Asked).endpoint_name
        except msgspec.DecodeError as error:
            raise Refusal(400, "SerializationException", str(error)) from None
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:endpoint/{name.lower()}"
        hardware = self._hardware.get(name)
        if hardware is None:
            raise Refusal(400, "ValidationException", f'Could not find endpoint "{arn}".')
        created_s = (hardware.created_at or self._started_at).timestamp()
        return {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": name,
            "EndpointStatus": "InService",
            "CreationTime": created_s,
            "LastModifiedTime": created_s,
            "MetricsConfig": {
                "EnableEnhancedMetrics": hardware.enhanced,
                "MetricPublishFrequencyInSeconds": 60,
            },
            "ProductionVariants": [
                {
                    "VariantName": hardware.variant,
                    "CurrentWeight": 1.0,
                    "DesiredWeight": 1.0,
                    "CurrentInstanceCount": hardware.instances,
                    "DesiredInstanceCount": hardware.instances,
                }
            ],
        }
