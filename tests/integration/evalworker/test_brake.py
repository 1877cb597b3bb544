"""The lag brake from end to end: a worker lags, gateways sample less, and the rate comes back by itself."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from evalworker.bootstrap import Worker
from evalworker.brake import BrakeRule
from evalworker.records import StreamRecord
from harness.evaluation import Account, brought, sample
from llmplatform.aws.parameters import ParameterPolicySource
from llmplatform.clock import SystemClock
from llmplatform.sampling import effective_rate
from llmplatform.testing import make_policy
from sandbox.emulator import sandbox_session

RATE = 0.4
LAG_S = 600


def late(number: int) -> StreamRecord:
    """A record that has waited in the stream for long."""
    arrived_at = datetime.now(UTC) - timedelta(seconds=LAG_S)
    return StreamRecord("shard-0", f"{number:056d}", arrived_at, msgspec.json.encode(sample(number)))


class Gateway:
    """The part of a gateway that decides about samples."""

    def __init__(self, policies: ParameterPolicySource) -> None:
        self._policies = policies

    async def rate(self, *, in_s: float = 0) -> float:
        """What acme's requests are sampled with, after the next reading."""
        assert await self._policies.refresh()
        policy = self._policies.policy_of("acme")
        assert policy is not None
        factor = self._policies.sampling_factor(datetime.now(UTC) + timedelta(seconds=in_s))
        return effective_rate(policy.eval_sample_rate, factor)


async def test_lag_lowers_the_gateways_rate_until_the_worker_has_caught_up(account: Account) -> None:
    await account.add(make_policy("acme", content_mode="full", eval_sample_rate=RATE))
    async with (
        ParameterPolicySource(
            lambda: sandbox_session().client("ssm", endpoint_url=account.aws.url), SystemClock()
        ) as policies,
        account.worker() as worker,
    ):
        gateway = Gateway(policies)
        await worker.reporter.look()
        assert await gateway.rate() == RATE
        await account.ways["dynamodb"].cut()
        await worker.evaluator.process([late(1)])
        rates = []
        for _ in range(6):
            await worker.reporter.look()
            rates.append(await gateway.rate())
        assert rates == [RATE * factor for factor in (0.5, 0.25, 0.125, 0.0625, 0.05, 0.05)]
        worker.reporter.report()
        await account.ways["dynamodb"].mend()
        await brought(worker.evaluator, [late(1)])
        rates = []
        while (rate := await gateway.rate()) < RATE:
            rates.append(rate)
            assert len(rates) < 10
            await worker.reporter.look()
        assert rates == sorted(rates), "it comes back step by step"
        await worker.delivered(within_s=60)
    assert (await account.lines.told("sampling_factor"))[0] == 0.05
    assert (await account.lines.told("eval_lag_seconds"))[0] == pytest.approx(LAG_S, abs=60)


async def test_of_two_workers_the_slower_one_has_its_way_and_a_dead_ones_brake_expires(
    account: Account,
) -> None:
    await account.add(make_policy("acme", content_mode="full", eval_sample_rate=RATE))

    async def lagging(worker: Worker, number: int) -> None:
        worker.evaluator.tally.begin([late(number)])
        await worker.reporter.look()

    async with ParameterPolicySource(
        lambda: sandbox_session().client("ssm", endpoint_url=account.aws.url), SystemClock()
    ) as policies:
        gateway = Gateway(policies)
        async with account.worker() as dying, account.worker() as healthy:
            await lagging(dying, 1)
            await lagging(dying, 2)
            await healthy.reporter.look()
            assert await gateway.rate() == RATE / 4, "only who lags may let go"
        assert await gateway.rate() == RATE / 4
        assert await gateway.rate(in_s=BrakeRule().expires_after_s + 1) == RATE
