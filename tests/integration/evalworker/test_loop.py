"""The story of a batch over real stores: what is judged, what is not, and that each is counted once."""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from evalworker.bootstrap import Worker
from evalworker.feeds.figures import FeedFigures
from evalworker.judging.judge import Candidate, Outcome
from evalworker.loop import Evaluator
from evalworker.records import StreamRecord
from harness.evaluation import JUDGE, Account, record, sample, verdict
from llmplatform.evaluations import EvalContent
from llmplatform.samples import SampleEvent
from llmplatform.testing import make_policy


async def test_a_sample_is_judged_stored_and_paid_for(account: Account) -> None:
    account.judge(verdict(4, absence_of_hallucination=2))
    async with account.worker() as worker:
        assert await worker.evaluator.process([record(sample())]) == frozenset()
        assert worker.evaluator.tally.by_result() == {
            "read": 1,
            "scored": 1,
            "known": 0,
            "skipped": 0,
            "parked": 0,
        }
    (result,) = await account.results()
    assert result.scores["absence_of_hallucination"] == 2
    assert result.scores["relevance"] == 4
    assert result.weight == 2
    assert result.judge_cost_usd == Decimal("0.0015")
    assert isinstance(result.content, EvalContent)
    assert "330 metres" in result.content.completion
    assert result.content.reasons["relevance"].startswith("CANARY-REASON")
    (row,) = await account.judge_rows()
    assert row.tenant_id == "acme"
    assert row.trace_id == sample().trace_id.replace("-", "")
    assert row.usage.input_tokens == 1_000
    (key,) = await account.objects("history/")
    assert "/tenant=acme/model=small/" in key


async def test_what_is_brought_again_has_one_result_and_one_verdict(account: Account) -> None:
    event = sample()
    async with account.worker() as worker:
        for _ in range(3):
            assert await worker.evaluator.process([record(event), record(event, 2)]) == frozenset()
        tally = worker.evaluator.tally
        assert (tally.read, tally.scored, tally.known) == (6, 1, 5)
    async with account.worker() as another:
        await another.evaluator.process([record(event)])
        assert (another.evaluator.tally.scored, another.evaluator.tally.known) == (0, 1)
    assert len(await account.results()) == 1
    assert len(await account.judge_rows()) == 1


async def test_every_record_is_read_and_comes_to_one_end(account: Account) -> None:
    await account.add(make_policy("silent", content_mode="hash_only"))
    await account.add(make_policy("poor", judge_daily_budget_usd=Decimal(0)))
    events: list[SampleEvent | bytes] = [
        sample(1),
        sample(2, tenant_id="silent", prompt=None, completion=None, content_withheld="hash_only"),
        sample(3, tenant_id="poor"),
        sample(4, tenant_id="nobody"),
        sample(5, outcome="client_cancelled"),
        sample(6, completion=""),
        b'{"schema_version": 1, "prompt": "CANARY-POISON"',
        b'{"schema_version": 99}',
    ]
    async with account.worker() as worker:
        records = [record(event, number) for number, event in enumerate(events)]
        assert await worker.evaluator.process(records) == frozenset()
        tally = worker.evaluator.tally
    assert dict(tally.skipped) == {
        "hash_only": 1,
        "budget": 1,
        "no_tenant": 1,
        "not_completed": 1,
        "no_answer": 1,
    }
    assert dict(tally.parked) == {"undecodable": 2}
    assert tally.read == tally.scored + tally.known + tally.skipped.total() + tally.parked.total() == 8
    assert tally.pending == 0
    parked = await account.objects("parked/")
    assert len(parked) == 2
    assert b"CANARY-POISON" not in b"".join(parked.values())


async def test_an_opt_out_is_heeded_for_samples_on_their_way(account: Account) -> None:
    await account.add(make_policy("acme", content_mode="hash_only"))
    async with account.worker() as worker:
        await worker.evaluator.process([record(sample())])
        assert dict(worker.evaluator.tally.skipped) == {"hash_only": 1}
    assert "CANARY" not in await account.everything()


async def test_two_workers_with_the_same_record_make_one_result_and_publish_it_once(account: Account) -> None:
    one = record(sample())
    both_looked = asyncio.Barrier(2)

    def together(worker: Worker) -> None:
        """Have the worker ask the judge when neither has found a result."""
        ask = worker.judge.verdict

        async def asked(candidate: Candidate) -> Outcome:
            await both_looked.wait()
            return await ask(candidate)

        worker.judge.verdict = asked  # type: ignore[method-assign]

    async with account.worker() as first, account.worker() as second:
        together(first)
        together(second)
        await asyncio.gather(first.evaluator.process([one]), second.evaluator.process([one]))
        tallies = [worker.evaluator.tally for worker in (first, second)]
        assert sum(tally.scored for tally in tallies) == sum(tally.known for tally in tallies) == 1
        for worker in (first, second):
            await worker.delivered(within_s=60)
        await account.lines.told("availability", 2)
    assert len(account.runtime.calls.of(JUDGE)) == 2, "both asked, since neither had stored"
    assert len(await account.results()) == len(await account.history()) == 1
    assert account.lines.figures("eval_score") == [[4]] * 4


@dataclass
class OneBatch:
    """A feed that brings one batch and is told to stop."""

    evaluator: Evaluator
    records: list[StreamRecord]
    figures: FeedFigures = field(default_factory=lambda: FeedFigures({}, 0, 0, 0, 0, 1, None))

    async def run(self, stop: asyncio.Event) -> None:
        stop.set()
        await self.evaluator.process(self.records)


async def test_a_worker_that_is_told_to_stop_leaves_no_score_unpublished(account: Account) -> None:
    async with account.worker() as worker:
        feed: Any = OneBatch(worker.evaluator, [record(sample())])
        await replace(worker, feed=feed).run(asyncio.Event())
    assert await account.lines.told("eval_score", 4) == [[4]] * 4
    assert len(await account.judge_rows()) == 1
