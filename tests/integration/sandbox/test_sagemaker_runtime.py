"""boto3 drives the sandbox's SageMaker runtime, whatever container stands behind the endpoint."""

import asyncio
import json
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError, EventStreamError

from sandbox.engines.engine import ContainerName
from sandbox.engines.scripted import Script
from sandbox.faults import ContainerError, Refuse, StreamException
from sandbox.runtime import SandboxRuntime
from sandbox.sagemaker import BODY_MAX_BYTES

ENDPOINT = "scripted-endpoint"
CHAT = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
PROMPT = {"inputs": "hi", "parameters": {"details": True}, "stream": True}
CONTAINERS: list[ContainerName] = ["openai", "lmi", "lmi_chat", "tgi"]


def asked(container: ContainerName) -> str:
    return json.dumps(CHAT if container in {"openai", "lmi_chat"} else PROMPT)


async def parts(sagemaker: Any, body: str, **fields: Any) -> tuple[Any, list[bytes]]:
    def read() -> tuple[Any, list[bytes]]:
        response = sagemaker.invoke_endpoint_with_response_stream(EndpointName=ENDPOINT, Body=body, **fields)
        try:
            return response, [event["PayloadPart"]["Bytes"] for event in response["Body"]]
        finally:
            response["Body"].close()

    return await asyncio.to_thread(read)


async def whole(sagemaker: Any, body: str, **fields: Any) -> Any:
    def read() -> Any:
        response = sagemaker.invoke_endpoint(EndpointName=ENDPOINT, Body=body, **fields)
        return json.loads(response["Body"].read())

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("container", CONTAINERS)
async def test_parts_joined_are_the_containers_bytes_wherever_they_were_cut(
    runtime: SandboxRuntime, sagemaker: Any, container: ContainerName
) -> None:
    runtime.scripts[ENDPOINT] = Script(text="süß 漢字 end", container=container)
    response, uncut = await parts(sagemaker, asked(container))
    expected = "text/event-stream" if container in {"openai", "tgi"} else "application/jsonlines"
    assert response["ContentType"] == expected
    runtime.scripts[ENDPOINT] = Script(
        text="süß 漢字 end", container=container, part_sizes=(1, 2, 5), write_sizes=(7,)
    )
    _, cut = await parts(sagemaker, asked(container))
    assert len(cut) > len(uncut)
    assert max(map(len, cut)) <= 5
    assert "süß " in b"".join(cut).decode()
    assert b"".join(cut).count(b"\n") == b"".join(uncut).count(b"\n")


@pytest.mark.parametrize("container", CONTAINERS)
async def test_an_unstreamed_answer_is_json(
    runtime: SandboxRuntime, sagemaker: Any, container: ContainerName
) -> None:
    runtime.scripts[ENDPOINT] = Script(text="whole", container=container)
    assert '"whole"' in json.dumps(await whole(sagemaker, asked(container)))
    assert runtime.calls[-1].billed is None
    assert runtime.calls[-1].usage is not None


async def test_sagemakers_own_headers_are_recorded(runtime: SandboxRuntime, sagemaker: Any) -> None:
    response, _ = await parts(
        sagemaker,
        json.dumps(CHAT),
        InferenceId="0af7651916cd43dd8448eb211c80319c",
        CustomAttributes="traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        InferenceComponentName="component-a",
        TargetVariant="blue",
        SessionId="session1",
    )
    await whole(sagemaker, json.dumps(CHAT), TargetModel="model-7.tar.gz")
    headers = runtime.calls[0].headers
    assert headers["x-amzn-sagemaker-inference-id"] == "0af7651916cd43dd8448eb211c80319c"
    assert headers["x-amzn-sagemaker-custom-attributes"].startswith("traceparent=00-")
    assert headers["x-amzn-sagemaker-inference-component"] == "component-a"
    assert headers["x-amzn-sagemaker-session-id"] == "session1"
    assert response["InvokedProductionVariant"] == "blue"
    assert runtime.calls[1].headers["x-amzn-sagemaker-target-model"] == "model-7.tar.gz"


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "ValidationError"),
        (429, "ModelNotReadyException"),
        (500, "InternalFailure"),
        (503, "ServiceUnavailable"),
        (530, "InternalDependencyException"),
    ],
)
async def test_each_error_before_the_answer_is_its_own_exception(
    runtime: SandboxRuntime, sagemaker: Any, status: int, error_type: str
) -> None:
    runtime.scripts[ENDPOINT] = Script(faults=(Refuse(status=status, error_type=error_type),))
    with pytest.raises(ClientError) as failed:
        await whole(sagemaker, json.dumps(CHAT))
    assert type(failed.value) is getattr(sagemaker.exceptions, error_type)
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


