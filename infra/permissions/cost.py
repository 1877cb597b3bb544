"""Cost: the job reads who used what and writes what it cost, the API shows it, the budget's handler brakes.

None of them reads what was said, nor a score of it.
"""

from collections.abc import Iterator
from typing import Final

from infra.models import catalogue_of
from infra.permissions import functions, keys, models, parameters, stores
from infra.permissions.account import Account
from infra.permissions.statement import ANY, Statement
from llmplatform.account_budget import BUDGET_NAME
from llmplatform.aws.tables import COSTAGG_LOGS, REQUEST_LEDGER, TENANT_COST
from llmplatform.bill_export import EXPORT_NAME, EXPORT_PREFIX, bucket_name

RECONCILIATIONS: Final = "_reconciliation"
"""Whose rows of the table of costs a reconciliation keeps: see `costagg.reconciliation.store`."""


def cost_job(account: Account) -> Iterator[Statement]:
    """The hourly job."""
    yield parameters.all_tenants(account)
    yield parameters.tombstones(account)
    yield parameters.brake(account, parameters.BRAKE_OF_DAY)
    yield stores.rows(account, "Ledger", REQUEST_LEDGER, "Query")
    yield stores.rows(account, "Costs", TENANT_COST, "GetItem", "Query", "UpdateItem", "BatchWriteItem")
    yield keys.tables(account, REQUEST_LEDGER, TENANT_COST)
    yield Statement(
        "Metrics",
        ("cloudwatch:GetMetricData", "cloudwatch:ListMetrics"),
        (ANY,),
        because="a metric has no ARN: CloudWatch shows all of an account's, or none",
    )
    yield from models.described(account, catalogue_of(account.deployment))


def billing_api(account: Account) -> Iterator[Statement]:
    """The billing API: tenants and roles by their keys, and what was computed."""
    yield parameters.all_tenants(account)
    yield parameters.one_tenant(account)
    yield parameters.roles(account)
    yield keys.parameters(account)
    yield stores.rows(account, "Costs", TENANT_COST, "GetItem", "Query")
    yield keys.tables(account, TENANT_COST)


def budget_handler(account: Account) -> Iterator[Statement]:
    """The handler of the month's AWS Budget."""
    budget = f"arn:aws:budgets::{account.number}:budget/{BUDGET_NAME}"
    yield Statement("Budget", ("budgets:ViewBudget",), (budget,))
    yield parameters.brake(account, parameters.BRAKE_OF_MONTH)
    yield from functions.function(account, COSTAGG_LOGS)


def reconcile(account: Account) -> Iterator[Statement]:
    """The monthly comparison with AWS's bill: changes no cost, keeps what it found beside them."""
    yield stores.rows(account, "Costs", TENANT_COST, "GetItem", "Query")
    yield stores.rows(
        account,
        "Reconciliations",
        TENANT_COST,
        "BatchWriteItem",
        conditions=stores.owned_by(f"{RECONCILIATIONS}#{ANY}"),
    )
    yield keys.tables(account, TENANT_COST)
    yield Statement(
        "Bill",
        ("s3:GetObject",),
        (f"arn:aws:s3:::{bucket_name(account.number, account.region)}/{EXPORT_PREFIX}/{EXPORT_NAME}/{ANY}",),
        because="AWS names the files of a month, and the export that they are of is named here",
    )
