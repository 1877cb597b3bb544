"""The release gate: whether a judge may be released, and why not. Pure.

Where the defaults come from. 200 items: kappa's interval is then about 0.2 wide. Kappa at least 0.4 at its
interval's lower end: "moderate" begins above 0.40 (Landis and Koch 1977, Biometrics 33). At most 0.10 under
what people reach among themselves: Williamson, Xi and Breyer 2012, Educational Measurement 31(1), who ask
more of kappa itself (0.70) where a machine replaces a rater of exams.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from evalworker.calibration.bootstrap import Estimate
from evalworker.calibration.report import DimensionReport, Report
from llmplatform.evaluations import JUDGE_DIMENSIONS


@dataclass(frozen=True, slots=True)
class GateRule:
    """What a judge has to reach on each of `dimensions`."""

    dimensions: tuple[str, ...] = JUDGE_DIMENSIONS
    min_items: int = 200
    min_coverage: float = 0.98
    min_kappa_low: float = 0.40
    """For the lower end of kappa's interval."""
    max_under_people: float = 0.10
    """How far kappa may stay under people's own; asked only where items have two raters."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the judge may be released; by dimension, what it lacks."""

    passed: bool
    reasons: dict[str, tuple[str, ...]]


def gate(report: Report, rule: GateRule) -> Verdict:
    """Hold `report` against `rule`. What is unknown does not pass."""
    by_name = {each.dimension: each for each in report.dimensions}
    reasons = {dimension: tuple(_lacks(by_name[dimension], rule)) for dimension in rule.dimensions}
    return Verdict(not any(reasons.values()), reasons)


def _lacks(report: DimensionReport, rule: GateRule) -> Iterator[str]:
    items, share = report.coverage.compared, report.coverage.share
    if items < rule.min_items:
        yield f"{items} items compared, {rule.min_items} are needed"
    if share is not None and share < rule.min_coverage:
        yield f"{share:.1%} of judgements gave a score, {rule.min_coverage:.0%} are needed"
    yield from _under(report.judge.kappa, rule.min_kappa_low, "kappa")
    if report.judge.kappa.value is None:
        return
    yield from _no_better(report.over_mode.kappa, "kappa", "always-the-mode")
    yield from _no_better(report.over_length.kappa, "kappa", "length")
    yield from _no_better(report.over_length.spearman, "Spearman's rho", "length")
    judge, people = report.judge.kappa.value, report.people.kappa.value
    if people is not None and people - judge > rule.max_under_people:
        yield f"kappa {judge:.2f} is more than {rule.max_under_people:.2f} under people's own {people:.2f}"


def _under(estimate: Estimate, least: float, name: str) -> Iterator[str]:
    if estimate.low is None:
        yield f"{name} is unknown: {estimate.reason}"
    elif estimate.low < least:
        yield f"{name} may be as low as {estimate.low:.2f}, {least:.2f} is needed"


def _no_better(difference: Estimate, name: str, baseline: str) -> Iterator[str]:
    if difference.low is None:
        yield f"whether {name} is above the {baseline} baseline's is unknown: {difference.reason}"
    elif difference.low <= 0:
        yield f"{name} is not surely above the {baseline} baseline's (difference from {difference.low:.2f})"
