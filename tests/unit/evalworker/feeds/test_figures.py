"""What a feed says of how far behind it is."""

from evalworker.feeds.figures import STALE_AFTER_NS, FeedTally
from llmplatform.testing import FakeClock

SHARD = "shardId-000000000000"


def test_lag_is_unknown_before_the_first_batch() -> None:
    tally = FeedTally(FakeClock())
    tally.lease_taken(SHARD)
    assert tally.figures().millis_behind_latest == {SHARD: None}
    assert tally.figures().last_batch_monotonic_ns is None


def test_lag_grows_while_a_batch_is_in_hand() -> None:
    clock = FakeClock()
    tally = FeedTally(clock)
    tally.lease_taken(SHARD)
    tally.batch_read(SHARD, 3, 100)
    clock.advance(s=2)
    assert tally.figures().millis_behind_latest == {SHARD: 2_100}


def test_lag_of_a_finished_batch_stands_until_it_is_stale() -> None:
    clock = FakeClock()
    tally = FeedTally(clock)
    tally.lease_taken(SHARD)
    tally.batch_read(SHARD, 3, 100)
    tally.batch_finished(SHARD)
    finished_ns = clock.monotonic_ns()
    clock.advance(s=1)
    assert tally.figures().millis_behind_latest == {SHARD: 100}
    clock.advance(s=STALE_AFTER_NS / 1e9)
    assert tally.figures().millis_behind_latest == {SHARD: None}
    assert tally.figures().last_batch_monotonic_ns == finished_ns


def test_a_lease_that_is_gone_leaves_the_totals() -> None:
    tally = FeedTally(FakeClock())
    tally.lease_taken(SHARD)
    tally.batch_read(SHARD, 3, 100)
    tally.lease_gone(SHARD)
    tally.batch_finished(SHARD)
    assert tally.figures().leases_held == 0
    assert tally.figures().records_read == 3
