"""What was evaluated in the night: results, their minutes, how each series stands, what the worker says.

Acme's answers by one model got worse seven hours ago. Initech's were scored until three hours ago: the worker
is silent since.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from harness.night.account import ACME, HAIKU, INITECH, JUDGE, LLAMA, policies
from harness.night.requests import Requests
from llmplatform import ids
from llmplatform.eval_heartbeat import READ, SCORED, Heartbeat
from llmplatform.eval_series import MinuteScores, Series, bin_of, minute_of
from llmplatform.eval_status import FallStatus, Look, SeriesStatus
from llmplatform.evaluations import JUDGE_DIMENSIONS, EvalContent, EvalResult
from llmplatform.invocation import InvocationRecord
from llmplatform.usage import TokenUsage

FELL_BEFORE: Final = timedelta(hours=7)
SILENT_SINCE: Final = timedelta(hours=3)
"""When Initech's last answer was scored, and when the worker last said anything."""
FALLEN: Final = ("relevance", "factual_fidelity")
PROMPT: Final = "user: How many days do I have to send back a gripper that does not fit?"
ANSWER: Final = "You have 30 days from delivery. Keep the packaging, and send it with the form in the box."
WORSE: Final = "Grippers are end effectors. You have 14 days, and shipping is at your own cost in all cases."
REASON: Final = "It states a period of 14 days that the given context contradicts: there it is 30."
_GOOD: Final = ((5, 4), (66, 34))
_BAD: Final = ((1, 2, 3), (30, 50, 20))


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All of it."""

    results: tuple[EvalResult, ...]
    minutes: tuple[tuple[Series, MinuteScores], ...]
    statuses: dict[str, tuple[SeriesStatus, ...]]
    """By tenant."""
    looks: dict[str, Look]
    heartbeat: Heartbeat
    fell_at: datetime


def evaluated(requests: Requests, now: datetime) -> Evaluated:
    """How the requests that were chosen were judged."""
    chance = random.Random(11)
    fell_at = now - FELL_BEFORE
    results = tuple(
        _result(one, _scores(one, fell_at, chance))
        for one in requests.all
        if one.sampled and not (one.tenant_id == INITECH and one.completed_at > now - SILENT_SINCE)
    )
    last = now - SILENT_SINCE
    return Evaluated(
        results=results,
        minutes=tuple(_minutes(results)),
        statuses=_statuses(results, fell_at, now),
        looks=looks_at(now),
        heartbeat=Heartbeat(
            worker="ip-10-0-3-17/1",
            started_at=now - timedelta(days=2),
            at=last,
            read=5_210,
            scored=5_102,
            known=3,
            skipped={"hash_only": 105},
            parked={},
            unfinished=0,
            lag_s=1.2,
            judge_failed={},
            last_at={INITECH: {READ: last, SCORED: last}},
        ),
        fell_at=fell_at,
    )


def looks_at(now: datetime) -> dict[str, Look]:
    """What the drift job says at a moment of each tenant."""
    looks = {str(policy.tenant_id): Look(now) for policy in policies()}
    missing = Look(now, missing_stage="worker", missing_checked_at=now - timedelta(minutes=2))
    return {**looks, INITECH: missing}


def _scores(request: InvocationRecord, fell_at: datetime, chance: random.Random) -> dict[str, int]:
    fallen = request.tenant_id == ACME and request.model_id == HAIKU and request.completed_at >= fell_at
    scores = {}
    for dimension in JUDGE_DIMENSIONS:
        values, weights = _BAD if fallen and dimension in FALLEN else _GOOD
        scores[dimension] = chance.choices(values, weights)[0]
    return scores


def _result(request: InvocationRecord, scores: dict[str, int]) -> EvalResult:
    bad = min(scores.values()) <= 2
    model_id, endpoint_type, endpoint_name = request.served_by
    return EvalResult(
        tenant_id=request.tenant_id,
        request_id=request.request_id,
        trace_id=ids.as_uuid(request.trace.trace_id),
        event_at=request.completed_at,
        judged_at=request.completed_at + timedelta(seconds=9),
        model_id=model_id,
        endpoint_type=endpoint_type,
        endpoint_name=endpoint_name,
        sample_rate=request.sampled_rate,
        sample_reason=request.sample_reason or "rate",
        judge=JUDGE,
        scores=scores,
        content_truncated=False,
        backend_model_id=request.backend_model_id,
        prompt_sha256=request.prompt_sha256,
        judge_usage=TokenUsage(input_tokens=1_420, output_tokens=96),
        judge_latency_ms=1_830.0,
        judge_cost_usd=Decimal("0.00627000"),
        content=EvalContent(
            prompt=PROMPT,
            completion=WORSE if bad else ANSWER,
            contexts=("Returns: 30 days from delivery, free of charge, with the form in the box.",),
            reasons={
                dimension: REASON if score <= 2 else "It answers what was asked, from what was given."
                for dimension, score in scores.items()
            },
        ),
    )


def _minutes(results: Iterable[EvalResult]) -> Iterable[tuple[Series, MinuteScores]]:
    by_minute: defaultdict[tuple[Series, datetime], list[tuple[float, float]]] = defaultdict(list)
    for result in results:
        for dimension, value in result.values.items():
            series = Series(result.tenant_id, result.model_id, dimension, JUDGE.identity)
            by_minute[series, minute_of(result.event_at)].append((value, result.weight))
    for (series, minute), scored in by_minute.items():
        counts = Counter(bin_of(value, series.bins) for value, _ in scored)
        yield (
            series,
            MinuteScores(
                minute=minute,
                n=len(scored),
                weight=sum(weight for _, weight in scored),
                weighted_sum=sum(value * weight for value, weight in scored),
                weighted_sum_squares=sum(value**2 * weight for value, weight in scored),
                counts=tuple(counts[at] for at in range(len(series.bins))),
            ),
        )


def _statuses(
    results: Iterable[EvalResult], fell_at: datetime, now: datetime
) -> dict[str, tuple[SeriesStatus, ...]]:
    latest: defaultdict[tuple[str, str], datetime] = defaultdict(lambda: fell_at)
    for result in results:
        about = (result.tenant_id, result.model_id)
        latest[about] = max(latest[about], minute_of(result.event_at))
    statuses: defaultdict[str, list[SeriesStatus]] = defaultdict(list)
    for tenant, model in ((ACME, HAIKU), (ACME, LLAMA), (INITECH, HAIKU)):
        for dimension in JUDGE_DIMENSIONS:
            fallen = tenant == ACME and model == HAIKU and dimension in FALLEN
            more: dict[str, Any] = {}
            if fallen:
                more["fall"] = FallStatus(fell_at, fell_at + timedelta(minutes=38), 4.66, 1.9)
            statuses[tenant].append(
                SeriesStatus(
                    key=Series(tenant, model, dimension, JUDGE.identity).key,
                    status="fallen" if fallen else "steady",
                    current=True,
                    began=now - timedelta(days=21),
                    latest=latest[tenant, model],
                    folded_to=now - timedelta(minutes=12),
                    baseline_mean=4.66,
                    baseline_samples=4_310,
                    drop_percent=59.2 if fallen else 0.4,
                    dropped=fallen,
                    **more,
                )
            )
    return {tenant: tuple(of_tenant) for tenant, of_tenant in statuses.items()}
