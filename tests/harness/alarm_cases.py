"""Values on both sides of every rule's threshold, and whose they are.

Each rule has a target of its own for bad values and another one for good ones, so that all of them can be
evaluated at once; the platform is one, and is good first and bad later.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, assert_never

from llmplatform.catalogue import ModelEntry
from llmplatform.ids import TenantId
from llmplatform.policy import Objectives, TenantPolicy
from watch.alarming.definitions import AccountNames
from watch.alarms import BY_KEY
from watch.limits import Limits
from watch.tables.rules import AllOf, AnyOf, CompositeRule, Condition, MetricRule, Rule, keys_in
from watch.tables.targets import EndpointVariant, Judge, Model, Platform, Scores, Target, Tenant

LIMITS: Final = Limits()
ACCOUNT: Final = AccountNames("000000000000", "us-east-1", console_url="https://watch.example.com")

Values = tuple[float, ...]
"""What comes in within one period; nothing is silence."""
SILENCE: Final[Values] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What rings a rule in as many periods as it takes, and what never does, given its threshold."""

    bad: Callable[[float], Values]
    good: Callable[[float], Values]


def _values(bad: Values, good: Values) -> Case:
    return Case(lambda _: bad, lambda _: good)


def _requests(factor: float) -> Case:
    """Of percentiles: bad is a multiple of the threshold, good is the threshold itself."""
    return Case(lambda threshold: (threshold * factor,) * 20, lambda threshold: (threshold,) * 20)


def _share(wrong: int, of: int) -> Values:
    return (1.0,) * wrong + (0.0,) * (of - wrong)


_STATE: Final = _values((1,), (0,))
_HALF: Final = _values(_share(5, 10), _share(1, 20))
_BUDGET: Final = _values((150,), (120,))
_FAILURES: Final = _values(_share(5, 250), _share(1, 250))
_LATE: Final = _values(_share(50, 250), _share(10, 250))

CASES: Final[Mapping[str, Case]] = {
    "gpu-utilization": _values((380,), (360,)),
    "gpu-memory": _values((380,), (360,)),
    "disk": _values((90,), (85,)),
    "gpu-pressure": _values((380,), (360,)),
    "gpu-memory-pressure": _values((380,), (360,)),
    "endpoint-ttft-p99": _requests(1.5),
    "endpoint-errors": _HALF,
    "endpoint-model-errors": _HALF,
    "mid-stream-errors": _HALF,
    "gpu-zero": _values((0.2,), (40,)),
    "endpoint-called": _values((1,) * 30, SILENCE),
    "endpoint-4xx": _HALF,
    "tokens-per-second": _values((30,) * 10, (50,) * 10),
    "circuit-open": _STATE,
    "bedrock-throttles": _values((1,) * 3, SILENCE),
    "bedrock-errors": _values((1,) * 3, SILENCE),
    "end-of-life": _values((30,), (61,)),
    "availability-burn-fast-long": _FAILURES,
    "availability-burn-fast-short": _FAILURES,
    "availability-burn-fast-count": _values(_share(5, 250), _share(4, 10)),
    "availability-burn-slow-long": _FAILURES,
    "availability-burn-slow-short": _FAILURES,
    "availability-burn-slow-count": _values(_share(5, 250), _share(4, 10)),
    "ttft-burn-fast-long": _LATE,
    "ttft-burn-fast-short": _LATE,
    "ttft-burn-fast-count": _values(_share(5, 250), _share(4, 10)),
    "ttft-burn-slow-long": _LATE,
    "ttft-burn-slow-short": _LATE,
    "ttft-burn-slow-count": _values(_share(5, 250), _share(4, 10)),
    "ttft-p99": _requests(2),
    "ttft-p50": _requests(2),
    "latency-p99": _requests(2),
    "budget-usd": _BUDGET,
    "budget-usd-projected": _BUDGET,
    "budget-tokens": _BUDGET,
    "budget-tokens-projected": _BUDGET,
    "scores-missing": _STATE,
    "ledger-difference": _values((5,), (2,)),
    "score-fallen": _STATE,
    "score-dropped": _STATE,
    "epoch-changed": _values((1,), SILENCE),
    "calibration-old": _values((100,), (92,)),
    "judge-uncalibrated": _STATE,
    "gateway-unavailable": _values(SILENCE, (1,)),
    "gateway-overhead": _values((12,) * 20, (5,) * 20),
    "trace-not-propagated": _values(_share(19, 20), (1,) * 20),
    "policy-age": _values((600,), (300,)),
    "telemetry-faults": _STATE,
    "sink-dropped-emf": _values((3,), (0,)),
    "sink-dropped-ledger": _values((3,), (0,)),
    "sink-dropped-spans": _values((3,), (0,)),
    "sink-dropped-samples": _values((3,), (0,)),
    "sink-dropped-sealing": _values((3,), (0,)),
    "sink-dropped-content-log": _values((3,), (0,)),
    "emf-parsing": _values((1,), SILENCE),
    "emf-validation": _values((1,), SILENCE),
    "evaluation-unavailable": _values((0, 0), (1,)),
    "evaluation-availability": _values((0, 1), (1, 1)),
    "iterator-age": _values((400_000,), (300_000,)),
    "pushed-age": _values((400_000,), (300_000,)),
    "evaluation-lag": _values((400,), (300,)),
    "judge-failures": _values((5,), (4,)),
    "parked-records": _values((2,), (0,)),
    "drift-not-run": _values(SILENCE, (1,)),
    "compaction-not-run": _values(SILENCE, (1,)),
    "dead-letters": _values((2,), (0,)),
    "table-throttled-request-ledger": _values((1,) * 5, SILENCE),
    "table-throttled-eval-results": _values((1,) * 5, SILENCE),
    "table-throttled-eval-minutes": _values((1,) * 5, SILENCE),
    "table-throttled-eval-detector": _values((1,) * 5, SILENCE),
    "table-throttled-eval-spend": _values((1,) * 5, SILENCE),
    "table-throttled-tenant-cost": _values((1,) * 5, SILENCE),
    "stream-throttled": _values((3,), (0,)),
    "cost-not-run": _values(SILENCE, (1,)),
    "cost-late": _values((10_800,), (9_000,)),
    "unpriced-usage": _values((2,), (0,)),
    "uncounted-requests": _values((2,), (0,)),
    "reconciliation-bedrock": _values((5,), (2,)),
    "reconciliation-sagemaker": _values((5,), (2,)),
    "reconciliation-overdue": _values((3,), (0,)),
    "observability-share": _values((5,), (3,)),
    "observability-budget": _values((95,), (80,)),
    "account-budget": _values((85,), (79,)),
    "account-budget-not-read": _values(SILENCE, (1,)),
}

