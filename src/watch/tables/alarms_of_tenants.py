"""Alarms about what a tenant was promised, and what it may spend. Pure.

Burn: an error budget is what the objective leaves; an alarm rings when it is used up many times too fast in a
long window (so that it matters) and still in a short one (so that it is not over), and enough requests were
hit.
"""

from collections.abc import Iterator
from typing import Final

from llmplatform import metrics as ours
from llmplatform.metrics import Metric
from watch.tables import thresholds
from watch.tables.readings import TENANT, Reading, read
from watch.tables.rules import CompositeRule, MetricRule, Rule, Severity, Threshold, all_of

_MINUTE: Final = 60
_HOUR: Final = 3_600
_SPEEDS: Final[dict[str, tuple[tuple[int, int], Severity]]] = {
    "fast": ((_HOUR, 5 * _MINUTE), "critical"),
    "slow": ((6 * _HOUR, 30 * _MINUTE), "warning"),
}
"""The long and the short window in seconds, and how bad it is."""


def _burn(
    what: str, metric: Metric, speed: str, threshold: Threshold, *, suppressed_by: str | None = None
) -> Iterator[Rule]:
    """A pair of windows, the count of what went wrong, and the composite that tells somebody."""
    windows, severity = _SPEEDS[speed]
    wrong = {"availability": "requests failed", "ttft": "first tokens came late"}[what]
    key = f"{what}-burn-{speed}"
    reading = read(metric, "Average", tenant_id=TENANT)
    for name, window_s in zip(("long", "short"), windows, strict=True):
        yield MetricRule(
            key=f"{key}-{name}",
            scope="tenant",
            title=f"Too many {wrong} in {_span(window_s)}",
            meaning=f"A part of {key}.",
            reading=reading,
            comparison="GreaterThanThreshold",
            threshold=threshold,
            period_s=window_s,
            datapoints=1,
            of=1,
            missing="notBreaching",
            severity=severity,
            notifies=False,
            runbook=f"{what}-burn",
        )
    yield MetricRule(
        key=f"{key}-count",
        scope="tenant",
        title=f"Enough {wrong} to matter",
        meaning=f"A part of {key}: a share of very few requests is no incident.",
        reading=read(metric, "Sum", tenant_id=TENANT),
        comparison="GreaterThanOrEqualToThreshold",
        threshold=thresholds.BURN_REQUESTS,
        period_s=windows[0],
        datapoints=1,
        of=1,
        missing="notBreaching",
        severity=severity,
        notifies=False,
        runbook=f"{what}-burn",
    )
    promise = {
        "availability": "The platform fails the tenant's requests",
        "ttft": "The tenant's streams begin later than its objective",
    }[what]
    yield CompositeRule(
        key=key,
        scope="tenant",
        title=f"{wrong.capitalize()} too often, over {_span(windows[0])}",
        meaning=f"{promise} so often that the error budget of 30 days will not last.",
        condition=all_of(f"{key}-long", f"{key}-short", f"{key}-count"),
        severity=severity,
        suppressed_by=suppressed_by,
        runbook=f"{what}-burn",
    )


def _span(seconds: int) -> str:
    return f"{seconds // _HOUR} h" if seconds >= _HOUR else f"{seconds // _MINUTE} min"


def _latency(
    key: str, title: str, reading: Reading, threshold: Threshold, *, suppressed_by: str | None = None
) -> MetricRule:
    return MetricRule(
        key=key,
        scope="tenant",
        title=title,
        meaning="The tenant's requests are slower than its policy promises.",
        reading=reading,
        comparison="GreaterThanThreshold",
        threshold=threshold,
        period_s=300,
        datapoints=3,
        of=4,
        missing="ignore",
        severity="warning",
        suppressed_by=suppressed_by,
    )


