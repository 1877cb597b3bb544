"""Whose hours are read: everybody who may have used something, also those who are gone.

A tenant that was removed is known from its tombstone, from hours that were computed before, or from the
metrics of its requests. Pure.
"""

from collections.abc import Iterable

from llmplatform.costs import PLATFORM, HourStatus


def roster(
    configured: Iterable[str],
    erased: Iterable[str],
    seen: Iterable[str],
    statuses: Iterable[HourStatus],
) -> tuple[str, ...]:
    """Tenants by name, and `_platform`, for which the judge is calibrated.

    `configured` have a policy, whether it parses or not, `seen` sent requests as far as the metrics know.
    Requests of nobody (`_unknown`) reach no backend and cost nothing.
    """
    computed = (owner for status in statuses for owner in status.owners)
    named = {name for name in (*configured, *erased, *seen, *computed) if not name.startswith("_")}
    return tuple(sorted(named | {PLATFORM}))
