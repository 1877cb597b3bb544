"""How scores stand, in words: what the drift job says of a series, and why there may be no scores. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from llmplatform.eval_heartbeat import SILENT_AFTER, Heartbeat
from llmplatform.eval_status import Look, SeriesStatus
from llmplatform.evaluations import DIMENSIONS
from llmplatform.policy import ContentMode, TenantPolicy

Word = Literal["fallen", "dropped", "steady", "warming up", "an earlier epoch"]

LOOKS_EVERY: Final = timedelta(minutes=5)
"""The drift job looks once a minute; a look that is older than this says that it does not run."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a series stands."""

    word: Word
    since: datetime | None = None
    lacks: str = ""
    """What a baseline still lacks."""


@dataclass(frozen=True, slots=True)
class NoScores:
    """Why a tenant has no scores, and what would bring some."""

    why: str
    advice: str


def told_of(status: SeriesStatus) -> Told:
    """How a series stands."""
    if not status.current:
        return Told("an earlier epoch")
    if status.status == "warming_up":
        return Told("warming up", lacks=lacking(status))
    if status.fall is not None:
        return Told("fallen", since=status.fall.onset)
    return Told("dropped" if status.dropped else "steady")


def lacking(status: SeriesStatus) -> str:
    """What a baseline still lacks, such as "412 samples and 3 hours"; "" where nothing, or unknown."""
    told = [
        f"{missing:,} {what}"
        for missing, what in ((status.missing_samples, "samples"), (status.missing_hours, "hours"))
        if missing
    ]
    return " and ".join(told)


def order_of(dimension: str) -> int:
    """Where a dimension stands among others."""
    return DIMENSIONS.index(dimension) if dimension in DIMENSIONS else len(DIMENSIONS)


def worst_of(statuses: Iterable[SeriesStatus]) -> list[SeriesStatus]:
    """The series that are in the worst state of all of them, in the order of their dimensions."""
    by_word: dict[Word, list[SeriesStatus]] = {}
    for status in statuses:
        by_word.setdefault(told_of(status).word, []).append(status)
    worst = next((by_word[word] for word in _WORST_FIRST if word in by_word), [])
    return sorted(worst, key=lambda status: order_of(status.series.dimension))


def is_old(look: Look | None, now: datetime) -> bool:
    """Whether the drift job should have looked again since."""
    return look is not None and now - look.at > LOOKS_EVERY


def why_none(policy: TenantPolicy | None, workers: Sequence[Heartbeat] | None, now: datetime) -> NoScores:
    """Why there are no scores of a tenant; `workers` is None where nobody can say."""
    if policy is None:
        return NoScores(
            "There is no such tenant any more, or its policy does not parse.",
            "What was scored before is kept for 90 days.",
        )
    if policy.content_mode is ContentMode.HASH_ONLY:
        return NoScores(
            "The tenant's content mode is hash_only: nothing that could be judged leaves the request.",
            "Another content mode in its policy would change that.",
        )
    if policy.eval_sample_rate == 0:
        return NoScores(
            "The tenant's sample rate is 0: none of its answers is chosen.",
            f"Set `/llm-platform/{policy.tenant_id}/eval_sample_rate`.",
        )
    if workers is not None and all(now - worker.at > SILENT_AFTER for worker in workers):
        last = max((worker.at for worker in workers), default=None)
        heard = "within two days" if last is None else f"since {last:%Y-%m-%d %H:%M} UTC"
        return NoScores(
            f"No worker was heard of {heard}: nothing is being judged.",
            "Samples wait on the stream for a week. `llm-platform doctor` says what is missing.",
        )
    return NoScores(
        f"Nothing was scored yet: {policy.eval_sample_rate * 100:.3g} % of the answers are chosen to be.",
        "A score is here some seconds after its answer, and on this page with the drift job's next look.",
    )


_WORST_FIRST: Final[tuple[Word, ...]] = ("fallen", "dropped", "steady", "warming up", "an earlier epoch")
