"""What a judge said of labelled items. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from evalworker.calibration.labels import LabelledItem


class NoScore(StrEnum):
    """Why there are no scores; each is counted, and none becomes a score."""

    MALFORMED = "malformed"
    """The judge answered, but not in its form."""
    UNAVAILABLE = "unavailable"
    """It gave no answer: throttled, timed out, refused."""
    NOT_STORED = "not_stored"
    """It was to be looked up, and is not there."""


Scores = Mapping[str, int] | NoScore
"""Dimension to label, or why there is none."""


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """A labelled item with what the judge said, once for each time it was asked."""

    item: LabelledItem
    judgements: tuple[Scores, ...]


def scores_of(judged: JudgedItem, dimension: str) -> list[int]:
    """What the judge scored one dimension of one item, each time it did."""
    return [
        scores[dimension]
        for scores in judged.judgements
        if not isinstance(scores, NoScore) and dimension in scores
    ]
