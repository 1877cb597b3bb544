"""A tenant's policy changes while its samples are on their way: what holds is the policy of now."""

import asyncio

import pytest

from evalworker.bootstrap import Worker
from harness.evaluation import JUDGE, Account, brought, record, sample
from harness.platform import eventually
from llmplatform.evaluations import EvalContent
from llmplatform.policy import TenantPolicy
from llmplatform.samples import Envelope
from llmplatform.testing import make_policy

SOON_S = 0.05


async def heeds(worker: Worker, policy: TenantPolicy | None) -> None:
    """Wait until the worker has read acme's policy."""
    await eventually(lambda: worker.policies.policy_of("acme") == policy or None)


async def test_a_tenant_that_was_removed_is_not_judged_any_more(account: Account) -> None:
    async with account.worker(policy_refresh_s=SOON_S) as worker:
        await account.remove("acme")
        await heeds(worker, None)
        assert not await worker.evaluator.process([record(sample())])
        assert dict(worker.evaluator.tally.skipped) == {"no_tenant": 1}
        assert worker.evaluator.tally.activity.last_at == {}
    assert not account.runtime.calls.of(JUDGE)
    assert "CANARY" not in await account.everything()


async def test_an_opt_out_is_heeded_by_a_worker_that_runs(account: Account) -> None:
    async with account.worker(policy_refresh_s=SOON_S) as worker:
        await worker.evaluator.process([record(sample(1), 1)])
        silent = make_policy("acme", content_mode="hash_only")
        await account.add(silent)
        await heeds(worker, silent)
        await worker.evaluator.process([record(sample(2), 2)])
        assert dict(worker.evaluator.tally.skipped) == {"hash_only": 1}
    assert len(account.runtime.calls.of(JUDGE)) == len(await account.results()) == 1


async def test_a_sample_that_came_before_the_tenants_key_is_stored_under_it(account: Account) -> None:
    key = await account.key()
    await account.add(make_policy("acme", content_mode="full", kms_key=key))
    async with account.worker() as worker:
        await worker.evaluator.process([record(sample())])
        assert worker.evaluator.tally.scored == 1
    (result,) = await account.results()
    (row,) = await account.history()
    assert isinstance(result.content, Envelope)
    assert row.enc is not None
    assert result.content.kms_key == row.enc.kms_key == key
    assert "CANARY" not in await account.everything()


async def test_a_sample_under_a_key_stays_under_it_when_the_policy_names_none(account: Account) -> None:
    key = await account.key()
    sealed = await account.sealed(sample(), key)
    async with account.worker() as worker:
        await worker.evaluator.process([record(sealed)])
        assert worker.evaluator.tally.scored == 1
    (row,) = await account.history()
    (result,) = await account.results()
    assert row.enc == sealed.enc
    assert isinstance(result.content, Envelope)
    assert result.content.kms_key == key
    assert "CANARY" not in await account.everything()


async def test_a_sample_of_a_tenant_that_is_newer_than_our_copy_is_waited_for(account: Account) -> None:
    """A gateway knows a tenant from its first request on."""
    async with account.worker(policy_refresh_s=1) as worker:
        await account.add(make_policy("fresh", content_mode="full"))
        first = record(sample(tenant_id="fresh"), arrived_ago_s=0)
        await brought(worker.evaluator, [first])
        assert (worker.evaluator.tally.scored, dict(worker.evaluator.tally.skipped)) == (1, {})
        nobodys = record(sample(2, tenant_id="nobody"), 2, arrived_ago_s=0)
        await brought(worker.evaluator, [nobodys])
        assert dict(worker.evaluator.tally.skipped) == {"no_tenant": 1}


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "in the clear"])
async def test_what_belongs_under_a_key_that_is_to_be_deleted_is_skipped_and_not_paid_for(
    account: Account,
    sealed: bool,  # noqa: FBT001  # pytest's
) -> None:
    key = await account.key()
    await account.add(make_policy("acme", content_mode="full", kms_key=key))
    event = sample()
    if sealed:
        event = await account.sealed(event, key)
    await asyncio.to_thread(account.boto3("kms").schedule_key_deletion, KeyId=key, PendingWindowInDays=7)
    async with account.worker() as worker:
        assert not await worker.evaluator.process([record(event)])
        assert dict(worker.evaluator.tally.skipped) == {"key_unavailable": 1}
    assert not account.runtime.calls.of(JUDGE)
    assert await account.results() == []
    assert "CANARY" not in await account.everything()


async def test_content_of_another_tenant_or_request_is_parked(account: Account) -> None:
    key = await account.key()
    await account.add(make_policy("acme", content_mode="full", kms_key=key))
    await account.add(make_policy("thief", content_mode="full", kms_key=key))
    one, another = await account.sealed(sample(1), key), sample(2)
    async with account.worker() as worker:
        stolen = sample(3, tenant_id="thief", prompt=None, completion=None, enc=one.enc)
        moved = sample(4, prompt=None, completion=None, enc=one.enc)
        records = [record(stolen, 1), record(moved, 2), record(another, 3)]
        assert not await worker.evaluator.process(records)
        assert dict(worker.evaluator.tally.parked) == {"content_corrupt": 2}
        assert worker.evaluator.tally.scored == 1
    (result,) = await account.results()
    assert result.request_id == another.request_id
    assert not isinstance(result.content, EvalContent)
