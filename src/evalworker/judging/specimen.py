"""Whether it is the judge or the candidate: a judge that fails at one is asked about a plain one.

A shard may hold nothing else for it to answer, so that nobody could tell the two apart otherwise.
"""

import asyncio
from dataclasses import replace
from typing import Final, Protocol

from evalworker.judging.judge import NOTHING_SPENT, Bill, Candidate, Outcome, Unavailable
from evalworker.judging.prompt import SPECIMEN
from llmplatform.clock import Clock

HOLDS_S: Final = 20.0
"""How long one answer stands for all who doubt: in an outage the judge is asked no more often than this."""


class Judge(Protocol):
    """Who is doubted: `BedrockJudge`."""

    @property
    def circuit_open(self) -> bool:
        """Whether it holds calls back."""
        ...

    async def verdict(self, candidate: Candidate) -> Outcome:
        """What it says of a candidate."""
        ...


class Specimen:
    """Asks about the specimen, in the name of the candidate at which the judge failed."""

    def __init__(self, judge: Judge, clock: Clock) -> None:
        self._judge = judge
        self._clock = clock
        self._lock = asyncio.Lock()
        self._answered = False
        self._asked_ns: int | None = None

    async def is_judged(self, doubted: Candidate) -> tuple[bool, Bill]:
        """Whether the judge says something about the specimen, now or a moment ago; what asking it cost."""
        async with self._lock:  # who comes second hears what the first one was told
            if self._holds():
                return self._answered, NOTHING_SPENT
            outcome = await self._judge.verdict(replace(doubted, content=SPECIMEN))
            self._answered = not isinstance(outcome, Unavailable)
            self._asked_ns = self._clock.monotonic_ns()
            return self._answered, outcome.bill

    def _holds(self) -> bool:
        """Whether the last answer still counts; an open circuit is news, and limits the calls by itself."""
        if self._asked_ns is None or self._judge.circuit_open:
            return False
        return self._clock.monotonic_ns() - self._asked_ns < HOLDS_S * 1e9
