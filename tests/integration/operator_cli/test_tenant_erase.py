"""Erasing a tenant, against an account that holds its content wherever the platform stores any."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import pytest_asyncio
import typer

from corpus.invocations import content, record
from evalworker.stores.history_rows import HistoryRow, encode_rows
from llmplatform.aws.envelope import ContentKeys, KeyUnavailable
from llmplatform.aws.erasure import Key
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_HISTORY, EVAL_RESULTS, EVAL_STREAM
from llmplatform.clock import SystemClock
from llmplatform.erasure import Tombstone, Tombstones
from llmplatform.errors import ConfigFault
from llmplatform.evaluations import EvalContent, EvalResult, Judge, encode_content, encode_result
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from llmplatform.samples import Envelope, SampleEvent, decode_sample, encode_sample, unsealed_sample
from llmplatform.tenants import TenantFault, Tenants
from operator_cli.console import CommandFailed
from operator_cli.tenant_erase import run_erase
from sandbox.emulator import ACCOUNT_ID, CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-7d1f"
BUCKET = EVAL_HISTORY.name(ACCOUNT_ID, REGION)
SAID = EvalContent(prompt=f"user: {CANARY}", completion=CANARY, reasons={"relevance": CANARY})


@dataclass
class Account:
    """The emulator, and clients of it as any reader has them."""

    url: str
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self.clients[service]

    def key(self, alias: str) -> str:
        kms = self.client("kms")
        arn: str = kms.create_key()["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName=alias, TargetKeyId=arn)
        return arn

    def keys(self) -> ContentKeys:
        return ContentKeys(region=REGION, endpoint_url=self.url, credentials=CREDENTIALS)

    async def add_tenant(self, tenant: str, **policy: Any) -> TenantPolicy:
        made = TenantPolicy(tenant_id=TenantId(tenant), **policy)
        async with sandbox_session().client("ssm", endpoint_url=self.url) as ssm:
            await Tenants(ssm, SystemClock()).create(made)
        return made

    async def tombstones(self) -> tuple[Tombstone, ...]:
        async with sandbox_session().client("ssm", endpoint_url=self.url) as ssm:
            return await Tombstones(ssm).list()

    def parameters(self, tenant: str) -> list[str]:
        found = self.client("ssm").get_parameters_by_path(Path=f"/llm-platform/{tenant}", Recursive=True)
        return [one["Name"] for one in found["Parameters"]]

    async def store(self, policy: TenantPolicy, number: int, *, kms_key: str | None = None) -> None:
        """One evaluated request in every store, as gateway and worker write it."""
        made = record(number, tenant_id=policy.tenant_id)
        said = content(CANARY)
        request = {"tenant_id": policy.tenant_id, "request_id": made.request_id}
        kept: EvalContent | Envelope = SAID
        data = encode_sample(made, policy, said)
        if kms_key is not None:
            keys = self.keys()
            unsealed = unsealed_sample(made, policy, said)
            assert unsealed is not None
            data = unsealed.sealed(kms_key, await keys.seal(unsealed.content, kms_key=kms_key, **request))
            result_text = await keys.seal(encode_content(SAID, 100_000), kms_key=kms_key, **request)
            kept = Envelope(kms_key, base64.b64encode(result_text).decode())
            keys.close()
        self.client("kinesis").put_record(
            StreamName=EVAL_STREAM.name, Data=data, PartitionKey=made.request_id
        )
        result = result_of(decode_sample(data), kept)
        item = encode_result(result)
        if "enc" in item:
            item["enc"] = {"B": base64.b64decode(item["enc"]["B"])}
        self.client("dynamodb").put_item(TableName=EVAL_RESULTS.name, Item=item)
        row = HistoryRow(decode_sample(data), result)
        for _ in range(2):  # a batch that came twice: two versions
            self.client("s3").put_object(
                Bucket=BUCKET, Key=f"{row.folder}{number}.parquet", Body=encode_rows([row])
            )

    def results(self, tenant: str) -> list[dict[str, Any]]:
        answer = self.client("dynamodb").query(
            TableName=EVAL_RESULTS.name,
            KeyConditionExpression="tenant_id = :tenant",
            ExpressionAttributeValues={":tenant": {"S": tenant}},
        )
        items: list[dict[str, Any]] = answer["Items"]
        return items

    def history_versions(self, tenant: str) -> list[str]:
        answer = self.client("s3").list_object_versions(Bucket=BUCKET, Prefix="history/")
        listed = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
        return [one["Key"] for one in listed if f"/tenant={tenant}/" in one["Key"]]


def result_of(event: SampleEvent, kept: EvalContent | Envelope) -> EvalResult:
    return EvalResult(
        tenant_id=event.tenant_id,
        request_id=event.request_id,
        trace_id=event.trace_id,
        event_at=event.completed_at,
        judged_at=event.completed_at,
        model_id=event.model_id,
        endpoint_type=event.endpoint_type,
        sample_rate=event.sample_rate,
        sample_reason=event.sample_reason,
        judge=Judge("0" * 16, "judge", "rubric", "1"),
        scores={"relevance": 4},
        content_truncated=False,
        content=kept,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="emulator")
async def provisioned(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        await provision(sandbox_session(), endpoint_url=aws.url)
        yield aws


@pytest.fixture
def aws(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    return Account(emulator.url)


async def erase(tenant: str, **options: Any) -> None:
    given = {"yes": True, "as_json": True, "settle_s": 0.0, **options}
    await asyncio.to_thread(run_erase, TenantId(tenant), REGION, **given)


async def erased(tenant: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    await erase(tenant)
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


async def test_what_is_under_a_key_cannot_be_read_by_anyone_any_more(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = aws.key("alias/sealed")
    policy = await aws.add_tenant("sealed", kms_key="alias/sealed")
    for number in range(5):
        await aws.store(policy, number, kms_key=arn)
    before = aws.results("sealed")
    facts = await erased("sealed", capsys)
    assert facts["proven"]
    assert facts["proof"] == {
        "tried": 10,  # five results, five records of the stream
        "opened_before": 10,
        "opened_now": 0,
        "refused_now": {"KMSInvalidStateException": 10},
    }
    assert facts["results"] == {"cleared": 0, "under_key": 5, "readable": 0}
    assert facts["history"] == {"deleted": 10, "left": 0}
    assert (facts["stream"]["under_key"], facts["stream"]["readable"]) == (5, 0)
    # And so anyone finds it.
    assert aws.parameters("sealed") == []
    assert aws.history_versions("sealed") == []
    keys = aws.keys()
    for item in before:
        request_id = item["request_id"]["S"]
        with pytest.raises(KeyUnavailable):
            await keys.open(
                item["enc"]["B"],
                kms_key=arn,
                tenant_id="sealed",
                request_id=request_id,
            )
    keys.close()
    described = aws.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
    assert described["KeyState"] == "PendingDeletion"
    (tombstone,) = [one for one in await aws.tombstones() if one.tenant_id == "sealed"]
    assert tombstone.kms_key == arn
    assert tombstone.key_deleted_at is not None
    assert 6 <= (tombstone.key_deleted_at - datetime.now(UTC)).days <= 7


async def test_what_is_under_no_key_is_deleted_and_the_scores_stay(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = await aws.add_tenant("plain", log_content=True)
    other = await aws.add_tenant("plain-neighbour")
    for number in range(20):
        await aws.store(policy, number)
    await aws.store(other, 99)
    logs = aws.client("logs")
    logs.create_log_stream(logGroupName=CONTENT_LOGS.name, logStreamName="task")
    for tenant in ("plain", "plain-neighbour"):
        event = {"timestamp": int(datetime.now(UTC).timestamp() * 1_000)}
        event["message"] = json.dumps({"tenant_id": tenant, "prompt": CANARY})  # type: ignore[assignment]
        logs.put_log_events(logGroupName=CONTENT_LOGS.name, logStreamName="task", logEvents=[event])
    facts = await erased("plain", capsys)
    assert facts["proven"]
    assert facts["key"] is None
    assert facts["results"] == {"cleared": 20, "under_key": 0, "readable": 0}
    assert facts["history"] == {"deleted": 40, "left": 0}
    assert facts["stream"]["readable"] == 20
    assert facts["content_log_events"] == 1
    assert any(line.startswith("records on the stream that can be read: until") for line in facts["remains"])
    assert CANARY not in json.dumps(aws.results("plain"), default=str)
    assert [item["scores"] for item in aws.results("plain")] == [{"M": {"relevance": {"N": "4"}}}] * 20
    assert aws.history_versions("plain") == []
    # The neighbour has lost nothing.
    assert CANARY in json.dumps(aws.results("plain-neighbour"), default=str)
    assert len(aws.history_versions("plain-neighbour")) == 2
    assert aws.parameters("plain-neighbour")


async def test_content_of_before_the_key_and_under_a_former_one_goes_too(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    former, present = aws.key("alias/former"), aws.key("alias/present")
    policy = await aws.add_tenant("changing", kms_key="alias/present")
    await aws.store(policy.model_copy(update={"kms_key": None}), 1)
    await aws.store(policy, 2, kms_key=former)
    await aws.store(policy, 3, kms_key=present)
    facts = await erased("changing", capsys)
    assert facts["results"] == {"cleared": 2, "under_key": 1, "readable": 0}
    assert (facts["stream"]["under_key"], facts["stream"]["readable"]) == (1, 2)
    assert [sorted(item.keys() & {"content", "enc", "kms_key"}) for item in aws.results("changing")] == [
        [],
        [],
        ["enc", "kms_key"],
    ]
    assert aws.client("kms").describe_key(KeyId=former)["KeyMetadata"]["KeyState"] == "Enabled"


async def test_erasing_again_goes_on_with_the_same_key_and_looks_again(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = aws.key("alias/again")
    policy = await aws.add_tenant("again", kms_key=arn)
    await aws.store(policy, 1, kms_key=arn)
    first = await erased("again", capsys)
    await aws.store(policy.model_copy(update={"kms_key": None}), 2)  # a worker that had not noticed
    second = await erased("again", capsys)
    assert (second["erased_at"], second["key"]["arn"]) == (first["erased_at"], arn)
    assert second["key"]["deleted_at"] == first["key"]["deleted_at"]
    assert second["results"] == {"cleared": 1, "under_key": 1, "readable": 0}
    assert second["proof"]["opened_before"] == second["proof"]["opened_now"] == 0
    assert second["proven"]


async def test_what_is_stored_before_all_have_noticed_is_found(
    aws: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = await aws.add_tenant("late")
    settling, noticed = threading.Event(), threading.Event()

    async def settle(_: float) -> None:
        settling.set()
        await asyncio.to_thread(noticed.wait, 60)

    monkeypatch.setattr("llmplatform.aws.erasure.asyncio", SimpleNamespace(sleep=settle))
    capsys.readouterr()
    erasing = asyncio.create_task(erase("late"))
    assert await asyncio.to_thread(settling.wait, 60)
    assert aws.parameters("late") == []
    await aws.store(policy, 1)
    noticed.set()
    await erasing
    facts = json.loads(capsys.readouterr().out)
    assert (facts["results"]["cleared"], facts["history"]["deleted"], facts["proven"]) == (1, 2, True)


async def test_a_key_with_copies_elsewhere_is_not_said_to_be_gone(aws: Account) -> None:
    arn = aws.client("kms").create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    await aws.add_tenant("copied", kms_key=arn)
    with pytest.raises(TenantFault, match="copies in other regions"):
        await erase("copied")
    assert aws.parameters("copied")


async def test_a_proof_that_fails_is_told_and_fails_the_command(
    aws: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = aws.key("alias/unproven")
    policy = await aws.add_tenant("unproven", kms_key=arn)
    await aws.store(policy, 1, kms_key=arn)
    await erase("unproven")
    aws.client("kms").cancel_key_deletion(KeyId=arn)
    aws.client("kms").enable_key(KeyId=arn)
    monkeypatch.setattr("llmplatform.aws.erasure.Eraser._delete_key", keep_key)
    capsys.readouterr()
    with pytest.raises(CommandFailed, match="may still be readable"):
        await erase("unproven", as_json=False)
    told = capsys.readouterr()
    assert "2 can be now" in told.out
    assert CANARY not in told.out + told.err


async def keep_key(_: object, arn: str) -> Key:
    """A deletion that KMS did not do."""
    return Key(arn, None)


async def test_a_key_that_another_tenant_uses_is_not_deleted(aws: Account) -> None:
    arn = aws.key("alias/shared")
    await aws.add_tenant("sharing", kms_key="alias/shared")
    await aws.add_tenant("sharing-too", kms_key=arn)
    with pytest.raises(TenantFault, match="tenant sharing-too uses the same key"):
        await erase("sharing")
    assert aws.client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"
    assert aws.parameters("sharing")


async def test_an_unknown_tenant_and_an_unknown_key_are_faults_before_anything_is_done(aws: Account) -> None:
    with pytest.raises(TenantFault, match="no tenant nobody"):
        await erase("nobody")
    await aws.add_tenant("keyless", kms_key="alias/of-nobody")
    with pytest.raises(TenantFault, match="KMS knows no key alias/of-nobody"):
        await erase("keyless")
    assert aws.parameters("keyless")
    assert "keyless" not in {one.tenant_id for one in await aws.tombstones()}


async def test_it_asks_first_and_takes_no_for_an_answer(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = aws.key("alias/asked")
    await aws.add_tenant("asked", kms_key="alias/asked")
    asked: list[str] = []

    def no(text: str, **_: bool) -> None:
        asked.append(text)
        raise typer.Abort

    monkeypatch.setattr(typer, "confirm", no)
    with pytest.raises(typer.Abort):
        await erase("asked", yes=False)
    assert asked == [f"Erase tenant asked and all that it ever said, with its KMS key {arn}?"]
    assert aws.parameters("asked")


async def test_a_person_reads_what_was_checked_and_what_remains(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = aws.key("alias/read")
    policy = await aws.add_tenant("read", kms_key=arn)
    await aws.store(policy, 1, kms_key=arn)
    capsys.readouterr()
    await erase("read", as_json=False)
    told = capsys.readouterr()
    assert f"aws kms cancel-key-deletion --key-id {arn}" in told.out
    assert "of 2 stored ciphertexts 2 could be opened before, 0 can be now (2 KMSInvalidState" in told.out
    assert "data keys in the memory of running processes: 5 minutes" in told.err
    assert "until their TTL, 90 days" in told.err
    assert CANARY not in told.out + told.err


async def test_a_tombstone_that_does_not_parse_is_not_passed_over(aws: Account) -> None:
    name = "/llm-platform/_platform/erased/broken"
    aws.client("ssm").put_parameter(Name=name, Value="{}", Type="String")
    with pytest.raises(ConfigFault, match="erased/broken is no tombstone"):
        await aws.tombstones()
    aws.client("ssm").delete_parameter(Name=name)
