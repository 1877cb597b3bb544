"""Evidence that scores have fallen: bets that pay when they do, and the sum of their winnings. Pure.

An e-detector in the sense of Shin, Ramdas and Rinaldo ("E-detectors: a nonparametric framework for
sequential change detection", 2023), of the Shiryaev-Roberts kind. A player who believes that scores have
fallen stakes a fixed part of a fortune of 1 on every score: the fortune is multiplied by
`1 + stake * (reference - score)`. As long as the expected score, given what came before, is at least the
reference, no stake wins on average, whatever the distribution and however it changes. One player enters
each minute; the evidence is what all of them own. Its expectation after T minutes is at most T, so the
expected time until it first reaches A is at least A minutes. That holds for every finite A, without a
model of the scores; `detector.py` chooses A.

Everything is in natural logarithms and on scores scaled to [0, 1], for any number of leading axes, so that
the simulation runs the same lines as the worker. Which reference is fair is the baseline's affair.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STAKES: Floats = 0.9 * np.float64(0.62) ** np.arange(8, dtype=np.float64)
"""Parts of the largest stake that cannot ruin. The best depends on the size of the fall: each is played.

Growth is flat around its best stake: with a ratio of 0.62 the nearest is within 27 % of it, and loses
less than a tenth of the growth.
"""


def unit_values(bins: Sequence[float]) -> Floats:
    """The values of bins scaled to [0, 1]; bins rise."""
    values = np.asarray(bins, dtype=np.float64)
    scaled: Floats = (values - values[0]) / (values[-1] - values[0])
    return scaled


def log_payoffs(reference: Floats, values: Floats) -> Floats:
    """What each stake pays on a score in each bin when it bets on a fall below `reference`.

    `reference` in (0, 1), shape (...); `values` shape (bins); gives (..., stakes, bins). A bet on a rise is
    a bet on a fall in the mirror: `log_payoffs(1 - reference, 1 - values)`.
    """
    stake = STAKES / (1.0 - reference)[..., None]
    payoffs: Floats = np.log1p(stake[..., None] * (reference[..., None, None] - values))
    return payoffs


def log_growth(counts: Floats, payoffs: Floats, dispersion: Floats) -> Floats:
    """By how much a minute multiplies each player's fortune; (..., stakes) for counts (..., bins).

    Scores that come in bursts of like quality say less than their number. `dispersion` is how many of
    them count as one: the root of a fair bet is still fair (Jensen), so it can only make alarms rarer.
    """
    growth = np.zeros((*counts.shape[:-1], STAKES.size))
    for at in range(counts.shape[-1]):  # a matrix product may round otherwise for another number of minutes
        growth += counts[..., at, None] * payoffs[..., at]
    return growth / dispersion[..., None]


def advance(log_evidence: Floats, log_entering: float | Floats, growth: Floats) -> Floats:
    """Evidence by stake after a minute with scores; `log_entering` of players since the last such minute.

    A minute without scores changes no fortune and lets one player in, which can wait for the next one.
    """
    entered: Floats = np.logaddexp(log_evidence, log_entering) + growth
    return entered


def log_total(log_evidence: Floats) -> Floats:
    """Evidence over all stakes, each of which gets an equal part of a player's fortune."""
    total: Floats = np.logaddexp.reduce(log_evidence, axis=-1) - np.log(STAKES.size)
    return total
