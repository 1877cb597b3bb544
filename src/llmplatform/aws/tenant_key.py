"""A tenant's own KMS key: made when its tenant comes, and here alone. Erasing one is `aws.erasure`'s.

The key's policy leaves it to IAM who of the account may use it (each key bears its tenant in a tag, which a
statement can ask for), and to nobody with another tenant in the encryption context: what is under it opens as
no other tenant's. S3, whose context is another, is let through for the history's files.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from llmplatform.account_budget import COST_TAG
from llmplatform.aws.envelope import TENANT
from llmplatform.aws.erasure import WAITING_PERIOD_DAYS
from llmplatform.aws.refusals import error_code
from llmplatform.ids import TenantId
from llmplatform.tenants import TenantFault

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_kms import KMSClient
    from types_aiobotocore_sts import STSClient

TENANT_TAG: Final = "llm-platform:tenant"
"""On each tenant's own key: whose it is."""
TENANT_ALIASES: Final = "alias/llm-platform/tenant/"
ASK_AGAIN_S: Final = 10.0
_ATTEMPTS: Final = 33
"""Who may touch a key goes by its tags; KMS says that these may take five minutes to be seen."""

Waiting = Callable[[str], None]
"""What is called with a line for a person, while something is waited for."""


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A key that can be used."""

    alias: str
    arn: str
    made: bool
    """By this call; otherwise it was there."""


def alias_of(tenant: TenantId) -> str:
    """What a tenant's own key is called."""
    return f"{TENANT_ALIASES}{tenant}"


async def provide_tenant_key(
    kms: "KMSClient",
    sts: "STSClient",
    tenant: TenantId,
    *,
    waiting: Waiting = lambda _: None,
    ask_again_s: float = ASK_AGAIN_S,
) -> TenantKey:
    """The key that the tenant has, or a new one; also in the place of one that was given up.

    Where IAM does not see a new key's tags yet it is asked again, for five minutes; `waiting` is told.
    Raises TenantFault where its key is there and cannot be used.
    """
    alias = alias_of(tenant)
    patiently = partial(_once_seen, waiting=waiting, ask_again_s=ask_again_s)
    try:
        known = (await kms.describe_key(KeyId=alias))["KeyMetadata"]
    except kms.exceptions.NotFoundException:
        return await _make(kms, sts, tenant, kms.create_alias, patiently)
    match known["KeyState"]:
        case "Enabled":
            return TenantKey(alias, known["Arn"], made=False)
        case "PendingDeletion":
            return await _make(kms, sts, tenant, kms.update_alias, patiently)
        case state:
            raise TenantFault(
                f"{alias}, {known['Arn']}, is {state}; `aws kms enable-key` it, or `aws kms delete-alias` it"
            )


async def give_up(kms: "KMSClient", key: TenantKey) -> None:
    """Have KMS delete a key that nothing is under yet. Its alias stays, until the tenant comes again.

    Raises TenantFault where that may not be: who may add tenants need not be allowed to delete keys.
    """
    told = f"the tenant could not be added; its key {key.arn} is left until it is added again"
    await _have_deleted(kms, key, told)


async def _make(
    kms: "KMSClient",
    sts: "STSClient",
    tenant: TenantId,
    name: Callable[..., Awaitable[Any]],
    patiently: Callable[[Callable[[], Awaitable[Any]]], Awaitable[object]],
) -> TenantKey:
    caller = await sts.get_caller_identity()
    root = f"arn:{caller['Arn'].split(':')[1]}:iam::{caller['Account']}:root"
    made = await kms.create_key(
        Description=f"llm-platform: content of tenant {tenant}",
        Policy=json.dumps(key_policy(tenant, root)),
        Tags=[
            {"TagKey": TENANT_TAG, "TagValue": tenant},
            {"TagKey": COST_TAG, "TagValue": "evaluate"},
        ],
    )
    key = TenantKey(alias_of(tenant), made["KeyMetadata"]["Arn"], made=True)
    try:
        await patiently(lambda: kms.enable_key_rotation(KeyId=key.arn))
        await patiently(lambda: name(AliasName=key.alias, TargetKeyId=key.arn))
    except BaseException as reason:
        told = f"the tenant could not be added: {reason}; its key {key.arn} has no name and stays"
        until = "until somebody who may erase tenants calls `aws kms schedule-key-deletion`"
        await _have_deleted(kms, key, f"{told}, {until}")
        raise
    return key


async def _have_deleted(kms: "KMSClient", key: TenantKey, otherwise: str) -> None:
    """Have KMS delete a key. Raises TenantFault that says `otherwise` where that may not be."""
    try:
        await kms.schedule_key_deletion(KeyId=key.arn, PendingWindowInDays=WAITING_PERIOD_DAYS)
    except ClientError as refusal:
        raise TenantFault(f"{otherwise}: {refusal}") from refusal


async def _once_seen(call: Callable[[], Awaitable[Any]], *, waiting: Waiting, ask_again_s: float) -> object:
    """The answer to a call that a new key's tags allow. Raises what that raises once they must be seen."""
    for attempt in range(_ATTEMPTS):
        try:
            return await call()
        except ClientError as error:
            if error_code(error) != "AccessDeniedException":
                raise
            if not attempt:
                waiting("IAM may not see the new key's tags yet: asking again, for five minutes")
            await asyncio.sleep(ask_again_s)
    return await call()


def key_policy(tenant: TenantId, root: str) -> dict[str, Any]:
    """The policy of a tenant's key, in the account whose root has this ARN."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "IamSaysWho",
                "Effect": "Allow",
                "Principal": {"AWS": root},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Sid": "AsThisTenantAlone",
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                "Resource": "*",
                "Condition": {
                    "StringNotEquals": {f"kms:EncryptionContext:{TENANT}": tenant},
                    "Null": {"kms:ViaService": "true"},
                },
            },
        ],
    }
