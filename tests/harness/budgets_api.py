"""AWS Budgets as far as the handler asks it, and what it sends: the emulator's budgets never spend anything.

Answers `DescribeBudget` as the AWS Budgets API reference (2016-10-20, JSON 1.1) has it, on a socket. The
message is in the words that AWS sends to a topic, as seen in the notifications of three accounts between 2022
and 2026.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

from llmplatform.account_budget import BUDGET_NAME
from sandbox.emulator import ACCOUNT_ID

_DESCRIBE: Final = "AWSBudgetServiceGateway.DescribeBudget"
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"

SUBJECT: Final = f"AWS Budgets: {BUDGET_NAME} has exceeded your alert threshold"


@dataclass
class BudgetsApi:
    """One budget, for a test to move; without a limit there is none."""

    limit_usd: str | None = "1000.0"
    spent_usd: str | None = "0.0"
    """None before AWS has computed any spending."""
    unit: str = "USD"
    url: str = ""
    asked: list[Any] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        asked = json.loads(await request.read())
        if request.headers["X-Amz-Target"] != _DESCRIBE:
            return _told({"__type": "UnknownOperationException"}, status=400)
        self.asked.append(asked)
        if self.limit_usd is None or asked != {"AccountId": ACCOUNT_ID, "BudgetName": BUDGET_NAME}:
            missing = "Unable to get budget: the budget doesn't exist."
            return _told({"__type": "NotFoundException", "Message": missing}, status=400)
        budget: dict[str, Any] = {
            "BudgetName": BUDGET_NAME,
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": self.limit_usd, "Unit": self.unit},
            "CostFilters": {},
        }
        if self.spent_usd is not None:
            budget["CalculatedSpend"] = {"ActualSpend": {"Amount": self.spent_usd, "Unit": self.unit}}
        return _told({"Budget": budget})


def budget_message(now: datetime, *, limit: str, threshold: str, actual: str) -> str:
    """What AWS Budgets publishes when an ACTUAL threshold is passed; amounts in dollars."""
    return f"""AWS Budget Notification {now:%B %d, %Y}
AWS Account {ACCOUNT_ID}

Dear AWS Customer,

You requested that we alert you when the ACTUAL Cost associated with your {BUDGET_NAME} budget is greater \
than ${threshold} for the current month. The ACTUAL Cost associated with this budget is ${actual}. You can \
find additional details below and by accessing the AWS Budgets dashboard [1].

Budget Name: {BUDGET_NAME}
Budget Type: Cost
Budgeted Amount: ${limit}
Alert Type: ACTUAL
Alert Threshold: > ${threshold}
ACTUAL Amount: ${actual}

[1] https://console.aws.amazon.com/billing/home#/budgets
"""


@asynccontextmanager
async def serve_budgets() -> AsyncIterator[BudgetsApi]:
    """Answer on loopback until the block ends."""
    api = BudgetsApi()
    app = web.Application()
    app.router.add_post("/", api.answer)
    async with TestServer(app) as server:
        api.url = str(server.make_url("/")).rstrip("/")
        yield api


def _told(document: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.json_response(document, status=status, content_type=_CONTENT_TYPE)
