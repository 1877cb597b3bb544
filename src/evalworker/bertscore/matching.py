"""BERTScore's own arithmetic: greedy matching of token embeddings by cosine. Pure; no model, no text.

The formula is that of `bert-score` 0.3.13 (`utils.greedy_cos_idf`; Zhang et al., arXiv:1904.09675) without
idf weights and without baseline rescaling.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FORMULA = "bert-score-0.3.13"
"""Names the formula in a scorer's identity: another formula's values are not comparable."""

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """Tokens of one text, [CLS] and [SEP] included, as the model sees them."""

    embeddings: Floats = field(repr=False)
    """One row a token."""
    counts: npt.NDArray[np.bool_]
    """False for [CLS] and [SEP]: they have no weight in the mean, yet others may be matched with them."""


def f1(candidate: EmbeddedText, reference: EmbeddedText) -> float | None:
    """F1 of the two, at most 1; unscaled, so that unrelated texts score above 0.

    None where there is nothing to compare: a side has no token that counts, or precision or recall is not
    positive and has no harmonic mean.
    """
    if not (candidate.counts.any() and reference.counts.any()):
        return None
    # Not `@`: the threads of numpy's BLAS spin while they wait, which took 35 ms of processor time a pair of
    # 110 tokens each. This takes 0.7.
    similarity = np.einsum("ik,jk->ij", _normalised(candidate.embeddings), _normalised(reference.embeddings))
    precision = float(similarity.max(axis=1)[candidate.counts].mean())
    recall = float(similarity.max(axis=0)[reference.counts].mean())
    if not (precision > 0 and recall > 0):
        return None
    return min(1.0, 2 * precision * recall / (precision + recall))


def _normalised(embeddings: Floats) -> Floats:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    normalised: Floats = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
    return normalised
