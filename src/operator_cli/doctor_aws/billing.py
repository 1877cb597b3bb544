"""Whether the bill can tell what observing costs, and somebody stops it: tag, budget, data export."""

import json
from collections.abc import Sequence
from typing import Any

import aioboto3

from llmplatform.account_budget import COST_TAG
from operator_cli.check import Check
from operator_cli.doctor_aws.looking import BILLING_REGION, Look


def tag_look() -> Look:
    """Whether the cost-allocation tag is active: a payer's account alone may say."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with session.client("ce", region_name=BILLING_REGION) as ce:
            answer = await ce.list_cost_allocation_tags(TagKeys=[COST_TAG])
        states = {one["TagKey"]: one["Status"] for one in answer["CostAllocationTags"]}
        return [tag_check(states.get(COST_TAG))]

    return Look("cost tag", "ce:ListCostAllocationTags (in the payer's account)", ask)


def tag_check(state: str | None) -> Check:
    """Without an active tag the budget sees no cost, and never brakes."""
    if state is None:
        return Check(
            "cost tag",
            "warning",
            f"billing has not seen the tag {COST_TAG} yet",
            "it appears up to 24 h after the first resource that has it; then activate it",
        )
    if state != "Active":
        change = f"--cost-allocation-tags-status TagKey={COST_TAG},Status=Active"
        fix = f"aws ce update-cost-allocation-tags-status {change}"
        return Check("cost tag", "failed", f"the tag {COST_TAG} is {state}: the budget sees no cost", fix)
    return Check("cost tag", "ok", f"{COST_TAG} is active")


def budget_look() -> Look:
    """Whether there is a budget on the tag, with somebody to tell."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with (
            session.client("sts") as sts,
            session.client("budgets", region_name=BILLING_REGION) as budgets,
        ):
            account = (await sts.get_caller_identity())["Account"]
            ours = []
            for budget in (await budgets.describe_budgets(AccountId=account)).get("Budgets", []):
                if on_the_tag(budget):
                    told = await budgets.describe_notifications_for_budget(
                        AccountId=account, BudgetName=budget["BudgetName"]
                    )
                    ours.append((budget["BudgetName"], len(told.get("Notifications", []))))
        return [budget_check(ours)]

    return Look("budget", "budgets:ViewBudget, sts:GetCallerIdentity", ask)


def on_the_tag(budget: Any) -> bool:
    """Whether a budget counts what has our tag: by the old filters or by an expression."""
    return COST_TAG in json.dumps([budget.get("CostFilters"), budget.get("FilterExpression")])


def budget_check(ours: Sequence[tuple[str, int]]) -> Check:
    """Budgets on the tag by name, with how many notifications each has."""
    fix = "deploy the cost stack"
    if not ours:
        return Check("budget", "failed", f"no AWS Budget is on the tag {COST_TAG}", fix)
    silent = [name for name, notifications in ours if not notifications]
    if silent:
        return Check("budget", "failed", f"{', '.join(silent)} tells nobody: sampling is not braked", fix)
    return Check("budget", "ok", ", ".join(name for name, _ in ours))


def export_look() -> Look:
    """Whether the month's bill arrives as a data export for reconciliation."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with session.client("bcm-data-exports", region_name=BILLING_REGION) as exports:
            answer = await exports.list_exports()
        return [
            export_check(
                [(one["ExportName"], one["ExportStatus"]["StatusCode"]) for one in answer["Exports"]]
            )
        ]

    return Look("bill export", "bcm-data-exports:ListExports", ask)


def export_check(exports: Sequence[tuple[str, str]]) -> Check:
    """The platform's export by name and status."""
    ours = [(name, status) for name, status in exports if name.startswith("llm-platform")]
    if not ours:
        return Check(
            "bill export", "warning", "there is none: months cannot be reconciled", "deploy the cost stack"
        )
    sick = [f"{name} is {status}" for name, status in ours if status != "HEALTHY"]
    if sick:
        return Check(
            "bill export", "failed", ", ".join(sick), "see its bucket's policy, and docs/reconciliation.md"
        )
    return Check("bill export", "ok", ", ".join(name for name, _ in ours))
