"""A judge that fails: at one candidate, which is put aside, or at all of them, which are waited for."""

from typing import Any

import pytest

from evalworker.bootstrap import Worker
from evalworker.patience import MAX_FAILURES
from evalworker.records import StreamRecord
from harness.evaluation import JUDGE, Account, brought, record, sample, verdict
from llmplatform.aws.signed_http import Answer
from llmplatform.circuit import Circuit, CircuitRule
from sandbox.engines.scripted import Script
from sandbox.faults import Refuse

FAILS: str = "a-judge-that-fails"


def refusing(status: int, error_type: str) -> Script:
    return Script(faults=(Refuse(status=status, error_type=error_type, message="no"),))


def fails_at(worker: Worker, account: Account, words: bytes, script: Script) -> None:
    """Have another model answer wherever the words are, and nobody wait."""
    account.runtime.scripts[FAILS] = script
    post = worker.judge._http.post

    async def diverted(path: str, headers: Any, body: bytes) -> Answer:
        return await post(path.replace(JUDGE, FAILS) if words in body else path, headers, body)

    async def at_once(_: float) -> None:
        return None

    worker.judge._http.post = diverted  # type: ignore[method-assign]
    worker.judge._sleep = at_once
    worker.judge._circuit = Circuit(CircuitRule(open_s=0.05))


async def rounds(worker: Worker, records: list[StreamRecord], number: int) -> None:
    for _ in range(number):
        await worker.evaluator.process(records)


@pytest.mark.parametrize(
    "script", [refusing(500, "InternalServerException"), refusing(424, "ModelErrorException")]
)
async def test_a_candidate_that_the_judge_fails_at_is_put_aside_though_its_shard_holds_no_other(
    account: Account, script: Script
) -> None:
    async with account.worker() as worker:
        fails_at(worker, account, b"POISON", script)
        await brought(worker.evaluator, [record(sample(completion="POISON"))])
        assert dict(worker.evaluator.tally.parked) == {"judge_failed": 1}
        assert worker.evaluator.tally.scored == 0
        assert not worker.judge.circuit_open, "the others are judged"
    assert not await account.results()


async def test_a_first_candidate_that_is_refused_does_not_hold_up_its_shard(account: Account) -> None:
    async with account.worker() as worker:
        fails_at(worker, account, b"POISON", refusing(400, "ValidationException"))
        await brought(worker.evaluator, [record(sample(completion="POISON"))])
        tally = worker.evaluator.tally
        assert tally.parked["judge_failed"] + tally.skipped["judge_refused"] == 1


async def test_a_bug_at_one_candidate_does_not_hold_up_its_shard(account: Account) -> None:
    async with account.worker() as worker:
        begin = worker.judge._begin

        def stumbles(candidate: Any) -> Any:
            if "POISON" in candidate.content.completion:
                raise ValueError
            return begin(candidate)

        worker.judge._begin = stumbles  # type: ignore[method-assign]
        await brought(worker.evaluator, [record(sample(completion="POISON"))])
        assert dict(worker.evaluator.tally.parked) == {"judge_failed": 1}


async def test_a_judge_that_went_away_after_an_answer_is_waited_for(account: Account) -> None:
    """Two in one batch, and the judge fails between them."""
    async with account.worker() as worker:
        fails_at(worker, account, b"LATER", refusing(500, "InternalServerException"))
        both = [record(sample(1)), record(sample(2, completion="LATER"), 2)]
        assert len(await worker.evaluator.process(both)) == 1
        account.judge(refusing(500, "InternalServerException"))
        await rounds(worker, both[1:], 4 * MAX_FAILURES)
        assert worker.evaluator.tally.parked == {}
        assert worker.evaluator.tally.pending == 1
        account.judge(verdict())
        account.runtime.scripts[FAILS] = verdict()
        await brought(worker.evaluator, both[1:])
        assert worker.evaluator.tally.scored == 2


async def test_asking_about_a_specimen_is_paid_for_and_holds_no_words_of_the_tenants(
    account: Account,
) -> None:
    async with account.worker() as worker:
        fails_at(worker, account, b"POISON", refusing(500, "InternalServerException"))
        await brought(worker.evaluator, [record(sample(completion="POISON"))])
        await worker.delivered(within_s=60)
    calls = account.runtime.calls.of(JUDGE)
    rows = await account.judge_rows()
    assert len(calls) == len(rows) > 0
    assert {row.tenant_id for row in rows} == {"acme"}
    assert "CANARY" not in repr([call.body for call in calls])


async def test_a_bug_at_looking_results_up_does_not_hold_up_a_shard(account: Account) -> None:
    async with account.worker() as worker:

        async def stumbles(_: object) -> Any:
            raise ValueError

        worker.evaluator._results.known = stumbles  # type: ignore[method-assign, assignment]
        await brought(worker.evaluator, [record(sample())])
        assert dict(worker.evaluator.tally.parked) == {"worker_failed": 1}
