import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aioboto3
import pytest
from aiobotocore.credentials import AioRefreshableCredentials

from llmplatform.aws.sessions import CredentialSource, aws_session, endpoint_url, read_instant
from llmplatform.aws.sigv4 import Credentials
from llmplatform.errors import ConfigFault


@pytest.mark.parametrize(
    ("service", "hostname"),
    [
        ("bedrock-runtime", "bedrock-runtime.eu-west-1.amazonaws.com"),
        ("sagemaker-runtime", "runtime.sagemaker.eu-west-1.amazonaws.com"),
        ("dynamodb", "dynamodb.eu-west-1.amazonaws.com"),
    ],
)
def test_without_configuration_the_endpoint_is_the_real_one(service: str, hostname: str) -> None:
    assert endpoint_url(service, "eu-west-1", {}) == f"https://{hostname}"


def test_a_services_own_endpoint_goes_before_the_common_one() -> None:
    environ = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1/",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:2/",
        "AWS_ENDPOINT_URL_DYNAMODB": "",
    }
    assert endpoint_url("bedrock-runtime", "us-east-1", environ) == "http://127.0.0.1:2"
    assert endpoint_url("dynamodb", "us-east-1", environ) == "http://127.0.0.1:1"


def test_the_real_address_is_asked_for_past_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert endpoint_url("dynamodb", "us-east-1", {}) == "https://dynamodb.us-east-1.amazonaws.com"


async def test_every_client_is_bounded_and_reads_its_endpoint_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:7")
    async with aws_session("us-east-1", Credentials("a", "s")).client("ssm") as ssm:
        assert ssm.meta.endpoint_url == "http://127.0.0.1:7"
        config: Any = ssm.meta.config
        assert (config.connect_timeout, config.read_timeout) == (2, 5)
        assert config.retries == {"mode": "standard", "total_max_attempts": 3}


async def test_credentials_come_from_the_providers_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tok3n")
    async with await CredentialSource.of(aws_session("us-east-1")) as source:
        current = source.current()
    assert (current.access_key, current.secret_key, current.token) == ("AKIA1", "s3cret", "tok3n")
    assert "s3cret" not in repr(current)
    assert "tok3n" not in repr(current)


async def test_no_credentials_stop_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigFault, match="no AWS credentials"):
        await CredentialSource.of(aioboto3.Session(region_name="us-east-1"))


class Provider:
    """Gives key 1, 2, 3 ..., each about to expire; the ones in `broken` it fails to give."""

    def __init__(self, *, broken: set[int]) -> None:
        self.given = 0
        self.broken = broken

    async def refresh(self) -> dict[str, str]:
        self.given += 1
        if self.given in self.broken:
            raise ConnectionError("the metadata service does not answer")
        # Within the SDK's 15 advisory minutes and outside its 10 mandatory ones: refreshed at every look,
        # and the old ones are served if that fails.
        expiry = datetime.now(UTC) + timedelta(minutes=12)
        return {
            "access_key": f"key-{self.given}",
            "secret_key": "s",
            "token": "t",
            "expiry_time": expiry.isoformat(),
        }

    async def credentials(self) -> AioRefreshableCredentials:
        return AioRefreshableCredentials.create_from_metadata(
            metadata=await self.refresh(), refresh_using=self.refresh, method="test"
        )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what is watched is what callers have: a value
            await asyncio.sleep(0.001)


async def test_credentials_are_refreshed_beside_the_caller() -> None:
    provider = Provider(broken=set())
    async with CredentialSource(await provider.credentials(), check_every_s=0.01) as source:
        first = source.current()
        await until(lambda: source.current() != first)
        assert source.failed_refreshes == 0


async def test_while_refreshing_fails_the_last_credentials_stay() -> None:
    provider = Provider(broken={3, 4, 5})
    async with CredentialSource(await provider.credentials(), check_every_s=0.01) as source:
        assert source.current().access_key == "key-2"
        await until(lambda: source.current().access_key != "key-2")
        assert int(source.current().access_key.removeprefix("key-")) >= 6


async def test_a_provider_that_raises_is_counted_and_does_not_end_the_refreshing() -> None:
    provider = Provider(broken=set())
    credentials: Any = await provider.credentials()
    async with CredentialSource(credentials, check_every_s=0.01) as source:
        credentials._expiry_time = datetime.now(UTC) - timedelta(minutes=1)
        provider.broken = set(range(provider.given + 1, provider.given + 4))
        await until(lambda: source.failed_refreshes >= 3)
        failing = source.current()
        await until(lambda: source.current() != failing)
        assert source.failed_refreshes == 3


@pytest.mark.parametrize(
    "written",
    ["2026-11-29T12:00:05Z", "2026-11-29T12:00:05.000+00:00", "Sun, 29 Nov 2026 12:00:05 GMT", 1795953605],
)
def test_times_are_read_however_a_service_writes_them(written: str | float) -> None:
    assert read_instant(written) == datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        read_instant("never")
