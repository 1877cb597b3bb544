"""Beginning while AWS is away, and ending while it is."""

import pytest

from harness.evaluation import Account, brought, record, sample
from harness.platform import eventually
from llmplatform.testing import make_record


async def test_a_worker_begins_while_nothing_of_aws_answers_and_judges_when_it_does(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        for service in ("STS", "S3", "SSM", "DYNAMODB", "BEDROCK_RUNTIME", "KMS"):
            away.setenv(f"AWS_ENDPOINT_URL_{service}", "http://127.0.0.1:9")
        async with account.worker() as worker:
            assert await worker.evaluator.process([record(b"poison"), record(sample(), 2)])
            assert worker.evaluator.tally.pending == 2
    for way in account.ways.values():
        await way.cut()
    async with account.worker(policy_refresh_s=0.05) as worker:
        for way in account.ways.values():
            await way.mend()
        await brought(worker.evaluator, [record(b"poison"), record(sample(), 2)])
        tally = worker.evaluator.tally
        assert (tally.scored, dict(tally.parked)) == (1, {"undecodable": 1})


async def test_the_last_lines_tell_which_ledger_rows_were_lost_at_the_end(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalworker.bootstrap.FLUSH_S", 4.0)
    async with account.worker() as worker:
        ledger = next(sink for sink in worker.sinks if sink.name == "ledger")
        await account.ways["dynamodb"].cut()
        ledger.accept(make_record(origin="judge"))

    def dropped() -> list[int]:
        return [line["sink_dropped"] for line in account.lines.taken if line.get("sink") == "ledger"]

    await eventually(lambda: dropped() or None)
    assert sum(dropped()) == 1