_FEW_FAILURES: Final = _share(4, 10)
"""Far over any burn, and too few to matter."""
COMPOSITES: Final[Mapping[str, tuple[Mapping[str, Values], Mapping[str, Values]]]] = {
    "gpu-failing": (
        {"gpu-pressure": (380,), "endpoint-errors": _share(5, 10)},
        {"gpu-pressure": (380,), "endpoint-errors": _share(1, 20)},
    ),
    "gpu-idle": ({"gpu-zero": (0.2,), "endpoint-called": (1,) * 30}, {"gpu-zero": (0.2,)}),
    "availability-burn-fast": (
        {"availability-burn-fast-long": _share(5, 250)},
        {"availability-burn-fast-long": _FEW_FAILURES},
    ),
    "availability-burn-slow": (
        {"availability-burn-slow-long": _share(5, 625)},
        {"availability-burn-slow-long": _FEW_FAILURES},
    ),
    "ttft-burn-fast": (
        {"ttft-burn-fast-long": _share(50, 250)},
        {"ttft-burn-fast-long": _FEW_FAILURES},
    ),
    "ttft-burn-slow": (
        {"ttft-burn-slow-long": _share(25, 250)},
        {"ttft-burn-slow-long": _FEW_FAILURES},
    ),
}
"""By composite, what comes in by the rule that reads it: what rings it, and what rings a part of it alone.

What rings a slow burn is too slow for the fast one, which would speak for it.
"""


def target_for(rule: Rule, side: str) -> Target:
    """A rule's own target, `bad`, `good` or another word; the platform is one."""
    name = f"{side}-{rule.key}"
    match rule.scope:
        case "platform":
            return Platform()
        case "tenant":
            return Tenant(_policy(name, strict=side == "bad"))
        case "endpoint":
            return EndpointVariant(name, "AllTraffic", "ml.g5.12xlarge", 4)
        case "model":
            entry = ModelEntry(
                model_id=name,
                endpoint_type="bedrock",
                backend_model_id=f"sandbox.{name}-v1:0",
                dialect="converse",
                price_key="sandbox/scripted",
            )
            return Model(entry)
        case "scores":
            return Scores(name, "small", "relevance")
        case "judge":
            return Judge(name)
        case _:
            assert_never(rule.scope)


def _policy(tenant: str, *, strict: bool) -> TenantPolicy:
    objectives = (
        Objectives(ttft_p50_ms=500, ttft_p99_ms=2_000, total_latency_p99_ms=20_000)
        if strict
        else Objectives(ttft_p50_ms=900, ttft_p99_ms=3_000, total_latency_p99_ms=30_000)
    )
    return TenantPolicy(
        tenant_id=TenantId(tenant),
        objectives=objectives,
        daily_budget_usd=Decimal(10 if strict else 1_000),
        daily_budget_tokens=1_000_000 if strict else 100_000_000,
    )


def rules_for(rule: Rule, *, with_suppressor: bool) -> tuple[Rule, ...]:
    """The rule with its parts, and perhaps with what speaks for it, in the table's order."""
    wanted = set(_needed(rule, with_suppressor=with_suppressor))
    return tuple(other for key, other in BY_KEY.items() if key in wanted)


def _needed(rule: Rule, *, with_suppressor: bool) -> Iterator[str]:
    yield rule.key
    if isinstance(rule, CompositeRule):
        yield from keys_in(rule.condition)
    if rule.suppressed_by is not None and with_suppressor:
        suppressor = BY_KEY[rule.suppressed_by]
        if suppressor.scope != rule.scope:
            return  # the platform's, which is there already
        yield suppressor.key
        if isinstance(suppressor, CompositeRule):
            yield from _fewest(suppressor.condition)


def _fewest(condition: Condition) -> Iterator[str]:
    """As few parts as a condition can be made of."""
    match condition:
        case str():
            yield condition
        case AllOf(parts):
            for part in parts:
                yield from _fewest(part)
        case AnyOf(parts):
            yield from _fewest(parts[0])
        case _:
            assert_never(condition)


def threshold_of(rule: MetricRule, target: Target) -> float:
    """Its number for a target that has one."""
    threshold = rule.threshold.value(target, LIMITS)
    if threshold is None:
        raise ValueError(f"{rule.key} has no threshold for {target.name}")
    return threshold


def feeds(rule: Rule, target: Target, *, bad: bool) -> Iterator[tuple[MetricRule, Values]]:
    """What comes in for a rule's target, by the rule that reads the series."""
    if isinstance(rule, MetricRule):
        case = CASES[rule.key]
        yield rule, (case.bad if bad else case.good)(threshold_of(rule, target))
        return
    for key, values in COMPOSITES[rule.key][0 if bad else 1].items():
        part = BY_KEY[key]
        if isinstance(part, MetricRule):
            yield part, values
