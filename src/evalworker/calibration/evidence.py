"""Judge and people side by side: one table of counts an item, for a dimension or for all together. Pure.

Where several people rated an item, the judge is compared with each of them and the item still weighs one: its
table says how judge and a person drawn at random agree. So one person against another, the ceiling, is on the
same scale, which a comparison with people's mean would not be. Repeated judgements weigh likewise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from evalworker.calibration.judgements import JudgedItem, scores_of
from evalworker.calibration.statistics import LABELS, Array, spearman

_LEVELS = len(LABELS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of each item; first axis: items of the file, in its order. No weight: not compared."""

    judge: Array
    """Judge × people, shape (items, 5, 5)."""
    people: Array
    """One person × another, symmetric, shape (items, 5, 5); no weight where fewer than two rated."""
    mode: Array
    """The label that people gave most × people, shape (items, 5, 5)."""
    length: Array | None
    """Length mapped to labels × people, shape (items, 5, 5); None where a length is unknown."""
    lengths: NDArray[np.int64] | None
    """Characters, negative where shorter answers were labelled higher."""

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Which items have a label and a score."""
        return _weighs(self.judge.reshape(len(self.judge), -1))


def evidence_of(judged: Sequence[JudgedItem], dimension: str) -> Evidence:
    """Both sides for one dimension."""
    said = np.array([_shares(scores_of(item, dimension)) for item in judged])
    counts = np.array([_counts(item.item.labels.get(dimension, ())) for item in judged])
    raters = counts.sum(axis=1)
    people = counts / np.maximum(raters, 1)[:, None] * _weighs(said)[:, None]
    mode = np.broadcast_to(np.eye(_LEVELS)[people.sum(axis=0).argmax()], people.shape)
    lengths = _lengths(judged, people)
    return Evidence(
        judge=_against(said, people),
        people=_pairs(counts) / np.maximum(raters * (raters - 1), 1)[:, None, None],
        mode=_against(mode, people),
        length=None if lengths is None else _against(_matched(lengths, people), people),
        lengths=lengths,
    )


def pooled(parts: Sequence[Evidence]) -> Evidence:
    """All dimensions together: an item brings all that was said of it."""
    judge = _sum(part.judge for part in parts)
    compared = [part for part in parts if part.compared.any()]
    tables = [part.length for part in compared if part.length is not None]
    lengths = [np.abs(part.lengths) for part in compared if part.lengths is not None]
    known = bool(compared) and len(lengths) == len(compared)
    return Evidence(
        judge=judge,
        people=_sum(part.people for part in parts),
        mode=_sum(part.mode for part in parts),
        length=_sum(tables) if known else None,
        lengths=_directed(np.maximum.reduce(lengths), judge.sum(axis=1)) if known else None,
    )


def length_tables(lengths: NDArray[np.int64], people: Array, drawn: Array) -> Array:
    """Length × people for each resample, shape (resamples, distinct lengths, 5).

    `people` has shape (items, 5), `drawn` (resamples, items).
    """
    order = np.argsort(lengths, kind="stable")
    starts = np.unique(lengths[order], return_index=True)[1]
    tables: Array = np.add.reduceat(drawn[:, order, None] * people[order], starts, axis=1)
    return tables


def _against(one: Array, other: Array) -> Array:
    """Each item's table of two sides that do not know of each other."""
    return one[:, :, None] * other[:, None, :]


def _pairs(counts: Array) -> Array:
    """How many ordered pairs of an item's raters gave which two labels."""
    return _against(counts, counts) - counts[:, :, None] * np.eye(_LEVELS)


def _weighs(rows: Array) -> NDArray[np.bool_]:
    weighs: NDArray[np.bool_] = rows.sum(axis=1) > 0
    return weighs


def _lengths(judged: Sequence[JudgedItem], people: Array) -> NDArray[np.int64] | None:
    lengths = [item.item.completion_chars for item in judged]
    compared = _weighs(people)
    if not compared.any() or any(lengths[index] is None for index in np.flatnonzero(compared)):
        return None
    return _directed(np.array([length or 0 for length in lengths], dtype=np.int64), people)


def _directed(lengths: NDArray[np.int64], people: Array) -> NDArray[np.int64]:
    """Lengths, turned negative where people labelled shorter answers higher."""
    compared = _weighs(people)
    everyone = np.ones((1, int(compared.sum())))
    rho = spearman(length_tables(lengths[compared], people[compared], everyone))[0]
    return -lengths if rho < 0 else lengths


def _matched(lengths: NDArray[np.int64], people: Array) -> Array:
    """Each item's length as a label: its mean rank looked up in the distribution of people's labels."""
    weight = people.sum(axis=1)
    total = weight.sum()
    _, level = np.unique(lengths, return_inverse=True)
    of_level = np.bincount(level, weights=weight)
    ranks = ((of_level.cumsum() - of_level / 2) / total)[level]
    label = np.searchsorted(people.sum(axis=0).cumsum() / total, ranks)
    labels: Array = np.eye(_LEVELS)[np.minimum(label, _LEVELS - 1)]
    return labels


def _counts(labels: Sequence[int]) -> Array:
    counts = np.bincount(np.array(labels, dtype=np.int64) - LABELS[0], minlength=_LEVELS)
    return counts.astype(np.float64)


def _shares(labels: Sequence[int]) -> Array:
    return _counts(labels) / max(1, len(labels))


def _sum(tables: Iterable[Array]) -> Array:
    total: Array = reduce(np.add, tables)
    return total
