"""Whether a tenant's scores are missing, and the stage that they get lost at. Pure.

Asked only about a tenant without a score in the window; usually there is none. What was to be scored is
known from the request ledger, what became of it from the workers' heartbeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evalworker.drift.settings import WatchdogSettings
from llmplatform.eval_heartbeat import READ, SCORED, SKIPPED, UNFINISHED, Heartbeat, last_of
from llmplatform.policy import ContentMode, TenantPolicy

SAMPLING: Final = "sampling"
WORKER: Final = "worker"
STREAM: Final = "stream"
JUDGE: Final = "judge"
STORE: Final = "store"

NOT_AN_ALARM: Final = frozenset({f"{SKIPPED}:hash_only", f"{SKIPPED}:not_completed", f"{SKIPPED}:no_answer"})
"""There was nothing to judge, as the tenant or its client wanted it."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A tenant's completed requests of clients in a window."""

    completed: int = 0
    sampled: int = 0
    opted_out: int = 0
    """Chosen, but the client asked for no evaluation."""

    def __add__(self, other: "Traffic") -> "Traffic":
        """Both together."""
        return Traffic(
            self.completed + other.completed, self.sampled + other.sampled, self.opted_out + other.opted_out
        )


def expects_scores(policy: TenantPolicy) -> bool:
    """Whether a tenant wants any of its answers judged."""
    return policy.eval_sample_rate > 0 and policy.content_mode is not ContentMode.HASH_ONLY


def stage_of(
    policy: TenantPolicy,
    traffic: Traffic,
    workers: Sequence[Heartbeat],
    now: datetime,
    settings: WatchdogSettings,
) -> str | None:
    """Where the scores of a tenant without any in the window get lost; None where none are to be expected."""
    if not expects_scores(policy):
        return None
    if traffic.sampled == 0 and traffic.opted_out == 0:
        expected = traffic.completed * policy.eval_sample_rate
        return SAMPLING if expected >= settings.min_expected else None
    if traffic.sampled < settings.min_sampled:
        return None
    if all(now - worker.at > settings.worker_silent_after for worker in workers):
        return WORKER
    return _lost_at(last_of(policy.tenant_id, workers), now - settings.window)


def _lost_at(last: dict[str, datetime], since: datetime) -> str | None:
    """The stage, by what happened last since the window began."""
    lately = {what: at for what, at in last.items() if at >= since}
    if not lately:
        return STREAM
    if SCORED in lately:
        return STORE  # stored, the worker says, and nobody finds it
    newest = max(lately, key=lambda what: (what != READ, lately[what], what))
    if newest in NOT_AN_ALARM:
        return None
    if newest in {READ, UNFINISHED}:
        return JUDGE  # nothing became of it yet: verdicts are being waited for
    return STORE if newest.startswith(UNFINISHED) else newest
