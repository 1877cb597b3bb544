"""When a record is put aside, and when it is waited for."""

from evalworker.patience import CANDIDATES_OWN, MAX_FAILURES, Patience

PLACE = ("shard", "1")


def rounds(patience: Patience, reason: str) -> list[bool]:
    given_up = []
    for _ in range(MAX_FAILURES + 2):
        patience.asks(PLACE)
        given_up.append(patience.unanswered(PLACE, reason))  # type: ignore[arg-type]
    return given_up


def test_a_candidate_that_only_it_fails_at_is_put_aside() -> None:
    patience = Patience()
    patience.asks(PLACE)
    patience.verdicts += 1
    assert rounds(patience, "model_error").index(True) == MAX_FAILURES - 1


def test_a_judge_that_answers_nobody_is_waited_for() -> None:
    assert not any(rounds(Patience(verdicts=7), "model_error"))


def test_a_throttle_says_nothing_about_the_candidate() -> None:
    patience = Patience()
    patience.asks(PLACE)
    patience.verdicts += 1
    assert "throttled" not in CANDIDATES_OWN
    assert not any(rounds(patience, "throttled"))


def test_what_this_worker_stumbles_at_is_put_aside_whatever_the_judge_does() -> None:
    patience = Patience()
    assert [patience.stumbled(PLACE) for _ in range(MAX_FAILURES)][-1]


def test_what_is_forgotten_begins_anew() -> None:
    patience = Patience()
    for _ in range(MAX_FAILURES - 1):
        patience.stumbled(PLACE)
    patience.forget(PLACE)
    assert not patience.stumbled(PLACE)
