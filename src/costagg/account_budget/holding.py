"""Reads how the AWS Budget stands and holds sampling down as far as it wants: log, parameter and metric.

What the budget wants is `monthly`'s to decide. Whoever calls this hears of every failure, since nothing is
known then: the brake that is published stays until it expires.
"""

import logging
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from costagg.account_budget.monthly import BudgetStanding, wanted_brake
from costagg.brake import next_brake
from llmplatform.account_budget import ACCOUNT_BUDGET, BUDGET_NAME
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.emf import encode_figures
from llmplatform.errors import ConfigFault
from llmplatform.metrics import (
    ACCOUNT_BUDGET_USED_PERCENT,
    COST,
    COSTAGG,
    PIPELINE,
    SAMPLING_FACTOR,
)
from llmplatform.sampling import SamplingBrake
from llmplatform.sinks import Sink

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_budgets import BudgetsClient
    from types_aiobotocore_budgets.type_defs import SpendTypeDef

logger = logging.getLogger(__name__)

CURRENCY = "USD"


async def read_standing(budgets: "BudgetsClient", account_id: str) -> BudgetStanding:
    """How the budget stands, as AWS last computed it.

    Raises ClientError where it cannot be read, ConfigFault for one without a limit in US dollars.
    """
    budget = (await budgets.describe_budget(AccountId=account_id, BudgetName=BUDGET_NAME))["Budget"]
    if "BudgetLimit" not in budget:
        raise ConfigFault(f"budget {BUDGET_NAME}: has no limit; deploy the stack of costs again")
    spent = budget["CalculatedSpend"]["ActualSpend"] if "CalculatedSpend" in budget else None
    return BudgetStanding(
        name=BUDGET_NAME,
        limit_usd=_usd(budget["BudgetLimit"]),
        spent_usd=Decimal(0) if spent is None else _usd(spent),
    )


async def hold(
    standing: BudgetStanding, brake: BrakeParameter, lines: Sink[bytes], now: datetime
) -> SamplingBrake:
    """Publish what the budget wants, and say so; gives what it wants."""
    wanted = wanted_brake(standing, now)
    fresh = next_brake(await brake.read(), wanted, now=now)
    if fresh is not None:
        await brake.publish(fresh)
    logger.info(
        "sampling is held down by the account's budget"
        if wanted.factor < 1
        else "the account's budget holds",
        extra={
            "budget": standing.name,
            "limit_usd": str(standing.limit_usd),
            "spent_usd": str(standing.spent_usd),
            "used_percent": f"{standing.used_percent:.1f}",
            "factor": wanted.factor,
            "expires_at": wanted.expires_at.isoformat() if wanted.factor < 1 else None,
            "published": fresh is not None,
        },
    )
    used = {ACCOUNT_BUDGET_USED_PERCENT.name: float(standing.used_percent)}
    lines.accept(encode_figures(now, COST, {"component": COSTAGG}, used))
    factor = {SAMPLING_FACTOR.name: wanted.factor}
    lines.accept(encode_figures(now, PIPELINE, {"reason": ACCOUNT_BUDGET}, factor))
    return wanted


def _usd(amount: "SpendTypeDef") -> Decimal:
    if amount["Unit"] != CURRENCY:
        raise ConfigFault(f"budget {BUDGET_NAME}: is in {amount['Unit']}; make it one in {CURRENCY}")
    return Decimal(amount["Amount"])
