"""What remains of a calibration: a JSON document, kept per judge identity. Pure; others store and read it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from evalworker.calibration.gate import Verdict
from evalworker.calibration.report import Report

SCHEMA_VERSION: Final = 1
_SECONDS_PER_DAY: Final = 86_400


def calibration_record(report: Report, verdict: Verdict, *, calibrated_at: datetime) -> dict[str, Any]:
    """The document: figures alone, nothing of what was said. Unknown is null."""
    return {
        "schema_version": SCHEMA_VERSION,
        "judge_identity": report.judge_identity,
        "calibrated_at": calibrated_at.astimezone(UTC).isoformat(),
        "items": report.items,
        "repeat": report.repeat,
        "dimensions": {
            each.dimension: {
                "items": each.coverage.compared,
                "coverage": each.coverage.share,
                "exact_agreement": each.judge.exact.value,
                "kappa": each.judge.kappa.value,
                "kappa_low": each.judge.kappa.low,
                "kappa_high": each.judge.kappa.high,
                "spearman": each.judge.spearman.value,
                "bias": each.bias.value,
                "people_kappa": each.people.kappa.value,
                "within_item_sd": each.within_item_sd,
            }
            for each in report.dimensions
        },
        "passed": verdict.passed,
        "reasons": {dimension: list(reasons) for dimension, reasons in verdict.reasons.items()},
    }


def calibration_age_days(record: Mapping[str, Any], *, now: datetime) -> float:
    """Days since the calibration, for the metric of that name."""
    return (now - datetime.fromisoformat(record["calibrated_at"])).total_seconds() / _SECONDS_PER_DAY
