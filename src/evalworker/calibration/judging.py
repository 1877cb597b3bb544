"""Asking a judge for the scores of labelled items, several at a time.

What a judge is, its rubric and its retries live elsewhere: here it only gives scores, or says why not.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from evalworker.calibration.judgements import JudgedItem, NoScore, Scores
from evalworker.calibration.labels import LabelledItem
from evalworker.calibration.statistics import LABELS


class Judge(Protocol):
    """Whatever scores an item: a model now, or a store of what a model said."""

    @property
    def identity(self) -> str:
        """The judge's identity, as results carry it."""
        ...

    async def scores(self, item: LabelledItem) -> Scores:
        """The labels the judge gives `item`; a dimension may be absent, and is then not scored."""
        ...


async def judge_items(
    judge: Judge,
    items: Sequence[LabelledItem],
    *,
    repeat: int,
    concurrency: int,
    judged: Callable[[], None] = lambda: None,
) -> tuple[JudgedItem, ...]:
    """Every item with `repeat` judgements, in the order of `items`; `judged` is called after each judgement.

    At most `concurrency` calls are under way at a time. What the judge raises ends the rest and travels on.
    """
    said: list[list[Scores]] = [[] for _ in items]
    waiting = iter([index for _ in range(repeat) for index in range(len(items))])

    async def work() -> None:
        for index in waiting:
            said[index].append(_within_scale(await judge.scores(items[index])))
            judged()

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(items) * repeat)):
                workers.create_task(work())
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None  # the command has a line for the fault, not for a group of them
    return tuple(JudgedItem(item, tuple(scores)) for item, scores in zip(items, said, strict=True))


def _within_scale(scores: Scores) -> Scores:
    if isinstance(scores, NoScore) or all(score in LABELS for score in scores.values()):
        return scores
    return NoScore.MALFORMED
