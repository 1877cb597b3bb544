"""Which minutes are read for a page: no more than may be, the newest of them, and it is told from when on."""

from datetime import UTC, datetime, timedelta

from harness.scored import series_of, status_of
from watch.evaluations.reaches import held_to, reaches_of, total

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST = NOW - timedelta(hours=6)
STEPS = tuple(FIRST + timedelta(minutes=15 * at) for at in range(24))


def test_an_earlier_epoch_is_read_only_as_far_as_it_scored() -> None:
    change = NOW - timedelta(hours=2)
    old = status_of(series_of(epoch="old"), NOW, current=False, latest=change, began=NOW - timedelta(days=9))
    new = status_of(series_of(), NOW, began=change)
    before, after = reaches_of([old, new], FIRST, NOW)
    assert (before.first, before.end) == (FIRST, change + timedelta(minutes=1))
    assert (after.first, after.end) == (change, NOW)
    assert reaches_of([old], change + timedelta(minutes=1), NOW) == ()
    assert reaches_of([new], FIRST, change) == ()


def test_what_may_be_read_is_read_whole() -> None:
    reaches = reaches_of([status_of(series_of(), NOW)], FIRST, NOW)
    assert held_to(reaches, STEPS, 360) == (reaches, None)


def test_what_is_too_much_begins_later_with_a_whole_step() -> None:
    reaches = reaches_of([status_of(series_of(), NOW)], FIRST, NOW)
    held, begins = held_to(reaches, STEPS, 350)
    assert begins == STEPS[1]
    assert total(held) == 345
    assert held[0].end == NOW
    nothing, _ = held_to(reaches, STEPS, 0)
    assert nothing == ()
