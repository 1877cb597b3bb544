"""When the jobs of an account run: EventBridge Scheduler starts them, nobody's laptop does.

What each starts is the deployment's to say, what each does its process's. Which alarm tells that one did not
run stands in `watch.tables.alarms_of_platform`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

DEAD_LETTERS: Final = "llm-platform-dead-letters"
"""The queue with what could not be started or handled, whatever was tried; empty in good times."""
DEAD_LETTERS_KEPT_DAYS: Final = 14


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job runs, and how long a start that failed is worth trying again."""

    job: str
    expression: str
    """As EventBridge Scheduler has it; `cron` in UTC."""
    attempts: int
    """Beside the first."""
    within: timedelta
    """After this a start comes too late to be of use."""


DRIFT: Final = Schedule("drift", "rate(1 minute)", attempts=0, within=timedelta(minutes=1))
"""Not tried again: the next minute does the same."""
COMPACTION: Final = Schedule("compact", "cron(40 * * * ? *)", attempts=3, within=timedelta(minutes=30))
COSTS: Final = Schedule("cost-job", "cron(10 * * * ? *)", attempts=3, within=timedelta(minutes=30))
"""After the hour, when its last rows are there."""
RECONCILIATION: Final = Schedule("reconcile", "cron(0 6 5 * ? *)", attempts=10, within=timedelta(hours=12))
"""AWS closes a month in the first days of the next."""
ACCOUNT_BUDGET: Final = Schedule("budget-handler", "rate(6 hours)", attempts=3, within=timedelta(hours=1))
"""Beside the budget's own messages; AWS computes spending up to three times a day."""

SCHEDULES: Final = (DRIFT, COMPACTION, COSTS, RECONCILIATION, ACCOUNT_BUDGET)
