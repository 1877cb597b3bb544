"""The closed formulas against a day that is drawn by chance: see benchmarks/capacity."""

import numpy as np
import pytest

from benchmarks.capacity.judging import judged
from benchmarks.capacity.run import compared


def test_what_is_computed_is_what_a_simulation_gives() -> None:
    rows = list(compared(np.random.default_rng(1), quick=True))
    assert len(rows) > 10
    for row in rows:
        assert row.simulated == pytest.approx(row.computed, rel=0.25), row


def test_the_busiest_minute_is_not_guessed_too_small() -> None:
    first = next(compared(np.random.default_rng(2), quick=True))
    assert first.simulated < first.computed


@pytest.mark.parametrize(("shards", "used"), [(1, 0.8), (2, 1.0)])
def test_a_worker_with_one_shard_waits_for_the_last_of_each_batch(shards: int, used: float) -> None:
    full = judged(
        samples_per_s=16, shards=shards, slots=32, call_s=4, seconds=1_800, chance=np.random.default_rng(3)
    )
    assert full.slots_used == pytest.approx(used, abs=0.03)
