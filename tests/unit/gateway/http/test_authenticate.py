"""Whose request it is, by headers that may come more than once."""

import pytest

from gateway.http.authenticate import authenticate, check_claim
from llmplatform import apikeys
from llmplatform.aws.parameters import InMemoryPolicySource
from llmplatform.errors import Forbidden, Unauthenticated
from llmplatform.testing import FakeClock, make_policy

ACME = make_policy("acme")
KEY = apikeys.mint(ACME.tenant_id, bytes(32))
BEARER = (b"authorization", f"Bearer {KEY}".encode())


async def test_a_key_opens_its_own_tenant() -> None:
    assert await authenticate([(b"accept", b"*/*"), BEARER], policies()) == ACME


@pytest.mark.parametrize("other", [b"Bearer other", b"", BEARER[1]])
async def test_two_keys_are_none_whichever_comes_first(other: bytes) -> None:
    for headers in ([BEARER, (b"authorization", other)], [(b"authorization", other), BEARER]):
        with pytest.raises(Unauthenticated):
            await authenticate(headers, policies())


def test_no_claim_hides_behind_another() -> None:
    own, others = (b"x-tenant-id", b"acme"), (b"x-tenant-id", b"globex")
    check_claim([own, own], ACME)
    for headers in ([own, others], [others, own], [(b"x-tenant-id", b"acme, globex")]):
        with pytest.raises(Forbidden):
            check_claim(headers, ACME)


def policies() -> InMemoryPolicySource:
    clock = FakeClock()
    source = InMemoryPolicySource(clock)
    source.put(ACME, apikeys.record_of(KEY, clock.now()))
    return source
