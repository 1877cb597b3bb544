"""BERTScore for the event loop: the same scores, computed on a thread of their own."""

import asyncio

from evalworker.bertscore.scorer import BertScore, BertScorer
from llmplatform.process.thread import DaemonThread

_HANDED_OVER = 2
"""One pair at work and one ready for when it is done; the others wait as coroutines."""


class BertScoring:
    """Scores pairs one after the other, off the event loop. Belongs to one event loop."""

    def __init__(self, scorer: BertScorer) -> None:
        self.identity = scorer.identity
        self._scorer = scorer
        self._thread = DaemonThread("bertscore")
        self._slots = asyncio.Semaphore(_HANDED_OVER)

    async def score(self, candidate: str, reference: str) -> BertScore | None:
        """As `BertScorer.score`, when it is this pair's turn."""
        wanted = True

        def work() -> BertScore | None:
            return self._scorer.score(candidate, reference) if wanted else None

        async with self._slots:
            try:
                return await self._thread.run(work)
            finally:
                wanted = False  # who was cancelled needs no score: the thread must not fall behind

    def close(self) -> None:
        """End the thread after the work that it has; returns at once."""
        self._thread.stop()
