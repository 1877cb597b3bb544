"""A tenant with a key of its own, from its request to its erasure, with the gateway as a process."""

import asyncio
import base64
import json
from pathlib import Path

import pytest

from harness.moto import moto_server
from harness.platform import TENANT, GatewayProcess, Laptop, running_laptop
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.tenant_key import TenantKey, alias_of, provide_tenant_key
from llmplatform.ids import TenantId
from llmplatform.samples import SampleEvent, decode_content, decode_sample, with_content
from operator_cli.tenant_erase import run_erase
from sandbox.emulator import CREDENTIALS, REGION, sandbox_session
from sandbox.engines.scripted import Script

MODEL, CANARY = "scripted-bedrock", "canary-7d1f"


async def ask(gateway: GatewayProcess, times: int) -> None:
    """Requests that are answered, one after the other."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": CANARY}], "stream": True}
    async with gateway.http() as client:
        for _ in range(times):
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200
            assert CANARY in answer.text


async def samples(laptop: Laptop, number: int) -> list[SampleEvent]:
    """The stream's events, waited for."""
    async with asyncio.timeout(60):
        while len(data := await laptop.samples()) < number:  # noqa: ASYNC110  # another process puts them
            await asyncio.sleep(0.2)
    assert CANARY not in b"".join(data).decode()
    return [decode_sample(one) for one in data]


async def opens(keys: ContentKeys, event: SampleEvent) -> str:
    """The key under which the event's content is, and opens."""
    assert event.enc is not None
    text = await keys.open(
        base64.b64decode(event.enc.ciphertext),
        kms_key=event.enc.kms_key,
        tenant_id=TENANT,
        request_id=event.request_id,
    )
    opened = with_content(event, decode_content(text))
    assert (opened.prompt, opened.completion) == (f"user: {CANARY}", CANARY)
    return event.enc.kms_key


async def test_a_key_protects_what_was_said_until_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_laptop(tmp_path, kms_key="alias/acme", log_content=True) as laptop:
        laptop.runtime.scripts[MODEL] = Script(text=CANARY, interval_ms=1)
        kms = laptop.boto3("kms")
        arn = kms.create_key()["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName="alias/acme", TargetKeyId=arn)
        async with laptop.gateway() as gateway:
            await ask(gateway, 5)
            events = await samples(laptop, 5)
            keys = ContentKeys(region=REGION, endpoint_url=laptop.aws.url, credentials=CREDENTIALS)
            for event in events:
                assert await opens(keys, event) == arn
            keys.close()
            for name, value in laptop.aws.environment().items():
                monkeypatch.setenv(name, value)
            await asyncio.to_thread(run_erase, TenantId(TENANT), REGION, yes=True, as_json=True, settle_s=0.0)
            facts = json.loads(capsys.readouterr().out)
            assert facts["proven"]
            assert facts["proof"]["opened_before"] == 5
            assert facts["proof"]["refused_now"] == {"KMSInvalidStateException": 5}
            assert facts["stream"] == {"looked_at": 5, "to_the_end": True, "under_key": 5, "readable": 0}
            assert facts["content_log_events"] == 0
        kms.close()


async def test_a_key_that_is_missing_costs_a_tenant_nothing_but_the_content(tmp_path: Path) -> None:
    async with running_laptop(tmp_path, kms_key="alias/not-made-yet") as laptop, laptop.gateway() as gateway:
        laptop.runtime.scripts[MODEL] = Script(text=CANARY, interval_ms=1)
        await ask(gateway, 20)
        events = await samples(laptop, 20)
        assert {event.content_withheld for event in events} == {"key_unavailable"}
        assert CANARY not in gateway.child.log_file.read_text()


async def test_what_was_sealed_before_a_rotation_opens_after_it(tmp_path: Path) -> None:
    with moto_server(tmp_path / "kms.log") as kms_url:  # the emulator rotates no keys
        async with running_laptop(tmp_path, kms_key=alias_of(TenantId(TENANT))) as laptop:
            laptop.runtime.scripts[MODEL] = Script(text=CANARY, interval_ms=1)
            kms = laptop.boto3("kms", kms_url)
            key = await made(kms_url)
            events: list[SampleEvent] = []
            for number in (2, 4):  # a gateway keeps a data key: the second one asks for its own
                async with laptop.gateway(AWS_ENDPOINT_URL_KMS=kms_url) as gateway:
                    await ask(gateway, 2)
                    events = await samples(laptop, number)
                kms.rotate_key_on_demand(KeyId=key.arn)
            rotations = kms.list_key_rotations(KeyId=key.arn)["Rotations"]
            assert [rotation["RotationType"] for rotation in rotations] == ["ON_DEMAND", "ON_DEMAND"]
            keys = ContentKeys(region=REGION, endpoint_url=kms_url, credentials=CREDENTIALS)
            assert [await opens(keys, event) for event in events] == [key.arn] * 4
            keys.close()
            kms.close()


async def test_what_was_sealed_before_the_alias_got_another_key_opens_under_the_former(
    tmp_path: Path,
) -> None:
    async with running_laptop(tmp_path, kms_key=alias_of(TenantId(TENANT))) as laptop:
        laptop.runtime.scripts[MODEL] = Script(text=CANARY, interval_ms=1)
        kms = laptop.boto3("kms")
        former = (await made(laptop.aws.url)).arn
        async with laptop.gateway() as gateway:
            await ask(gateway, 2)
            await samples(laptop, 2)
        present = kms.create_key()["KeyMetadata"]["Arn"]
        kms.update_alias(AliasName=alias_of(TenantId(TENANT)), TargetKeyId=present)
        async with laptop.gateway() as gateway:
            await ask(gateway, 2)
            events = await samples(laptop, 4)
        keys = ContentKeys(region=REGION, endpoint_url=laptop.aws.url, credentials=CREDENTIALS)
        under = [await opens(keys, event) for event in events]
        assert sorted(under) == sorted([former, former, present, present])
        keys.close()
        kms.close()


async def made(kms_url: str) -> TenantKey:
    """The tenant's key, as `tenant add` makes it."""
    session = sandbox_session()
    async with (
        session.client("kms", endpoint_url=kms_url) as kms,
        session.client("sts", endpoint_url=kms_url) as sts,
    ):
        return await provide_tenant_key(kms, sts, TenantId(TENANT))
