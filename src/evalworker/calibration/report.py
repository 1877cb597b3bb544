"""A calibration told: how judge and people agree, per dimension and overall, beside the baselines. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evalworker.calibration.bootstrap import NO_ITEMS, Estimate, Measure, estimate
from evalworker.calibration.evidence import Evidence, evidence_of, length_tables, pooled
from evalworker.calibration.judgements import JudgedItem, NoScore, scores_of
from evalworker.calibration.statistics import (
    LABELS,
    Array,
    exact_agreement,
    mean_difference,
    quadratic_kappa,
    spearman,
)
from llmplatform.evaluations import JUDGE_DIMENSIONS

OVERALL: Final = "overall"
_STATISTICS: Final = {"exact": exact_agreement, "kappa": quadratic_kappa, "spearman": spearman}
_UNKNOWN_LENGTH: Final = "the length of an answer is unknown: give `completion` or `completion_chars`"
_ONE_RATER: Final = "no item was rated by two people"


@dataclass(frozen=True, slots=True)
class Agreement:
    """The three statistics of one side against people, or the difference of two such."""

    exact: Estimate
    kappa: Estimate
    spearman: Estimate


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many judgements were asked for, of items with a label, and what became of them."""

    labelled: int
    """Items with a label."""
    compared: int
    """Those of them with at least one score."""
    asked: int
    scored: int
    without_score: Mapping[str, int]
    """Judgements by the reason why they gave no score."""

    @property
    def share(self) -> float | None:
        """Scored of asked; None where nothing was asked."""
        return self.scored / self.asked if self.asked else None


@dataclass(frozen=True, slots=True)
class DimensionReport:
    """How far one dimension's scores can be trusted."""

    dimension: str
    coverage: Coverage
    judge: Agreement
    bias: Estimate
    """Mean of the judge's labels minus mean of people's."""
    mode: Agreement
    """Baseline: always the label that people gave most."""
    length: Agreement
    """Baseline: longer (or shorter, whichever agrees more) is better."""
    over_mode: Agreement
    """Judge minus baseline, paired."""
    over_length: Agreement
    people: Agreement
    """One person against another: the ceiling."""
    confusion: tuple[tuple[float, ...], ...]
    """Items by judge's label (rows) and people's (columns); several raters share an item."""
    within_item_sd: float | None
    """Spread of repeated judgements of one item, in labels; None without repeats."""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole calibration."""

    judge_identity: str
    items: int
    repeat: int
    dimensions: tuple[DimensionReport, ...]
    overall: DimensionReport
    """All dimensions pooled. Dimensions that differ in level raise it, so the gate does not read it."""


def build_report(
    judged: Sequence[JudgedItem],
    *,
    judge_identity: str,
    repeat: int,
    rng: np.random.Generator,
    resamples: int,
) -> Report:
    """The report on `judged`, one or more items."""
    evidence = {dimension: evidence_of(judged, dimension) for dimension in JUDGE_DIMENSIONS}
    rngs = rng.spawn(len(evidence) + 1)  # so that one dimension's labels do not move another's interval
    overall, *dimensions = (
        _told(judged, name, covered, each, own, resamples=resamples)
        for (name, covered, each), own in zip(
            [
                (OVERALL, JUDGE_DIMENSIONS, pooled(list(evidence.values()))),
                *((dimension, (dimension,), each) for dimension, each in evidence.items()),
            ],
            rngs,
            strict=True,
        )
    )
    return Report(judge_identity, len(judged), repeat, tuple(dimensions), overall)


def _told(
    judged: Sequence[JudgedItem],
    name: str,
    dimensions: Sequence[str],
    evidence: Evidence,
    rng: np.random.Generator,
    *,
    resamples: int,
) -> DimensionReport:
    compared = evidence.compared
    sides = {"judge": _measures(evidence.judge[compared]), "mode": _measures(evidence.mode[compared])}
    if evidence.length is not None and evidence.lengths is not None:
        people = evidence.judge[compared].sum(axis=1)
        lengths = evidence.lengths[compared]
        sides["length"] = _measures(evidence.length[compared]) | {
            "spearman": lambda drawn: spearman(length_tables(lengths, people, drawn))
        }
    measures = {f"{side} {name}": measure for side, own in sides.items() for name, measure in own.items()}
    for side in sides.keys() - {"judge"}:
        for statistic in _STATISTICS:
            measures[f"over {side} {statistic}"] = _difference(
                sides["judge"][statistic], sides[side][statistic]
            )
    flat = _flat(evidence.judge[compared])
    measures["bias"] = lambda drawn: mean_difference(_tables(drawn, flat))
    found = estimate(measures, items=int(compared.sum()), resamples=resamples, rng=rng)

    def agreement(side: str) -> Agreement:
        if f"{side} exact" not in found:
            unknown = Estimate(None, reason=_UNKNOWN_LENGTH if compared.any() else NO_ITEMS)
            return Agreement(unknown, unknown, unknown)
        return Agreement(**{statistic: found[f"{side} {statistic}"] for statistic in _STATISTICS})

    return DimensionReport(
        dimension=name,
        coverage=_coverage(judged, dimensions),
        judge=agreement("judge"),
        bias=found["bias"],
        mode=agreement("mode"),
        length=agreement("length"),
        over_mode=agreement("over mode"),
        over_length=agreement("over length"),
        people=_people(evidence.people, rng, resamples),
        confusion=tuple(tuple(float(cell) for cell in row) for row in evidence.judge.sum(axis=0)),
        within_item_sd=_spread(judged, dimensions),
    )


def _people(pairs: Array, rng: np.random.Generator, resamples: int) -> Agreement:
    rated_twice = pairs[pairs.any(axis=(1, 2))]
    if not len(rated_twice):
        unknown = Estimate(None, reason=_ONE_RATER)
        return Agreement(unknown, unknown, unknown)
    found = estimate(_measures(rated_twice), items=len(rated_twice), resamples=resamples, rng=rng)
    return Agreement(**found)


def _measures(tables: Array) -> dict[str, Measure]:
    """The three statistics of items' tables, as functions of how often each item was drawn."""
    flat = _flat(tables)
    return {
        "exact": lambda drawn: exact_agreement(_tables(drawn, flat)),
        "kappa": lambda drawn: quadratic_kappa(_tables(drawn, flat)),
        "spearman": lambda drawn: spearman(_tables(drawn, flat)),
    }


