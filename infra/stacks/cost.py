"""Cost: the job and its schedules, the billing API, the export of the bill, and the budget of observing."""

from typing import Final

from aws_cdk import App, CfnOutput

from infra.bill_export import BillExport
from infra.billing_api import BillingApi
from infra.budget import ObservabilityBudget
from infra.layers import PlatformStack
from infra.process import FargateProcess
from infra.roles import Process
from infra.scheduled import ScheduledJob, a_task
from infra.settings import Deployment
from infra.stacks.data import DataStack
from infra.stacks.identity import IdentityStack
from infra.stacks.network import NetworkStack
from llmplatform.aws.schedules import COSTS, RECONCILIATION, Schedule
from llmplatform.aws.tables import COSTAGG_LOGS
from llmplatform.bill_export import export_url

JOB: Final = ("python", "-m", "costagg", "run")
DAYS: Final = 30
"""A day's budget is this part of the month's: the job brakes within an hour, AWS Budgets within a day."""
RECONCILE: Final = ("python", "-m", "costagg", "reconcile", "--last-month")
"""Then where the export is."""


class CostStack(PlatformStack):
    """Layer 3."""

    def __init__(
        self,
        app: App,
        deployment: Deployment,
        *,
        network: NetworkStack,
        data: DataStack,
        identity: IdentityStack,
    ) -> None:
        super().__init__(app, "cost", deployment, layer="attribute")
        self.billing_api = BillingApi(self, deployment, network=network, data=data, identity=identity)
        if self.billing_api.url is not None:
            CfnOutput(
                self,
                "BillingApiUrl",
                value=self.billing_api.url,
                description="Where bills are asked for, with a tenant's key or one of the role billing",
            )
        BillExport(self, deployment, data)
        ObservabilityBudget(self, deployment, data=data, identity=identity)
        export = export_url(deployment.account, deployment.region)
        daily = {"COST_OBSERVABILITY_DAILY_BUDGET_USD": f"{deployment.budget.monthly_usd / DAYS:.2f}"}
        jobs: tuple[tuple[Process, Schedule, tuple[str, ...], dict[str, str], int, str], ...] = (
            ("cost-job", COSTS, JOB, daily, 1_024, "cost-not-run"),
            ("reconcile", RECONCILIATION, (*RECONCILE, export), {}, 2_048, "reconciliation-overdue"),
        )
        for name, schedule, command, environment, memory_mib, told_by in jobs:
            process = FargateProcess(
                self,
                name,
                deployment=deployment,
                repository=data.repository,
                role=identity.roles[name],
                log_group=data.log_groups[COSTAGG_LOGS.name],
                command=command,
                environment=environment,
                cpu=512,
                memory_mib=memory_mib,
            )
            ScheduledJob(
                self,
                schedule,
                deployment=deployment,
                starts=a_task(self, process, network, name),
                dead_letters=data.dead_letters,
                told_by=told_by,
            )
