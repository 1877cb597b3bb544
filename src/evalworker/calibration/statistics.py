"""Statistics of agreement as functions of a table of counts. Pure.

A table's rows are one side (the judge, or a baseline), its columns the other (people), both in rising order;
its cells are weights and need not be whole. Every function takes a stack of tables, shape (..., rows,
columns), and gives one value a table, NaN where it is undefined: a stack is what a bootstrap has. NaN stays
among arrays; `bootstrap.Estimate` makes it None with a reason.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from llmplatform.evaluations import MAX_SCORE, MIN_SCORE

Array = NDArray[np.float64]

LABELS: Final = tuple(range(MIN_SCORE, MAX_SCORE + 1))
_VALUES: Final = np.array(LABELS, dtype=np.float64)
_SQUARED_DISTANCE: Final = (_VALUES[:, None] - _VALUES) ** 2
_NEGLIGIBLE: Final = 1e-12
"""Below this a variance of weights is rounding, not spread."""


def exact_agreement(tables: Array) -> Array:
    """Share of weight on the diagonal, 0 to 1."""
    return _ratio(np.trace(tables, axis1=-2, axis2=-1), tables.sum(axis=(-2, -1)))


def quadratic_kappa(tables: Array) -> Array:
    """Cohen's kappa with quadratic weights: 1 is agreement, 0 what chance gives with these marginals.

    Undefined when both sides are constant and the same: nothing was there to disagree on (0/0).
    Source: Cohen 1968, Psychological Bulletin 70(4).
    """
    total = tables.sum(axis=(-2, -1))
    observed = (tables * _SQUARED_DISTANCE).sum(axis=(-2, -1))
    expected = np.einsum("...r,rc,...c->...", tables.sum(axis=-1), _SQUARED_DISTANCE, tables.sum(axis=-2))
    return 1 - _ratio(observed * total, expected)


def spearman(tables: Array) -> Array:
    """Spearman's rho, ties at mean ranks; undefined when a side is constant. Tables may be of any shape."""
    total = tables.sum(axis=(-2, -1))
    rows, columns = _shares(tables.sum(axis=-1), total), _shares(tables.sum(axis=-2), total)
    row_ranks, column_ranks = _centred_ranks(rows), _centred_ranks(columns)
    products = ((row_ranks[..., None, :] @ tables)[..., 0, :] * column_ranks).sum(axis=-1)
    variances = (rows * row_ranks**2).sum(axis=-1) * (columns * column_ranks**2).sum(axis=-1)
    return _ratio(_shares(products[..., None], total)[..., 0], np.sqrt(variances))


def mean_difference(tables: Array) -> Array:
    """Mean of the rows' side minus mean of the columns' side, in labels."""
    difference = (tables.sum(axis=-1) - tables.sum(axis=-2)) * _VALUES
    return _ratio(difference.sum(axis=-1), tables.sum(axis=(-2, -1)))


def _centred_ranks(shares: Array) -> Array:
    """Mean rank of each level as a share of all, around 0: ranks up to a scale that rho does not see."""
    return shares.cumsum(axis=-1) - shares / 2 - 0.5


def _shares(weights: Array, total: Array) -> Array:
    return _ratio(weights, np.broadcast_to(total[..., None], weights.shape))


def _ratio(numerator: Array, denominator: Array) -> Array:
    ratio = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > _NEGLIGIBLE)
    return ratio
