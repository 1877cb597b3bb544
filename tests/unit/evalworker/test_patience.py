"""When a record is put aside, and when it is brought again."""

import pytest

from evalworker.judging.judge import UnavailableReason
from evalworker.patience import CANDIDATES_OWN, MAX_FAILURES, Patience

PLACE = ("shard", "1")


def rounds(patience: Patience, reason: UnavailableReason) -> list[bool]:
    return [patience.unanswered(PLACE, reason) for _ in range(MAX_FAILURES + 2)]


@pytest.mark.parametrize("reason", sorted(CANDIDATES_OWN))
def test_a_candidate_that_the_judge_fails_at_again_and_again_is_doubted(reason: UnavailableReason) -> None:
    assert rounds(Patience(), reason).index(True) == MAX_FAILURES - 1


@pytest.mark.parametrize("reason", ["throttled", "unreachable", "circuit_open", "access_denied"])
def test_what_befalls_all_candidates_says_nothing_about_one(reason: UnavailableReason) -> None:
    assert not any(rounds(Patience(), reason))


def test_what_this_worker_stumbles_at_is_put_aside_whatever_the_judge_does() -> None:
    patience = Patience()
    assert [patience.stumbled(PLACE) for _ in range(MAX_FAILURES)][-1]


def test_what_is_forgotten_begins_anew() -> None:
    patience = Patience()
    for _ in range(MAX_FAILURES - 1):
        patience.stumbled(PLACE)
    patience.forget(PLACE)
    assert not patience.stumbled(PLACE)
