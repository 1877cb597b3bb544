"""The worker as a function on Lambda: events as AWS writes them, an answer that names what to repeat."""

import asyncio
import base64
import copy
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from evalworker.feeds import lambda_handler
from evalworker.feeds.lambda_handler import Host, handler, records_of
from harness.evaluation import JUDGE, JUDGES, PRICES, Account, sample, verdict
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_SPEND, EVAL_STREAM
from llmplatform.errors import ConfigFault
from llmplatform.samples import SampleEvent
from llmplatform.testing import make_policy

EVENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "corpus/lambda/kinesis_event.json").read_text()
)


class Context:
    """An invocation's context: the time that is left runs out."""

    def __init__(self, timeout_s: float) -> None:
        self._ends_s = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round(1_000 * (self._ends_s - time.monotonic())))


@pytest_asyncio.fixture
async def host(
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logs: StringIO,  # noqa: ARG001  # restores them
) -> AsyncIterator[Host]:
    """A fresh execution environment, and the function's variables."""
    judges = tmp_path / "judges.toml"
    judges.write_text(JUDGES)
    monkeypatch.setenv("EVAL_JUDGES", str(judges))
    monkeypatch.setenv("EVAL_BERTSCORE", "false")
    monkeypatch.setenv("LLM_PLATFORM_PRICES", str(PRICES))
    monkeypatch.setenv("AWS_EMF_AGENT_ENDPOINT", account.lines.address)
    # A busy machine may take longer than Lambda to deliver and to answer.
    monkeypatch.setattr(lambda_handler, "DELIVER_S", 60.0)
    monkeypatch.setattr(lambda_handler, "ANSWER_S", 60.0)
    host = Host()
    monkeypatch.setattr(lambda_handler, "_host", host)
    yield host
    await asyncio.to_thread(host.close)


async def invoke(event: Mapping[str, Any], context: Context | None = None) -> list[str]:
    """Invoke the function, with time enough by default; gives the sequence numbers that it wants repeated."""
    answer = await asyncio.to_thread(handler, event, context or Context(300))
    assert set(answer) == {"batchItemFailures"}
    assert json.loads(json.dumps(answer)) == answer
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


async def event_of(account: Account, *records: SampleEvent | bytes) -> dict[str, Any]:
    """An event whose records went through the stream."""
    return await asyncio.to_thread(_event_of, account, records)


def _event_of(account: Account, records: Sequence[SampleEvent | bytes]) -> dict[str, Any]:
    kinesis = account.boto3("kinesis")
    event: dict[str, Any] = {"Records": []}
    for record in records:
        data = record if isinstance(record, bytes) else msgspec.json.encode(record)
        put = kinesis.put_record(StreamName=EVAL_STREAM.name, Data=data, PartitionKey="1")
        lambdas = copy.deepcopy(EVENT["Records"][0])
        lambdas["eventID"] = f"{put['ShardId']}:{put['SequenceNumber']}"
        lambdas["kinesis"] |= {
            "sequenceNumber": put["SequenceNumber"],
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": round(time.time(), 3),
        }
        event["Records"].append(lambdas)
    return event


def numbers(event: Mapping[str, Any]) -> list[str]:
    return [record["kinesis"]["sequenceNumber"] for record in event["Records"]]


def repeated(event: Mapping[str, Any], failures: Sequence[str]) -> dict[str, Any]:
    """What Lambda brings next: everything from the lowest sequence number named."""
    first = min(map(int, failures))
    return {"Records": [r for r in event["Records"] if int(r["kinesis"]["sequenceNumber"]) >= first]}


def test_an_event_as_aws_documents_it_is_read() -> None:
    first, second = records_of(EVENT)
    assert first.place == (
        "shardId-000000000006",
        "49590338271490256608559692538361571095921575989136588898",
    )
    assert first.data == b"Hello, this is a test."
    assert second.arrived_at == datetime(2018, 12, 17, 22, 11, 51, 166_000, UTC)
    assert "Hello" not in repr(first)


