"""The processes that have a role of their own in the account, by name."""

from typing import Final, Literal, get_args

Process = Literal[
    "gateway",
    "evalworker",
    "drift",
    "compact",
    "cost-job",
    "reconcile",
    "billing-api",
    "budget-handler",
    "console",
    "alarms",
]
PROCESSES: Final[tuple[Process, ...]] = get_args(Process)
