"""The month's AWS Budget end to end: a message, the function, the parameter, the rate that gateways apply.

SNS and Parameter Store are the emulator's, the function runs under Lambda's own runtime client, the gateway
is a process. AWS Budgets itself is `harness.budgets_api`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
import pytest_asyncio

from costagg.account_budget.holding import hold
from costagg.account_budget.monthly import BudgetStanding, wanted_brake
from harness.alarm_receiver import AlarmReceiver, serve_receiver
from harness.budgets_api import SUBJECT, BudgetsApi, budget_message, serve_budgets
from harness.lambda_runtime import Function, FunctionError, serve_function
from harness.platform import Laptop, eventually, running_laptop
from harness.sinks import KeepingSink
from harness.wall_clock import DAY, well_within
from llmplatform.account_budget import ACCOUNT_BUDGET, BUDGET_NAME
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.clock import SystemClock
from llmplatform.samples import decode_sample
from llmplatform.sampling import SamplingBrake
from sandbox.emulator import sandbox_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

HANDLER: Final = "costagg.account_budget.lambda_handler.handler"
TOPIC: Final = "llm-platform-budget"
PARAMETER: Final = "/llm-platform/_platform/sampling_factor/account_budget"
MID_MONTH: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Account:
    """An account in which the budget's topic has the function as its subscriber."""

    laptop: Laptop
    budgets: BudgetsApi
    function: Function
    receiver: AlarmReceiver
    topic_arn: str

    async def told(self, message: str, *, subject: str = SUBJECT) -> Any:
        """Publish to the topic and invoke the function with what SNS delivers, as Lambda's event has it."""
        before = len(self.receiver.notifications)
        async with sandbox_session().client("sns", endpoint_url=self.laptop.aws.url) as sns:
            await sns.publish(TopicArn=self.topic_arn, Subject=subject, Message=message)
        (envelope,) = await eventually(lambda: self.receiver.notifications[before:] or None)
        assert envelope["Message"] == message
        subscription = f"{self.topic_arn}:00000000-0000-0000-0000-000000000001"
        record = {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription,
            "Sns": envelope,
        }
        return await self.function.invoke({"Records": [record]})

    def brake(self) -> SamplingBrake | None:
        """What is in the parameter."""
        ssm = self.laptop.boto3("ssm")
        found = ssm.get_parameters(Names=[PARAMETER])["Parameters"]
        ssm.close()
        return SamplingBrake.model_validate_json(found[0]["Value"]) if found else None

    def wanted(self, spent: str, limit: str = "1000.0") -> SamplingBrake:
        """What the budget wants of the brake now; on the first of a month that is nothing."""
        return wanted_brake(BudgetStanding(BUDGET_NAME, Decimal(limit), Decimal(spent)), datetime.now(UTC))


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="account")
async def one_account(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    folder = tmp_path_factory.mktemp("account")
    async with (
        running_laptop(folder) as laptop,
        serve_budgets() as budgets,
        serve_receiver() as receiver,
        serve_function(
            folder,
            "llm-platform-budget-handler",
            HANDLER,
            {**laptop.aws.environment(), "AWS_ENDPOINT_URL_BUDGETS": budgets.url},
        ) as function,
    ):
        topic = await receiver.subscribe(sandbox_session(), laptop.aws.url, TOPIC)
        yield Account(laptop, budgets, function, receiver, topic)


async def test_a_message_of_the_budget_lowers_the_rate_that_gateways_apply(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", "815.5"
    now = await well_within(DAY, left=timedelta(minutes=1))  # with its month the brake is let go
    message = budget_message(now, limit="1,000.00", threshold="800.00", actual="815.50")
    answer = await account.told(message)
    wanted = account.wanted("815.5")
    assert answer["factor"] == wanted.factor
    assert answer["used_percent"] == 81.55
    async with account.laptop.gateway() as gateway, gateway.http() as client:
        for _ in range(24):
            asked = {"model": "scripted-bedrock", "messages": [{"role": "user", "content": "hello"}]}
            assert (await client.post("/v1/chat/completions", json=asked)).is_success
        rates: set[float] = set()
        async with asyncio.timeout(60):
            while not rates:
                rates = {decode_sample(data).sample_rate for data in await account.laptop.samples()}
                await asyncio.sleep(0.2)
    assert rates == {wanted.factor}, "a tenant whose every answer is sampled, under the brake"


async def test_it_says_so_in_the_log_and_as_a_metric(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", "930.0"
    await account.function.invoke({})
    wanted = account.wanted("930.0")
    line = account.function.logged()[-1]
    assert line["factor"] == wanted.factor
    assert (line["used_percent"], line["spent_usd"], line["limit_usd"]) == ("93.0", "930.0", "1000.0")
    figures = account.function.figures()[-2:]
    assert {(one.get("reason"), one.get("component")) for one in figures} == {
        (ACCOUNT_BUDGET, None),
        (None, "costagg"),
    }
    values = {name: one[name] for one in figures for name in one if name.endswith(("factor", "percent"))}
    assert values == {"sampling_factor": wanted.factor, "account_budget_used_percent": 93.0}


@pytest.mark.parametrize(
    "message", ["", "not what AWS Budgets writes", '{"budget": 12}', "ACTUAL Amount: $9e99"]
)
async def test_what_a_message_says_is_nothing_that_is_believed(account: Account, message: str) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", "100.0"
    answer = await account.told(message or " ", subject="anything")
    assert answer["factor"] == 1.0


async def test_a_message_that_comes_twice_and_late_changes_nothing(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", "1010.0"
    now = datetime.now(UTC)
    passed_all = budget_message(now, limit="1,000.00", threshold="1,000.00", actual="1,010.00")
    passed_first = budget_message(now, limit="1,000.00", threshold="800.00", actual="801.00")
    factors = [
        (await account.told(message))["factor"] for message in (passed_all, passed_first, passed_first)
    ]
    assert factors == [account.wanted("1010.0").factor] * 3


async def test_a_budget_that_was_raised_lets_go_at_the_next_reading(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", "950.0"
    await account.function.invoke({"schedule": "account-budget"})
    account.budgets.limit_usd = "5000.0"
    answer = await account.function.invoke({"schedule": "account-budget"})
    assert answer["factor"] == 1.0
    brake = account.brake()
    assert brake is None or brake.factor == 1.0


async def test_a_budget_before_its_first_figures_holds_nobody_down(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", None
    assert (await account.function.invoke({}))["factor"] == 1.0


async def test_a_budget_that_is_gone_is_raised_and_leaves_the_brake_to_expire(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.spent_usd = "1000.0", "850.0"
    await account.function.invoke({})
    before = account.brake()
    account.budgets.limit_usd = None
    with pytest.raises(FunctionError, match="NotFoundException"):
        await account.function.invoke({})
    assert account.brake() == before


async def test_a_budget_in_another_currency_is_refused(account: Account) -> None:
    account.budgets.limit_usd, account.budgets.unit = "1000.0", "EUR"
    try:
        with pytest.raises(FunctionError, match="make it one in USD"):
            await account.function.invoke({})
    finally:
        account.budgets.unit = "USD"


async def test_the_rate_recovers_with_the_month(account: Account) -> None:
    """With a clock of its own, as the first day of a month is another."""
    spent = BudgetStanding(BUDGET_NAME, Decimal(1000), Decimal(905))
    url = account.laptop.aws.url
    lines: KeepingSink[bytes] = KeepingSink("emf")
    async with (
        sandbox_session().client("ssm", endpoint_url=url) as ssm,
        ParameterPolicySource(
            lambda: sandbox_session().client("ssm", endpoint_url=url), SystemClock()
        ) as policies,
    ):
        brake = BrakeParameter(ssm, ACCOUNT_BUDGET)
        await hold(spent, brake, lines, MID_MONTH)
        assert await policies.refresh()
        assert policies.sampling_factor(MID_MONTH) == 0.25
        last = datetime(2026, 11, 30, 20, tzinfo=UTC)
        await hold(spent, brake, lines, last)
        assert await policies.refresh()
        assert policies.sampling_factor(last) == 0.25
        new_month = datetime(2026, 12, 1, tzinfo=UTC)
        assert policies.sampling_factor(new_month) == 1.0, "by itself, whoever is away"
        await hold(spent, brake, lines, new_month + timedelta(hours=2))
        assert await policies.refresh()
        assert policies.sampling_factor(new_month + timedelta(hours=2)) == 1.0
    assert [json.loads(line).get("sampling_factor") for line in lines.items][1::2] == [0.25, 0.25, 1.0]
