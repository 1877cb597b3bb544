"""boto3 clients, and the runtimes that they talk to over loopback."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from sandbox.runtime import SandboxRuntime, serve_runtime
from sandbox.signing import DUMMY_ACCESS_KEY, DUMMY_SECRET_KEY

MakeClient = Callable[..., Any]


@pytest.fixture
async def runtime() -> AsyncIterator[SandboxRuntime]:
    async with serve_runtime() as running:
        yield running


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """A boto3 client of a service, which does not retry unless told how often."""
    made: list[Any] = []

    def make(service: str, url: str, *, attempts: int = 1, secret: str = DUMMY_SECRET_KEY) -> Any:
        client = boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=DUMMY_ACCESS_KEY,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": attempts}, read_timeout=60),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def bedrock(runtime: SandboxRuntime, make_client: MakeClient) -> Any:
    return make_client("bedrock-runtime", runtime.url)


@pytest.fixture
def sagemaker(runtime: SandboxRuntime, make_client: MakeClient) -> Any:
    return make_client("sagemaker-runtime", runtime.url)
