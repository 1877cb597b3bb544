"""Keys: the platform's and the tenants' own can be used, are rotated, and are open to this account alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import aioboto3
from botocore.exceptions import ClientError

from llmplatform.aws.refusals import error_code
from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look

_GONE: Final = frozenset({"NotFoundException", "InvalidArnException"})
_TELLS_WHO: Final = ("kms:calleraccount", "aws:principalaccount", "aws:principalorgid", "aws:sourceaccount")
"""Condition keys that keep strangers out where the principal does not."""


def keys_look(keys: Mapping[str, str]) -> Look:
    """Keys by whose they are: a data class, or `tenant acme`."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        checks: list[Check] = []
        async with session.client("kms") as kms:
            for owner, key in sorted(keys.items()):
                try:
                    found = (await kms.describe_key(KeyId=key))["KeyMetadata"]
                except ClientError as error:
                    if error_code(error) not in _GONE:
                        raise
                    checks.append(_missing(owner, key))
                    continue
                state = str(found.get("KeyState", "Unknown"))
                if state != "Enabled":
                    checks.append(state_check(owner, state))
                    continue
                rotation = await kms.get_key_rotation_status(KeyId=found["KeyId"])
                policy = await kms.get_key_policy(KeyId=found["KeyId"], PolicyName="default")
                checks += key_checks(
                    owner,
                    account=found.get("AWSAccountId", ""),
                    rotated=rotation["KeyRotationEnabled"],
                    policy=json.loads(policy["Policy"]),
                )
        return checks or [Check("keys", "ok", f"{len(keys)}: in use, rotated, open to this account alone")]

    return Look("keys", "kms:DescribeKey, kms:GetKeyRotationStatus, kms:GetKeyPolicy", ask)


def _missing(owner: str, key: str) -> Check:
    fix = "deploy the data stack" if key.startswith("alias/llm-platform/") else "`llm-platform tenant update`"
    return Check("keys", "failed", f"{owner}: there is no key {key}", fix)


def state_check(owner: str, state: str) -> Check:
    """A key that cannot be used."""
    if state == "PendingDeletion":
        return Check(
            "keys",
            "failed",
            f"{owner}: its key is to be deleted",
            "aws kms cancel-key-deletion, unless the tenant is being erased",
        )
    return Check("keys", "failed", f"{owner}: its key is {state}", "aws kms enable-key")


def key_checks(owner: str, *, account: str, rotated: bool, policy: Mapping[str, Any]) -> Iterator[Check]:
    """What is wrong with a key that can be used: who else may, and whether its material grows old."""
    for stranger in strangers(policy, account):
        yield Check(
            "keys",
            "failed",
            f"{owner}: its policy lets in {stranger}",
            "take the statement out of the key's policy: aws kms put-key-policy",
        )
    if not rotated:
        yield Check("keys", "warning", f"{owner}: its key is not rotated", "aws kms enable-key-rotation")


def strangers(policy: Mapping[str, Any], account: str) -> Iterator[str]:
    """Principals of other accounts that a key's policy allows something to; `*` where nothing says who."""
    for statement in _listed(policy.get("Statement", [])):
        if statement.get("Effect") != "Allow" or _says_who(statement.get("Condition", {})):
            continue
        principal = statement.get("Principal", {})
        names = ["*"] if principal == "*" else _listed(principal.get("AWS", []))
        for name in names:
            if name == "*" or (account and account not in str(name)):
                yield str(name)


def _says_who(condition: Mapping[str, Mapping[str, Any]]) -> bool:
    asked = {key.lower() for operator in condition.values() for key in operator}
    return any(key in asked for key in _TELLS_WHO)


def _listed(value: Any) -> list[Any]:
    """IAM writes one of something without its list."""
    return value if isinstance(value, list) else [value]
