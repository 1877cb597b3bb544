"""The processes that have a role of their own in the account: what runs each, and what it may do."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, get_args

from infra.permissions import cost, evaluation, watching
from infra.permissions.account import Account
from infra.permissions.gateway import gateway
from infra.permissions.statement import Statement

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

Host = Literal["ecs-tasks", "lambda"]
"""The AWS service that runs a process, and so takes on its role."""


def host_of(process: Process) -> Host:
    """What runs a process."""
    return "lambda" if process in {"drift", "budget-handler"} else "ecs-tasks"


PERMISSIONS: Final[Mapping[Process, Callable[[Account], Iterable[Statement]]]] = {
    "gateway": gateway,
    "evalworker": evaluation.evalworker,
    "drift": evaluation.drift,
    "compact": evaluation.compact,
    "cost-job": cost.cost_job,
    "reconcile": cost.reconcile,
    "billing-api": cost.billing_api,
    "budget-handler": cost.budget_handler,
    "console": watching.console,
    "alarms": watching.alarms,
}
