"""SageMaker's control plane by boto3's own client: what is known of an endpoint's instances."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from sandbox.hardware import Hardware
from sandbox.runtime import serve_runtime

MakeClient = Callable[..., Any]
CREATED_AT = datetime(2026, 11, 23, 20, 15, tzinfo=UTC)


async def describe(make_client: MakeClient, url: str, name: str, **options: str) -> Any:
    client = make_client("sagemaker", url, **options)
    return await asyncio.to_thread(client.describe_endpoint, EndpointName=name)


async def test_an_endpoint_tells_its_variant_and_instances(make_client: MakeClient) -> None:
    endpoints = {"Smollm2": Hardware(instances=2, variant="main", created_at=CREATED_AT)}
    async with serve_runtime(endpoints=endpoints) as runtime:
        found = await describe(make_client, runtime.url, "Smollm2")
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointName"] == found["EndpointConfigName"] == "Smollm2"
    assert found["EndpointArn"].endswith(":endpoint/smollm2")
    assert found["CreationTime"] == found["LastModifiedTime"] == CREATED_AT
    (variant,) = found["ProductionVariants"]
    assert variant["VariantName"] == "main"
    assert variant["CurrentInstanceCount"] == variant["DesiredInstanceCount"] == 2


async def test_the_door_for_hardware_scales_it(make_client: MakeClient) -> None:
    before = datetime.now(UTC)
    async with serve_runtime() as runtime:
        async with (
            aiohttp.ClientSession(runtime.url) as session,
            session.put("/_sandbox/hardware/made-up", json={"instances": 0}) as put,
        ):
            assert put.status == 204
        found = await describe(make_client, runtime.url, "made-up")
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    assert before.replace(microsecond=0) <= found["CreationTime"] <= datetime.now(UTC)


async def test_an_unknown_endpoint_is_refused_in_sagemakers_words(make_client: MakeClient) -> None:
    async with serve_runtime() as runtime:
        with pytest.raises(ClientError) as refused:
            await describe(make_client, runtime.url, "nowhere")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert refused.value.response["Error"]["Message"].startswith("Could not find endpoint")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


async def test_another_operation_and_a_wrong_signature_are_refused(make_client: MakeClient) -> None:
    async with serve_runtime() as runtime:
        client = make_client("sagemaker", runtime.url)
        with pytest.raises(ClientError, match="UnknownOperationException"):
            await asyncio.to_thread(client.list_endpoints)
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            await describe(make_client, runtime.url, "any", secret="wrong")
