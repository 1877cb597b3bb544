"""`llm-platform tenant add --own-key`: a tenant and its key come together, or neither does."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from harness.cost_job import watched_dynamodb
from harness.platform import aws_client
from llmplatform.ids import TenantId
from operator_cli.__main__ import app
from operator_cli.tenant_erase import run_erase
from sandbox.emulator import ACCOUNT_ID, REGION, Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="aws")
async def provisioned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        yield aws


@pytest.fixture(autouse=True)
def account(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def kms(aws: Emulator) -> Iterator[Any]:
    client = aws_client("kms", aws.url)
    yield client
    client.close()


async def command(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["tenant", *arguments])


async def added(tenant: str) -> str:
    """The new tenant's API key."""
    made = await command("add", tenant, "--content-mode", "full", "--own-key")
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


async def policy_of(tenant: str) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads((await command("show", tenant, "--json")).stdout)["policy"]
    return policy


def states(kms: Any) -> dict[str, str]:
    """Of every key that there is."""
    arns = [key["KeyArn"] for page in kms.get_paginator("list_keys").paginate() for key in page["Keys"]]
    return {arn: kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] for arn in arns}


async def test_a_tenant_comes_with_a_key_that_is_rotated_and_bears_its_name(kms: Any) -> None:
    await added("bank")
    alias = "alias/llm-platform/tenant/bank"
    assert (await policy_of("bank"))["kms_key"] == alias
    made = kms.describe_key(KeyId=alias)["KeyMetadata"]
    assert (made["KeyManager"], made["KeyState"], made["MultiRegion"]) == ("CUSTOMER", "Enabled", False)
    assert kms.get_key_rotation_status(KeyId=made["KeyId"])["KeyRotationEnabled"]
    tags = kms.list_resource_tags(KeyId=made["KeyId"])["Tags"]
    assert {"TagKey": "llm-platform:tenant", "TagValue": "bank"} in tags
    assert {"TagKey": "observability-layer", "TagValue": "evaluate"} in tags


async def test_the_keys_policy_lets_iam_decide_and_nobody_open_as_another_tenant(kms: Any) -> None:
    await added("clinic")
    found = kms.describe_key(KeyId="alias/llm-platform/tenant/clinic")["KeyMetadata"]
    policy = json.loads(kms.get_key_policy(KeyId=found["KeyId"], PolicyName="default")["Policy"])
    allowed, denied = policy["Statement"]
    assert allowed["Effect"] == "Allow"
    assert allowed["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"}
    assert denied["Effect"] == "Deny"
    assert {"kms:Decrypt", "kms:GenerateDataKey*"} <= set(denied["Action"])
    assert denied["Condition"]["StringNotEquals"] == {"kms:EncryptionContext:tenant_id": "clinic"}


async def test_a_tenant_that_is_there_costs_no_key(kms: Any) -> None:
    assert (await command("add", "here-already")).exit_code == 0
    before = states(kms)
    refused = await command("add", "here-already", "--own-key")
    assert refused.exit_code == 1
    assert "exists already" in str(refused.exception)
    assert states(kms) == before


async def test_a_tenant_that_cannot_be_stored_leaves_no_key_behind(
    kms: Any, aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = states(kms)
    async with watched_dynamodb(aws.url, lambda call: call != "PutParameter") as stores_nothing:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", stores_nothing)
        failed = await command("add", "unlucky", "--own-key")
    assert failed.exit_code == 1
    new = {arn: state for arn, state in states(kms).items() if arn not in before}
    assert list(new.values()) == ["PendingDeletion"]
    monkeypatch.delenv("AWS_ENDPOINT_URL_SSM")
    await added("unlucky")
    found = kms.describe_key(KeyId="alias/llm-platform/tenant/unlucky")["KeyMetadata"]
    assert found["Arn"] not in new
    assert found["KeyState"] == "Enabled"


async def test_a_tenant_that_comes_again_finds_its_key_and_after_its_erasure_a_new_one(
    kms: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await added("returning")
    first = kms.describe_key(KeyId="alias/llm-platform/tenant/returning")["KeyMetadata"]["Arn"]
    assert (await command("remove", "returning", "--yes")).exit_code == 0
    await added("returning")
    assert kms.describe_key(KeyId="alias/llm-platform/tenant/returning")["KeyMetadata"]["Arn"] == first
    await asyncio.to_thread(run_erase, TenantId("returning"), REGION, yes=True, as_json=True, settle_s=0.0)
    assert json.loads(capsys.readouterr().out)["key"]["arn"] == first
    await added("returning")
    second = kms.describe_key(KeyId="alias/llm-platform/tenant/returning")["KeyMetadata"]["Arn"]
    assert {arn: state for arn, state in states(kms).items() if arn in {first, second}} == {
        first: "PendingDeletion",
        second: "Enabled",
    }


async def test_a_key_that_somebody_disabled_is_left_to_them(kms: Any) -> None:
    await added("paused")
    found = kms.describe_key(KeyId="alias/llm-platform/tenant/paused")["KeyMetadata"]
    kms.disable_key(KeyId=found["KeyId"])
    assert (await command("remove", "paused", "--yes")).exit_code == 0
    refused = await command("add", "paused", "--own-key")
    assert refused.exit_code == 1
    assert "is Disabled" in str(refused.exception)


async def test_one_key_or_the_other() -> None:
    refused = await command("add", "both", "--own-key", "--kms-key", "alias/theirs")
    assert refused.exit_code == 2
    assert "--kms-key" in refused.stderr
