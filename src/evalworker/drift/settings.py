"""What the drift job goes by: how far it looks back, how long it waits, what it publishes."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from evalworker.drift.detector import DetectorSettings
from evalworker.drift.drop import DropSettings
from llmplatform.eval_heartbeat import SILENT_AFTER

MAX_PUBLISHED: Final = 100
"""Series of one tenant that can ring; all of them share its one false alarm a month."""


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """When a tenant without scores is worth an alarm."""

    window: timedelta = timedelta(minutes=30)
    grace: timedelta = timedelta(minutes=3)
    """Requests younger than this may still be on their way to a judge."""
    check_every: timedelta = timedelta(minutes=5)
    """How often the ledger is read for a tenant without scores."""
    min_sampled: int = 5
    min_expected: float = 10.0
    """Samples to expect where there are none at all: fewer would be missing by chance now and then."""
    worker_silent_after: timedelta = SILENT_AFTER


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """The job's settings; the detector's are among them."""

    overlap: timedelta = timedelta(minutes=2)
    """How far before the last reading the next one begins: the index shows a result a moment after it is
    stored, and a result is stored a moment after it was judged."""
    settle: timedelta = timedelta(minutes=2)
    """How long after its end a minute is given to the detector; what comes later makes it go back."""
    max_judged: int = 20_000
    """Results of a tenant read in one run; the next run goes on from there."""
    tenants_at_once: int = 8
    detector: DetectorSettings = field(default_factory=lambda: DetectorSettings(series=MAX_PUBLISHED))
    """`series` is the most that there can be and not counted: a threshold that moved with the count would not
    be recomputable. A tenant of five series waits for about a quarter more scores than five would need."""
    drop: DropSettings = field(default_factory=DropSettings)
    drop_chance: float = 0.001
    """A drop that chance alone would show more often than this is not published as one."""
    epoch_overlap: timedelta = timedelta(minutes=15)
    """Two judges that both scored so lately: the newer one is current, the other on its way out."""
    publish_for: timedelta = timedelta(days=7)
    """A series without scores for longer is not published."""
    keep_for: timedelta = timedelta(days=30)
    """A series without scores for longer is forgotten until it has some."""
    max_published: int = MAX_PUBLISHED
    """Of more series of a tenant, those that have been silent longest are not published, and counted."""
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)
