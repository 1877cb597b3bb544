import asyncio
import threading

import pytest

from evalworker.bertscore.scorer import BertScore, BertScorer
from evalworker.bertscore.scoring import BertScoring


class Gated(BertScorer):
    """Scores nothing until it is let; says which candidates reached it, and on which threads."""

    def __init__(self) -> None:
        self.identity = "gated"
        self.gate = threading.Event()
        self.reached = threading.Event()
        self.seen: list[str] = []
        self.threads: set[str] = set()

    def score(self, candidate: str, reference: str) -> BertScore | None:
        self.seen.append(candidate)
        self.threads.add(threading.current_thread().name)
        self.reached.set()
        assert self.gate.wait(60)
        if candidate == reference:
            raise ValueError("told to fail")
        return BertScore(0.5, truncated=False)


async def until_reached(scorer: Gated) -> None:
    assert await asyncio.to_thread(scorer.reached.wait, 60)


async def test_the_scores_are_the_scorers_and_its_identity_too(scorer: BertScorer) -> None:
    scoring = BertScoring(scorer)
    pair = ("The cat sat on the mat.", "A cat was sitting on the mat.")
    assert await scoring.score(*pair) == scorer.score(*pair)
    assert await scoring.score("", "reference") is None
    assert scoring.identity == scorer.identity
    scoring.close()


async def test_the_event_loop_goes_on_while_a_pair_is_scored() -> None:
    scorer = Gated()
    scoring = BertScoring(scorer)
    task = asyncio.create_task(scoring.score("a", "b"))
    await until_reached(scorer)  # the loop runs: we are here, and the scorer is not done
    assert not task.done()
    scorer.gate.set()
    assert await task == BertScore(0.5, truncated=False)
    assert scorer.threads == {"bertscore"}
    scoring.close()


async def test_pairs_are_scored_one_after_the_other_each_once() -> None:
    scorer = Gated()
    scoring = BertScoring(scorer)
    names = [str(number) for number in range(20)]
    tasks = [asyncio.create_task(scoring.score(name, "reference")) for name in names]
    await until_reached(scorer)
    scorer.gate.set()
    assert await asyncio.gather(*tasks) == [BertScore(0.5, truncated=False)] * 20
    assert scorer.seen == names
    scoring.close()


async def test_who_was_cancelled_is_not_scored_and_holds_no_one_up() -> None:
    scorer = Gated()
    scoring = BertScoring(scorer)
    working, ready, waiting, last = (
        asyncio.create_task(scoring.score(name, "reference"))
        for name in ("working", "ready", "waiting", "last")
    )
    await until_reached(scorer)
    for task in (working, ready, waiting):
        task.cancel()
    await asyncio.gather(working, ready, waiting, return_exceptions=True)  # before the thread goes on
    scorer.gate.set()
    assert await last == BertScore(0.5, truncated=False)
    assert scorer.seen == ["working", "last"]
    assert all(task.cancelled() for task in (working, ready, waiting))
    scoring.close()


async def test_a_failure_reaches_its_own_caller_and_no_other() -> None:
    scorer = Gated()
    scorer.gate.set()
    scoring = BertScoring(scorer)
    with pytest.raises(ValueError, match="told to fail"):
        await scoring.score("same", "same")
    assert await scoring.score("a", "b") == BertScore(0.5, truncated=False)
    scoring.close()
