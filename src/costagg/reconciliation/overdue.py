"""Whether the month before was held against AWS's bill in time. Pure."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Final

DUE_ON_DAY: Final = 7
"""Of the next month. The schedule's run is on the fifth: AWS closes a month in the first days of the next."""

_DAY: Final = timedelta(days=1)


def month_before(now: datetime) -> tuple[date, date]:
    """The first and the last day of the month before that of `now`, UTC."""
    last = now.date().replace(day=1) - _DAY
    return last.replace(day=1), last


def is_due(now: datetime) -> bool:
    """Whether the month before should have been reconciled by now."""
    return now.day >= DUE_ON_DAY


def overdue_days(reconciled: Collection[tuple[date, date]], now: datetime) -> int:
    """Days since the month before should have been reconciled, this one among them; 0 where it was, whole.

    `reconciled` are the first and last days that were.
    """
    if not is_due(now) or month_before(now) in reconciled:
        return 0
    return now.day - DUE_ON_DAY + 1