async def test_samples_are_scored_and_poison_is_parked_not_repeated(account: Account, host: Host) -> None:
    event = await event_of(account, sample(1), b"poison", sample(2))
    assert await invoke(event) == []
    assert await invoke(EVENT) == [], "nothing that AWS documents is a sample"
    assert {r.request_id for r in await account.results()} == {sample(n).request_id for n in (1, 2)}
    assert len(await account.objects("parked/")) == 3
    assert host._worker is not None
    assert host._worker.evaluator.tally.pending == 0


async def test_before_it_answers_everything_is_delivered_for_it_may_be_frozen(
    account: Account, host: Host
) -> None:
    await invoke(await event_of(account, sample(1)))
    assert len(await account.judge_rows()) == 1
    assert len(await account._scan(EVAL_SPEND.name)) == 1
    (heartbeat,) = await account._scan(EVAL_DETECTOR.name)
    assert '"scored":1' in heartbeat["figures"]["S"]
    assert host._worker is not None
    await account.lines.told("eval_score", 4)
    assert await account.lines.told("availability") == [1]


async def test_an_outage_of_the_judge_names_what_was_not_judged_and_nothing_else(
    account: Account, host: Host
) -> None:
    known = sample(1)
    assert await invoke(await event_of(account, known)) == []
    event = await event_of(account, known, b"poison", sample(2), sample(3))
    await account.ways["bedrock-runtime"].cut()
    failures = await invoke(event)
    assert failures == numbers(event)[2:]
    await account.ways["bedrock-runtime"].mend()
    assert await invoke(repeated(event, failures)) == []
    assert await invoke(event) == [], "Lambda may deliver twice"
    results = await account.results()
    assert sorted(r.request_id for r in results) == sorted(sample(n).request_id for n in (1, 2, 3))
    assert len([call for call in account.runtime.calls.of(JUDGE) if call.ended == "completed"]) == 3
    assert host._worker is not None
    tally = host._worker.evaluator.tally
    assert tally.read == tally.scored + tally.known + tally.parked.total()


async def test_it_answers_before_its_time_is_over_and_what_was_not_done_comes_again(
    account: Account, host: Host
) -> None:
    account.judge(msgspec.structs.replace(verdict(), header_delay_ms=60_000))
    event = await event_of(account, b"poison", sample(1), sample(2))
    await invoke({"Records": []})  # to put the worker together takes a slow machine longer
    context = Context(timeout_s=3 + lambda_handler.DELIVER_S + lambda_handler.ANSWER_S)
    assert await invoke(event, context) == numbers(event)
    assert context.get_remaining_time_in_millis() > 0
    account.judge(verdict())
    assert await invoke(event) == []
    assert len(await account.results()) == 2
    assert host._worker is not None
    tally = host._worker.evaluator.tally
    assert (tally.read, tally.scored, tally.pending) == (3, 2, 0)


async def test_without_any_time_nothing_is_begun_and_all_of_it_comes_again(
    account: Account,
    host: Host,  # noqa: ARG001  # the function's environment
) -> None:
    event = await event_of(account, sample(1))
    assert await invoke(event, Context(timeout_s=0)) == numbers(event)
    assert not account.runtime.calls.of(JUDGE)


async def test_who_opted_out_while_the_function_was_frozen_is_heeded(account: Account, host: Host) -> None:
    await invoke(await event_of(account, sample(1)))
    worker = host._worker
    assert worker is not None
    await account.add(make_policy("acme", content_mode="hash_only"))
    assert worker.policies._loaded_ns is not None
    worker.policies._loaded_ns -= 600 * 1_000_000_000  # ten minutes of sleep
    await invoke(await event_of(account, sample(2)))
    assert worker.evaluator.tally.skipped == {"hash_only": 1}
    assert len(account.runtime.calls.of(JUDGE)) == 1


async def test_a_function_that_is_set_up_wrongly_fails_and_keeps_failing(
    account: Account,
    host: Host,  # noqa: ARG001  # the function's environment
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = await event_of(account, sample(1))
    monkeypatch.setenv("EVAL_JUDGE", "nobody")
    for _ in range(2):
        with pytest.raises(ConfigFault, match="no judge is named 'nobody'"):
            await invoke(event)
    monkeypatch.delenv("EVAL_JUDGE")
    assert await invoke(event) == []
