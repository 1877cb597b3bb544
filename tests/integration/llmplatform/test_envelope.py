"""Content under a tenant's own key, against a KMS that speaks the real protocol."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config

from llmplatform.aws.envelope import (
    OVERHEAD_BYTES,
    ContentKeys,
    ContentTampered,
    DataKeyLimits,
    KeyServiceFailed,
    KeyUnavailable,
)
from sandbox.emulator import CREDENTIALS, REGION, Emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = b"user: canary-7d1f"
OF = {"tenant_id": "acme", "request_id": "019ab3c4-d5e6-7f00-8000-000000000000"}


@dataclass
class StoppedClock:
    """Time that passes when it is told to."""

    ns: int = 1

    def monotonic_ns(self) -> int:
        return self.ns

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """KMS may take as long as a busy machine does."""
    monkeypatch.setattr("llmplatform.aws.envelope.CONNECT_TIMEOUT_S", 60)
    monkeypatch.setattr("llmplatform.aws.envelope.READ_TIMEOUT_S", 60)


@pytest.fixture
def kms(aws: Emulator) -> Iterator[Any]:
    client = boto3.client(
        "kms",
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def key_of(kms: Any) -> str:
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    return arn


def keys_of(url: str, **given: Any) -> ContentKeys:
    return ContentKeys(region=REGION, endpoint_url=url, credentials=CREDENTIALS, **given)


@pytest.fixture
def keys(aws: Emulator) -> Iterator[ContentKeys]:
    made = keys_of(aws.url)
    yield made
    made.close()


def count_calls(keys: ContentKeys) -> list[str]:
    """The names of the calls to KMS, as they are made."""
    made: list[str] = []
    keys._kms.meta.events.register("before-call.kms", lambda model, **_: made.append(model.name))
    return made


@pytest.mark.parametrize("text", [b"", TEXT, b"x" * 700_000])
async def test_what_is_sealed_can_be_opened_again_and_is_not_readable(
    keys: ContentKeys, kms: Any, text: bytes
) -> None:
    key = key_of(kms)
    sealed = await keys.seal(text, kms_key=key, **OF)
    assert TEXT not in sealed
    assert len(sealed) <= len(text) + OVERHEAD_BYTES
    assert await keys.open(sealed, kms_key=key, **OF) == text


async def test_a_key_may_be_named_by_alias_and_stays_the_one_it_was(keys: ContentKeys, kms: Any) -> None:
    first, second = key_of(kms), key_of(kms)
    kms.create_alias(AliasName="alias/named", TargetKeyId=first)
    assert await keys.arn("alias/named") == first
    assert await keys.arn(first.rpartition("/")[2]) == first
    sealed = await keys.seal(TEXT, kms_key="alias/named", **OF)
    kms.update_alias(AliasName="alias/named", TargetKeyId=second)
    assert await keys.open(sealed, kms_key=first, **OF) == TEXT


@pytest.mark.parametrize("other", [{"tenant_id": "globex"}, {"request_id": "another"}])
async def test_it_opens_for_its_own_tenant_and_request_only(
    keys: ContentKeys, kms: Any, other: dict[str, str]
) -> None:
    key = key_of(kms)
    sealed = await keys.seal(TEXT, kms_key=key, **OF)
    with pytest.raises(ContentTampered):
        await keys.open(sealed, kms_key=key, **{**OF, **other})


async def test_no_key_but_its_own_opens_it(keys: ContentKeys, kms: Any) -> None:
    key, other = key_of(kms), key_of(kms)
    sealed = await keys.seal(TEXT, kms_key=key, **OF)
    with pytest.raises(ContentTampered):
        await keys.open(sealed, kms_key=other, **OF)


async def test_no_byte_of_it_can_be_changed(aws: Emulator, keys: ContentKeys, kms: Any) -> None:
    key = key_of(kms)
    sealed = await keys.seal(TEXT, kms_key=key, **OF)
    for at in range(0, len(sealed), 7):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        fresh = keys_of(aws.url) if at < 60 else keys  # with nothing cached, for the header's beginning
        with pytest.raises(ContentTampered):
            await fresh.open(changed, kms_key=key, **OF)
        if fresh is not keys:
            fresh.close()
    for length in (0, 1, 100, len(sealed) - 1):
        with pytest.raises(ContentTampered):
            await keys.open(sealed[:length], kms_key=key, **OF)


async def test_the_header_names_tenant_and_request_and_kms_is_told_the_tenant_alone(
    keys: ContentKeys, kms: Any
) -> None:
    contexts: list[dict[str, str]] = []
    keys._kms.meta.events.register(
        "provide-client-params.kms", lambda params, **_: contexts.append(params.get("EncryptionContext"))
    )
    sealed = await keys.seal(TEXT, kms_key=key_of(kms), **OF)
    assert contexts == [{"tenant_id": "acme"}]
    assert OF["request_id"].encode() in sealed


async def test_a_thousand_texts_of_a_tenant_cost_one_call_a_side(
    aws: Emulator, keys: ContentKeys, kms: Any
) -> None:
    kms.create_alias(AliasName="alias/thousand", TargetKeyId=key_of(kms))
    reader = keys_of(aws.url)
    asked, read = count_calls(keys), count_calls(reader)
    arn = await keys.arn("alias/thousand")
    for number in range(1_000):
        of = {"tenant_id": "acme", "request_id": f"request-{number}"}
        sealed = await keys.seal(TEXT, kms_key="alias/thousand", **of)
        assert await reader.open(sealed, kms_key=arn, **of) == TEXT
    reader.close()
    assert asked == ["DescribeKey", "GenerateDataKey"]
    assert read == ["Decrypt"]


async def test_many_at_once_ask_once(keys: ContentKeys, kms: Any) -> None:
    asked, key = count_calls(keys), key_of(kms)
    ids = [f"request-{number}" for number in range(40)]
    await asyncio.gather(
        *(keys.seal(TEXT, kms_key=key, tenant_id="acme", request_id=request_id) for request_id in ids)
    )
    assert asked == ["GenerateDataKey"]


async def test_tenants_who_share_a_key_share_no_data_key(keys: ContentKeys, kms: Any) -> None:
    asked, key = count_calls(keys), key_of(kms)
    for tenant in ("acme", "globex"):
        await keys.seal(TEXT, kms_key=key, tenant_id=tenant, request_id="1")
    assert asked == ["GenerateDataKey"] * 2


@pytest.mark.parametrize("limits", [DataKeyLimits(max_messages=10), DataKeyLimits(max_bytes=10 * len(TEXT))])
async def test_a_data_key_serves_so_much_and_no_more(aws: Emulator, kms: Any, limits: DataKeyLimits) -> None:
    keys, key = keys_of(aws.url, limits=limits), key_of(kms)
    asked = count_calls(keys)
    for _ in range(25):
        await keys.seal(TEXT, kms_key=key, **OF)
    keys.close()
    assert asked == ["GenerateDataKey"] * 3


async def test_a_deleted_key_opens_nothing_once_its_data_keys_are_too_old(aws: Emulator, kms: Any) -> None:
    keys, key = keys_of(aws.url, limits=DataKeyLimits(max_age_s=0.3)), key_of(kms)
    sealed = await keys.seal(TEXT, kms_key=key, **OF)
    assert await keys.open(sealed, kms_key=key, **OF) == TEXT
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    await asyncio.sleep(0.4)
    for work in (keys.open(sealed, kms_key=key, **OF), keys.seal(TEXT, kms_key=key, **OF)):
        with pytest.raises(KeyUnavailable, match="KMSInvalidStateException"):
            await work
    keys.close()


async def test_a_key_that_cannot_be_used_is_asked_for_now_and_then(aws: Emulator, kms: Any) -> None:
    clock = StoppedClock()
    keys, key = keys_of(aws.url, clock=clock), key_of(kms)
    asked = count_calls(keys)
    kms.disable_key(KeyId=key)
    for _ in range(20):
        with pytest.raises(KeyUnavailable):
            await keys.seal(TEXT, kms_key=key, **OF)
    assert asked == ["GenerateDataKey"]
    kms.enable_key(KeyId=key)
    clock.ns += 31 * 10**9
    await keys.seal(TEXT, kms_key=key, **OF)
    keys.close()


@pytest.mark.parametrize("name", ["alias/nobody", "no key at all"])
async def test_a_key_that_is_not_there_is_unavailable(keys: ContentKeys, name: str) -> None:
    with pytest.raises(KeyUnavailable, match="NotFoundException"):
        await keys.seal(TEXT, kms_key=name, **OF)


async def test_a_silent_kms_is_another_matter_and_is_asked_again(kms: Any) -> None:
    clock = StoppedClock()
    with socket.socket() as nobody:  # has the port and does not listen
        nobody.bind(("127.0.0.1", 0))
        keys = keys_of(f"http://127.0.0.1:{nobody.getsockname()[1]}", clock=clock)
        asked, key = count_calls(keys), key_of(kms)
        for _ in range(20):
            with pytest.raises(KeyServiceFailed, match=r"^KMS failed: EndpointConnectionError$"):
                await keys.seal(TEXT, kms_key=key, **OF)
        assert asked == ["GenerateDataKey"]
        clock.ns += 3 * 10**9
        with pytest.raises(KeyServiceFailed):
            await keys.seal(TEXT, kms_key=key, **OF)
        assert len(asked) == 2
        keys.close()


async def test_nothing_of_a_text_is_in_a_fault_or_a_log(
    keys: ContentKeys, kms: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = key_of(kms)
    sealed = await keys.seal(TEXT, kms_key=key, **OF)
    with pytest.raises(ContentTampered) as raised:
        await keys.open(sealed, kms_key=key, tenant_id="globex", request_id="1")
    kms.disable_key(KeyId=key)
    with pytest.raises(KeyUnavailable):
        await keys.seal(TEXT, kms_key=key, tenant_id="globex", request_id="1")
    assert "canary" not in caplog.text + repr(raised.value)