def _flat(tables: Array) -> Array:
    return tables.reshape(-1, len(LABELS) ** 2)


def _tables(drawn: Array, flat: Array) -> Array:
    return (drawn @ flat).reshape(-1, len(LABELS), len(LABELS))


def _difference(one: Measure, other: Measure) -> Measure:
    return lambda drawn: one(drawn) - other(drawn)


def _coverage(judged: Sequence[JudgedItem], dimensions: Sequence[str]) -> Coverage:
    reasons = [
        [
            _reason_without(scores, dimension)
            for dimension in dimensions
            if dimension in each.item.labels
            for scores in each.judgements
        ]
        for each in judged
    ]
    asked = [reason for own in reasons for reason in own]
    without = [reason for reason in asked if reason is not None]
    return Coverage(
        labelled=sum(map(bool, reasons)),
        compared=sum(None in own for own in reasons),
        asked=len(asked),
        scored=len(asked) - len(without),
        without_score={reason: without.count(reason) for reason in sorted(set(without))},
    )


def _reason_without(scores: Mapping[str, int] | NoScore, dimension: str) -> str | None:
    if isinstance(scores, NoScore):
        return scores.value
    return None if dimension in scores else "dimension_absent"


def _spread(judged: Sequence[JudgedItem], dimensions: Sequence[str]) -> float | None:
    """Standard deviation of one judgement around its item's mean, pooled over items judged more than once."""
    variances = [
        np.var(labels, ddof=1)
        for dimension in dimensions
        for each in judged
        if len(labels := scores_of(each, dimension)) > 1
    ]
    return float(np.sqrt(np.mean(variances))) if variances else None