def _budget(
    key: str, title: str, meaning: str, metric: Metric, threshold: Threshold, *, after: str | None = None
) -> MetricRule:
    return MetricRule(
        key=key,
        scope="tenant",
        title=title,
        meaning=meaning,
        reading=read(metric, "Maximum", tenant_id=TENANT),
        comparison="GreaterThanThreshold",
        threshold=threshold,
        period_s=300,
        datapoints=1,
        of=1,
        missing="ignore",  # published when costs are computed, once an hour
        severity="warning",
        suppressed_by=after,
    )


TENANT_RULES: Final[tuple[Rule, ...]] = (
    *_burn("availability", ours.REQUEST_FAILED, "fast", thresholds.AVAILABILITY_FAST),
    *_burn(
        "availability",
        ours.REQUEST_FAILED,
        "slow",
        thresholds.AVAILABILITY_SLOW,
        suppressed_by="availability-burn-fast",
    ),
    *_burn("ttft", ours.TTFT_SLOW, "fast", thresholds.TTFT_FAST),
    *_burn("ttft", ours.TTFT_SLOW, "slow", thresholds.TTFT_SLOW, suppressed_by="ttft-burn-fast"),
    _latency(
        "ttft-p99",
        "First tokens are late (p99)",
        read(ours.TIME_TO_FIRST_TOKEN, "p99", tenant_id=TENANT),
        thresholds.TTFT_P99,
        suppressed_by="ttft-burn-fast",
    ),
    _latency(
        "ttft-p50",
        "First tokens are late (p50)",
        read(ours.TIME_TO_FIRST_TOKEN, "p50", tenant_id=TENANT),
        thresholds.TTFT_P50,
        suppressed_by="ttft-burn-fast",
    ),
    _latency(
        "latency-p99",
        "Answers take too long (p99)",
        read(ours.TOTAL_LATENCY, "p99", tenant_id=TENANT),
        thresholds.LATENCY_P99,
    ),
    _budget(
        "budget-usd",
        "Over its daily budget in dollars",
        "The tenant has spent more than it wanted to today.",
        ours.BUDGET_USED_PERCENT,
        thresholds.BUDGET_USD,
    ),
    _budget(
        "budget-usd-projected",
        "Will be over its daily budget in dollars",
        "At the pace of the last hours its spending will be over what it wanted by midnight UTC.",
        ours.BUDGET_PROJECTED_PERCENT,
        thresholds.BUDGET_USD,
        after="budget-usd",
    ),
    _budget(
        "budget-tokens",
        "Over its daily budget in tokens",
        "The tenant has used more tokens than it wanted to today.",
        ours.TOKEN_BUDGET_USED_PERCENT,
        thresholds.BUDGET_TOKENS,
    ),
    _budget(
        "budget-tokens-projected",
        "Will be over its daily budget in tokens",
        "At the pace of the last hours its tokens will be over what it wanted by midnight UTC.",
        ours.TOKEN_BUDGET_PROJECTED_PERCENT,
        thresholds.BUDGET_TOKENS,
        after="budget-tokens",
    ),
    MetricRule(
        key="scores-missing",
        scope="tenant",
        title="Traffic without scores",
        meaning="The tenant's answers are to be evaluated and are not: nobody knows how good they are.",
        reading=read(ours.SCORES_MISSING, "Maximum", tenant_id=TENANT),
        comparison="GreaterThanOrEqualToThreshold",
        threshold=thresholds.fixed(1, "state"),
        period_s=_MINUTE,
        datapoints=3,
        of=6,
        missing="ignore",
        severity="warning",
        suppressed_by="evaluation-unavailable",
    ),
    MetricRule(
        key="ledger-difference",
        scope="tenant",
        title="Ledger and metrics disagree",
        meaning="Tokens by CloudWatch's metrics and by the ledger differ: one of them has lost requests.",
        reading=read(ours.LEDGER_DIFFERENCE_PERCENT, "Maximum", tenant_id=TENANT),
        comparison="GreaterThanThreshold",
        threshold=thresholds.LEDGER_DIFFERENCE,
        period_s=300,
        datapoints=1,
        of=1,
        missing="ignore",
        severity="warning",
    ),
)