async def test_what_the_container_refuses_is_a_model_error_with_the_original(
    runtime: SandboxRuntime, sagemaker: Any
) -> None:
    for body in ("no json", "{}"):
        with pytest.raises(sagemaker.exceptions.ModelError) as failed:
            await parts(sagemaker, body)
        assert failed.value.response["OriginalStatusCode"] == 400
        assert failed.value.response["OriginalMessage"] == "messages: field required"
        assert failed.value.response["LogStreamArn"].startswith("arn:aws:logs:")
    assert runtime.calls[-1].status == 424


@pytest.mark.parametrize(
    ("exception_type", "fields"),
    [
        ("ModelStreamError", {"ErrorCode": "ModelInvocationTimeExceeded"}),
        ("ModelStreamError", {"ErrorCode": "StreamBroken"}),
        ("InternalStreamFailure", {}),
    ],
)
async def test_each_exception_inside_the_stream_keeps_its_name(
    runtime: SandboxRuntime, sagemaker: Any, exception_type: str, fields: dict[str, Any]
) -> None:
    fault = StreamException(
        exception_type=exception_type, after_events=2, message="mid-stream", fields=fields
    )
    runtime.scripts[ENDPOINT] = Script(faults=(fault,))
    with pytest.raises(EventStreamError) as failed:
        await parts(sagemaker, json.dumps(CHAT))
    assert failed.value.response["Error"]["Code"] == exception_type
    assert runtime.calls[-1].events_sent == 2


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ("openai", b'"code":507'),
        ("lmi", b'"finish_reason":"error"'),
        ("lmi_chat", b'"code":507'),
        ("tgi", b'"error_type":"overloaded"'),
    ],
)
async def test_a_container_that_fails_midway_says_so_inside_its_bytes(
    runtime: SandboxRuntime, sagemaker: Any, container: ContainerName, said: bytes
) -> None:
    fault = ContainerError(after_events=2, code=507, error_type="overloaded")
    runtime.scripts[ENDPOINT] = Script(container=container, faults=(fault,))
    _, received = await parts(sagemaker, asked(container))
    assert len(received) == 3
    assert said in received[-1]


async def test_a_container_that_fails_unstreamed_is_a_model_error(
    runtime: SandboxRuntime, sagemaker: Any
) -> None:
    runtime.scripts[ENDPOINT] = Script(faults=(ContainerError(code=500, message="out of memory"),))
    with pytest.raises(sagemaker.exceptions.ModelError, match="out of memory"):
        await whole(sagemaker, json.dumps(CHAT))


async def test_limits_are_sagemakers(runtime: SandboxRuntime) -> None:
    async with aiohttp.ClientSession(runtime.url) as session:
        bearer = {"Authorization": "Bearer token"}
        route = f"/endpoints/{ENDPOINT}/openai/v1/chat/completions"
        async with session.post(
            route, data=BytesIO(b"x" * (BODY_MAX_BYTES + 1)), headers=bearer
        ) as too_large:
            assert too_large.status == 413
        too_long = bearer | {"X-Amzn-SageMaker-Inference-Id": "x" * 65}
        async with session.post(route, json=CHAT, headers=too_long) as refused:
            assert refused.status == 400
            assert refused.headers["x-amzn-errortype"] == "ValidationError"


async def test_the_openai_route_carries_the_containers_bytes_bare(runtime: SandboxRuntime) -> None:
    runtime.scripts[ENDPOINT] = Script(text="bare bytes")
    route = f"/endpoints/{ENDPOINT}/openai/v1/chat/completions"
    async with aiohttp.ClientSession(runtime.url) as session:
        async with session.post(route, json=CHAT) as anonymous:
            assert anonymous.status == 403
        bearer = {"Authorization": "Bearer token"}
        async with session.post(route, json=CHAT, headers=bearer) as response:
            assert response.content_type == "text/event-stream"
            received = await response.read()
        assert received.endswith(b"data: [DONE]\n\n")
        async with session.post(route, json={**CHAT, "stream": False}, headers=bearer) as response:
            answer = await response.json()
    assert answer["choices"][0]["message"]["content"] == "bare bytes"
