"""What a feed can say of itself: written from the consumer's threads, read on the event loop."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llmplatform.clock import Clock

STALE_AFTER_NS: Final = 60 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class FeedFigures:
    """One look at a feed. The counts are totals since it was made."""

    millis_behind_latest: Mapping[str, int | None]
    """Of each shard whose lease is held, how old its newest record in hand is beside the stream's tip.

    None where that is unknown: before the first batch, and a minute after the last one was finished, since
    an idle shard and one that cannot be read look alike from here.
    """
    records_read: int
    """Records of finished and unfinished batches; one that is brought again counts once."""
    redelivery_rounds: int
    """How often a batch's unfinished records were brought again."""
    failed_checkpoints: int
    """Attempts at a checkpoint that failed while the lease was held."""
    lost_batches: int
    """Batches given up because their lease was gone: another worker has them."""
    starts: int
    """Consumers started; each above one stands for one that ended by itself."""
    last_batch_monotonic_ns: int | None
    """When the last batch was finished, None before the first."""

    @property
    def leases_held(self) -> int:
        """Shards that this process reads now."""
        return len(self.millis_behind_latest)


@dataclass(slots=True)
class _Shard:
    behind_ms: int | None = None
    read_ns: int = 0
    finished_ns: int | None = None

    def millis_behind(self, now_ns: int) -> int | None:
        if self.behind_ms is None:
            return None
        if self.finished_ns is None:  # a batch is in hand, and the stream goes on without us
            return self.behind_ms + (now_ns - self.read_ns) // 1_000_000
        return self.behind_ms if now_ns - self.finished_ns < STALE_AFTER_NS else None


class FeedTally:
    """Keeps the figures. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shards: dict[str, _Shard] = {}
        self._records_read = 0
        self._redelivery_rounds = 0
        self._failed_checkpoints = 0
        self._lost_batches = 0
        self._starts = 0
        self._last_batch_ns: int | None = None

    def figures(self) -> FeedFigures:
        """The figures at this moment."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            return FeedFigures(
                millis_behind_latest={
                    shard_id: shard.millis_behind(now_ns) for shard_id, shard in self._shards.items()
                },
                records_read=self._records_read,
                redelivery_rounds=self._redelivery_rounds,
                failed_checkpoints=self._failed_checkpoints,
                lost_batches=self._lost_batches,
                starts=self._starts,
                last_batch_monotonic_ns=self._last_batch_ns,
            )

    def started(self) -> None:
        """A consumer begins: it holds no lease yet."""
        with self._lock:
            self._starts += 1
            self._shards.clear()

    def ended(self) -> None:
        """A consumer is over, and its leases with it."""
        with self._lock:
            self._shards.clear()

    def lease_taken(self, shard_id: str) -> None:
        """A shard is read from now on."""
        with self._lock:
            self._shards[shard_id] = _Shard()

    def lease_gone(self, shard_id: str) -> None:
        """A shard is another's, or has ended."""
        with self._lock:
            self._shards.pop(shard_id, None)

    def batch_read(self, shard_id: str, records: int, millis_behind_latest: int | None) -> None:
        """A batch came."""
        with self._lock:
            self._records_read += records
            self._shards[shard_id] = _Shard(millis_behind_latest, self._clock.monotonic_ns())

    def brought_again(self) -> None:
        """A batch goes into another round."""
        with self._lock:
            self._redelivery_rounds += 1

    def batch_finished(self, shard_id: str) -> None:
        """A batch has no unfinished record."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            self._last_batch_ns = now_ns
            if shard_id in self._shards:
                self._shards[shard_id].finished_ns = now_ns

    def batch_lost(self) -> None:
        """A batch was given up with its lease."""
        with self._lock:
            self._lost_batches += 1

    def checkpoint_failed(self) -> None:
        """A checkpoint could not be written, though the lease is held."""
        with self._lock:
            self._failed_checkpoints += 1
