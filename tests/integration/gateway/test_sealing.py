"""Samples under tenants' own keys on their way to the stream, against a KMS that speaks the real protocol."""

import base64
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
import pytest_asyncio

from contract.receivers import HttpReceiver, json_answer
from corpus.invocations import content, policy, record
from gateway.sinks.kinesis import StreamRecord
from gateway.sinks.sealing import SEALING_LIMITS, SealingSink
from harness.platform import eventually
from harness.sinks import KeepingSink
from llmplatform.aws.envelope import ContentKeys, DataKeyLimits
from llmplatform.samples import (
    UnsealedSample,
    decode_content,
    decode_sample,
    encode_sample,
    unsealed_sample,
    with_content,
)
from sandbox.emulator import CREDENTIALS, REGION, Emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-7d1f"
LIMITS = replace(SEALING_LIMITS, linger_s=0.01, tries=4, first_pause_s=0.01, max_pause_s=0.05)
IMPATIENT = DataKeyLimits(unavailable_for_s=0.0, failed_for_s=0.0)


@dataclass
class Account:
    """The emulator's KMS."""

    url: str
    kms: Any

    def key(self, alias: str) -> str:
        arn: str = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.kms.create_alias(AliasName=alias, TargetKeyId=arn)
        return arn

    def keys(self) -> ContentKeys:
        return keys_at(self.url)


def keys_at(url: str) -> ContentKeys:
    return ContentKeys(region=REGION, endpoint_url=url, credentials=CREDENTIALS, limits=IMPATIENT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as aws:
        yield aws


@pytest.fixture
def aws(emulator: Emulator) -> Iterator[Account]:
    kms = boto3.client(
        "kms",
        endpoint_url=emulator.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield Account(emulator.url, kms)
    kms.close()


def sample(number: int, kms_key: str, **fields: Any) -> UnsealedSample:
    made = unsealed_sample(
        record(number, client_metadata={"note": CANARY}), policy(kms_key=kms_key, **fields), content(CANARY)
    )
    assert made is not None
    return made


def adds_up(sink: SealingSink, stream: KeepingSink[StreamRecord]) -> bool:
    counts = sink.counts
    return counts.pending == 0 and counts.delivered == len(stream.items)


async def test_an_event_holds_its_content_under_the_key_alone(aws: Account) -> None:
    arn, keys = aws.key("alias/holds"), aws.keys()
    stream: KeepingSink[StreamRecord] = KeepingSink("samples")
    sink = SealingSink(keys, stream, limits=LIMITS)
    await sink.start()
    for number in range(50):
        sink.accept(sample(number, "alias/holds"))
    await sink.flush(60)
    assert adds_up(sink, stream)
    assert len(stream.items) == 50
    for number, one in enumerate(sorted(stream.items, key=lambda item: item.partition_key)):
        event = decode_sample(one.data)
        assert one.partition_key == event.request_id
        assert event.enc is not None
        assert event.enc.kms_key == arn
        assert (event.prompt, event.completion, event.metadata) == (None, None, {})
        ciphertext = base64.b64decode(event.enc.ciphertext)
        assert CANARY.encode() not in one.data + ciphertext
        plaintext = await keys.open(
            ciphertext, kms_key=event.enc.kms_key, tenant_id="acme", request_id=event.request_id
        )
        in_the_clear = record(number, client_metadata={"note": CANARY})
        assert with_content(event, decode_content(plaintext)) == decode_sample(
            encode_sample(in_the_clear, policy(), content(CANARY))
        )
    keys.close()


async def test_an_unusable_key_costs_the_content_and_not_the_event(aws: Account) -> None:
    arn, keys = aws.key("alias/unusable"), aws.keys()
    aws.key("alias/fine")
    aws.kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    stream: KeepingSink[StreamRecord] = KeepingSink("samples")
    sink = SealingSink(keys, stream, limits=LIMITS)
    await sink.start()
    for number, key in enumerate(("alias/unusable", "alias/fine", "alias/of-nobody")):
        sink.accept(sample(number, key))
    await sink.flush(60)
    keys.close()
    assert adds_up(sink, stream)
    events = sorted((decode_sample(one.data) for one in stream.items), key=lambda event: event.request_id)
    assert [event.content_withheld for event in events] == ["key_unavailable", None, "key_unavailable"]
    assert [event.enc is None for event in events] == [True, False, True]
    assert CANARY not in "".join(one.data.decode() for one in stream.items)


async def test_samples_wait_for_a_kms_that_fails_and_go_out_when_it_is_back(
    aws: Account, caplog: pytest.LogCaptureFixture
) -> None:
    arn, asked = aws.key("alias/patient"), []

    def overloaded(_: HttpReceiver, __: Any, body: bytes) -> Any:
        asked.append(body)
        return json_answer({"__type": "KMSInternalException", "message": CANARY}, status=500)

    kms = HttpReceiver(overloaded)
    await kms.start()
    keys = keys_at(kms.url)
    stream: KeepingSink[StreamRecord] = KeepingSink("samples")
    sink = SealingSink(keys, stream, limits=replace(LIMITS, tries=100))
    await sink.start()
    for number in range(5):
        sink.accept(sample(number, arn))
    await eventually(lambda: len(asked) >= 3 or None)
    assert (sink.counts.pending, stream.items) == (5, [])
    await kms.stop()
    back = aws.keys()
    sink._keys = back
    await sink.flush(60)
    assert adds_up(sink, stream)
    assert len(stream.items) == 5
    assert [one.message for one in caplog.records if one.name.startswith("llmplatform")] == [
        "sink sealing: KeyServiceFailed[key_service_failed]"
    ]
    assert CANARY not in caplog.text
    keys.close()
    back.close()


async def test_what_was_tried_often_enough_is_dropped_and_counted(aws: Account) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    keys = keys_at(f"http://127.0.0.1:{port}")
    stream: KeepingSink[StreamRecord] = KeepingSink("samples")
    sink = SealingSink(keys, stream, limits=replace(LIMITS, tries=2))
    await sink.start()
    sink.accept(sample(1, aws.key("alias/dropped")))
    await sink.flush(60)
    keys.close()
    assert (sink.counts.dropped, stream.items) == (1, [])
