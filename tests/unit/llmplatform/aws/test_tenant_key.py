"""A new key is named once IAM sees its tags; one that never may be used is given up."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from llmplatform.aws.tenant_key import TenantKey, provide_tenant_key
from llmplatform.ids import TenantId
from llmplatform.tenants import TenantFault

ACME = TenantId("acme")
ARN = "arn:aws:kms:us-east-1:123456789012:key/one"


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "EnableKeyRotation")


class NoSuchKey(Exception):
    """What the SDK's client raises."""


class Exceptions:
    """As the SDK's client has them."""

    NotFoundException = NoSuchKey


class NewKeys:
    """A KMS without keys that refuses so many calls for a new one, each with a code."""

    exceptions = Exceptions

    def __init__(
        self, refusals: int, code: str = "AccessDeniedException", *, may_delete: bool = True
    ) -> None:
        self._refusals, self._code, self._may_delete = refusals, code, may_delete
        self.done: list[str] = []

    async def describe_key(self, **_: Any) -> Any:
        raise self.exceptions.NotFoundException

    async def create_key(self, **_: Any) -> dict[str, dict[str, str]]:
        return {"KeyMetadata": {"Arn": ARN}}

    async def enable_key_rotation(self, **_: str) -> None:
        self._refusals -= 1
        if self._refusals >= 0:
            raise refused(self._code)
        self.done.append("rotates")

    async def create_alias(self, **asked: str) -> None:
        self.done.append(asked["AliasName"])

    async def update_alias(self, **_: str) -> None:
        raise AssertionError("there is no alias to move")

    async def schedule_key_deletion(self, **_: Any) -> None:
        if not self._may_delete:
            raise refused("AccessDeniedException")
        self.done.append("given up")


class Somebody:
    """STS."""

    async def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/operator"}


async def provided(kms: NewKeys, said: list[str]) -> TenantKey:
    sts = Somebody()
    return await provide_tenant_key(kms, sts, ACME, waiting=said.append, ask_again_s=0)  # type: ignore[arg-type]  # as far as they are asked


async def test_a_key_whose_tags_iam_does_not_see_yet_is_asked_for_again() -> None:
    kms, said = NewKeys(refusals=3), list[str]()
    assert await provided(kms, said) == TenantKey("alias/llm-platform/tenant/acme", ARN, made=True)
    assert kms.done == ["rotates", "alias/llm-platform/tenant/acme"]
    assert len(said) == 1
    assert "five minutes" in said[0]


@pytest.mark.parametrize(("code", "asked"), [("AccessDeniedException", 1), ("KMSInternalException", 0)])
async def test_a_key_that_may_never_be_used_is_given_up_with_the_reason(code: str, asked: int) -> None:
    kms, said = NewKeys(refusals=1_000, code=code), list[str]()
    with pytest.raises(ClientError, match=code):
        await provided(kms, said)
    assert (kms.done, len(said)) == (["given up"], asked)


async def test_a_key_without_a_name_that_may_not_be_deleted_is_named_with_what_was_refused() -> None:
    kms = NewKeys(refusals=1_000, code="KMSInternalException", may_delete=False)
    with pytest.raises(TenantFault, match=r"KMSInternalException.*key/one has no name and stays"):
        await provided(kms, [])
