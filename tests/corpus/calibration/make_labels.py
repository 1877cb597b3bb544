"""Writes `labels.csv`: 240 made-up answers about parcels, labelled by two people who do not always agree.

Each answer has a quality that nobody sees; people and the judge see it with errors of their own. The judge
here is a script too: its scores follow from the item's id and are in no file.
"""

import csv
import io
from pathlib import Path

import numpy as np

from evalworker.calibration.judgements import NoScore, Scores
from evalworker.calibration.labels import LabelledItem
from llmplatform.evaluations import JUDGE_DIMENSIONS

ITEMS = 240
PATH = Path(__file__).with_name("labels.csv")
_SEED = 20_261_123
_ADVICE = (
    "Look at the tracking page",
    "Ask the carrier",
    "Wait one more day",
    "Open a claim",
    "Call the depot",
)


def _qualities() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Items × dimensions: good answers are mostly good in all respects."""
    rng = np.random.default_rng(_SEED)
    return rng.normal(3.6, 0.9, (ITEMS, 1)) + rng.normal(0, 0.6, (ITEMS, len(JUDGE_DIMENSIONS)))


def _seen(quality: float, rng: np.random.Generator, error: float) -> int:
    return int(np.clip(np.rint(quality + rng.normal(0, error)), 1, 5))


def labels_csv() -> str:
    """The file; one label in forty is blank."""
    rng = np.random.default_rng(_SEED + 1)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    raters = [f"{dimension}:{who}" for dimension in JUDGE_DIMENSIONS for who in ("ana", "ben")]
    writer.writerow(["item_id", "prompt", "completion", *raters])
    for index, qualities in enumerate(_qualities()):
        advice = ". ".join(rng.permutation(_ADVICE)[: rng.integers(1, 6)])
        labels = [
            "" if rng.random() < 1 / 40 else _seen(quality, rng, 0.5) for quality in qualities for _ in "ab"
        ]
        writer.writerow([f"parcel-{index:03}", f"Where is parcel {index}?", f"{advice}.", *labels])
    return out.getvalue()


class ScriptedJudge:
    """A judge with an error of its own, the same for the same item; of item 17 it makes nothing."""

    identity = "scripted-judge"

    def __init__(self, *, error: float = 0.6) -> None:
        self._error = error
        self._qualities = _qualities()

    async def scores(self, item: LabelledItem) -> Scores:
        """See the hidden quality, with an error."""
        index = int(item.item_id.removeprefix("parcel-"))
        if index == 17:
            return NoScore.MALFORMED
        rng = np.random.default_rng((_SEED, index))
        return {
            dimension: _seen(quality, rng, self._error)
            for dimension, quality in zip(JUDGE_DIMENSIONS, self._qualities[index], strict=True)
        }


if __name__ == "__main__":
    PATH.write_text(labels_csv(), encoding="utf-8")
