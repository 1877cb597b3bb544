"""What stands in the laptop's account from the start: tenants, their keys, and a KMS key that can be used."""

from pathlib import Path

import pytest

from llmplatform.aws.access import AccessStore
from llmplatform.clock import SystemClock
from llmplatform.tenants import Tenants
from sandbox.emulator import Emulator, sandbox_session
from sandbox.seed import SEEDED, seed, seed_roles


async def test_tenants_and_keys_outlive_a_restart_and_a_deleted_key_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.emulator.STOP_WITHIN_S", 60.0)  # who ends by force keeps nothing
    session, clock = sandbox_session(), SystemClock()
    aws = Emulator(tmp_path, persist=True)
    (alias,) = (policy.kms_key for policy in SEEDED if policy.kms_key is not None)
    key_ids, tenants, roles, stored = [], [], [], []
    for _ in range(3):
        async with (
            aws,
            session.client("ssm", endpoint_url=aws.url) as ssm,
            session.client("kms", endpoint_url=aws.url) as kms,
            session.client("sts", endpoint_url=aws.url) as sts,
        ):
            tenants.append(await seed(ssm, kms, sts, tmp_path, clock))
            roles.append(await seed_roles(ssm, tmp_path, clock))
            assert (await AccessStore(ssm, clock).list()).role_of(
                roles[-1]["billing"], clock.now()
            ) == "billing"
            described = (await kms.describe_key(KeyId=alias))["KeyMetadata"]
            assert described["KeyState"] == "Enabled"
            key_ids.append(described["KeyId"])
            sealed = await kms.encrypt(KeyId=alias, Plaintext=b"said")
            assert (await kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"]))["Plaintext"] == b"said"
            stored = [found.policy for found in await Tenants(ssm, clock).list()]
            if len(key_ids) == 2:
                await kms.schedule_key_deletion(KeyId=described["KeyId"], PendingWindowInDays=7)
    assert stored == sorted(SEEDED, key=lambda policy: policy.tenant_id)
    assert tenants[0] == tenants[1] == tenants[2]
    assert roles[0] == roles[1] == roles[2]
    assert set(roles[0]) == {"billing", "operator"}
    first, second, third = key_ids
    assert first == second
    assert third != second
