from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from evalworker.drift.settings import WatchdogSettings
from evalworker.drift.watchdog import Traffic, stage_of
from llmplatform.errors import TelemetryFault
from llmplatform.eval_heartbeat import (
    PARKED,
    READ,
    SCORED,
    SKIPPED,
    UNFINISHED,
    Activity,
    Heartbeat,
    decode_heartbeat,
    encode_heartbeat,
)
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.testing import make_policy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BUSY = Traffic(completed=400, sampled=20)
RULES = WatchdogSettings()


def heartbeat(last_s: Mapping[str, float], *, at_s: float = 20, tenant: str = "acme") -> Heartbeat:
    """A worker that was heard of `at_s` ago; what happened to the tenant's records, in seconds ago."""
    return Heartbeat(
        worker="w-1",
        started_at=NOW - timedelta(days=1),
        at=NOW - timedelta(seconds=at_s),
        read=1_000,
        scored=900,
        known=0,
        skipped={"budget": 100},
        parked={},
        unfinished=0,
        lag_s=1.0,
        judge_failed={},
        last_at={tenant: {what: NOW - timedelta(seconds=ago) for what, ago in last_s.items()}},
    )


def stage(*workers: Heartbeat, traffic: Traffic = BUSY, policy: TenantPolicy | None = None) -> str | None:
    return stage_of(policy or make_policy(), traffic, workers, NOW, RULES)


def test_without_traffic_nothing_is_missing() -> None:
    assert stage(traffic=Traffic()) is None


def test_too_few_samples_to_miss_a_score() -> None:
    assert stage(traffic=Traffic(completed=100, sampled=RULES.min_sampled - 1)) is None


def test_a_tenant_that_wants_no_scores_misses_none() -> None:
    assert stage(policy=make_policy(eval_sample_rate=0)) is None
    assert stage(policy=make_policy(content_mode=ContentMode.HASH_ONLY)) is None


def test_requests_of_which_none_is_sampled_are_lost_at_sampling() -> None:
    assert stage(traffic=Traffic(completed=200)) == "sampling"
    assert stage(traffic=Traffic(completed=199)) is None  # fewer than ten to expect: chance


def test_clients_that_ask_for_no_evaluation_are_not_lost() -> None:
    assert stage(traffic=Traffic(completed=200, opted_out=9)) is None


def test_without_a_live_worker_scores_are_lost_there() -> None:
    assert stage() == "worker"
    assert stage(heartbeat({READ: 10}, at_s=181)) == "worker"
    assert stage(heartbeat({READ: 10}, at_s=181), heartbeat({READ: 10})) != "worker"


def test_workers_that_read_nothing_of_a_tenant_point_at_the_stream() -> None:
    assert stage(heartbeat({})) == "stream"
    assert stage(heartbeat({READ: 1_801, SCORED: 1_800.5})) == "stream"
    assert stage(heartbeat({READ: 10, SCORED: 5}, tenant="other")) == "stream"


@pytest.mark.parametrize(
    ("last_s", "named"),
    [
        ({READ: 10}, "judge"),
        ({READ: 10, UNFINISHED: 10}, "judge"),
        ({READ: 10, UNFINISHED: 20, f"{UNFINISHED}:store": 10}, "store"),
        ({READ: 10, f"{SKIPPED}:budget": 12}, "skipped:budget"),
        ({READ: 10, f"{SKIPPED}:budget": 12, f"{SKIPPED}:key_unavailable": 11}, "skipped:key_unavailable"),
        ({READ: 10, f"{PARKED}:content_corrupt": 11}, "parked:content_corrupt"),
        ({READ: 10, SCORED: 9}, "store"),
    ],
)
def test_the_stage_is_what_last_happened_to_the_records(last_s: Mapping[str, float], named: str) -> None:
    assert stage(heartbeat(last_s)) == named


@pytest.mark.parametrize("reason", ["hash_only", "not_completed", "no_answer"])
def test_what_there_is_nothing_to_judge_of_is_not_missing(reason: str) -> None:
    assert stage(heartbeat({READ: 10, f"{SKIPPED}:{reason}": 11})) is None


def test_the_dead_tell_what_became_of_records_too() -> None:
    gone = heartbeat({READ: 600, UNFINISHED: 590}, at_s=500)
    assert stage(gone, heartbeat({})) == "judge"


def test_a_heartbeat_is_the_same_when_it_is_read() -> None:
    sent = heartbeat({READ: 10, f"{SKIPPED}:budget": 12})
    assert decode_heartbeat(encode_heartbeat(sent)) == sent
    with pytest.raises(TelemetryFault):
        decode_heartbeat({"figures": {"S": "[]"}})


def test_activity_keeps_the_last_of_each() -> None:
    activity = Activity()
    activity.note("acme", SKIPPED, NOW - timedelta(seconds=5), reason="budget")
    activity.note("acme", SKIPPED, NOW, reason="budget")
    activity.note("acme", READ, NOW)
    assert activity.last_at == {"acme": {"skipped:budget": NOW, "read": NOW}}
