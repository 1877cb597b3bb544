import asyncio
from contextlib import ExitStack

import pytest

from gateway.limits import InFlight
from llmplatform.errors import GatewayOverloaded, TenantOverloaded
from llmplatform.testing import make_policy

ACME = make_policy("acme", max_in_flight=2)
GLOBEX = make_policy("globex", max_in_flight=2)


def attempt(limits: InFlight) -> None:
    with limits.permit(ACME):
        pass


def test_a_tenant_at_its_limit_is_refused_and_others_are_not() -> None:
    limits = InFlight(max_in_flight=10)
    with limits.permit(ACME), limits.permit(ACME):
        with pytest.raises(TenantOverloaded) as caught:
            attempt(limits)
        assert caught.value.retry_after_s >= 1
        with limits.permit(GLOBEX):
            assert limits.total == 3
    attempt(limits)
    assert limits.total == 0


def test_the_gateway_has_a_limit_of_its_own() -> None:
    limits = InFlight(max_in_flight=1)
    with limits.permit(GLOBEX), pytest.raises(GatewayOverloaded) as caught:
        attempt(limits)
    assert caught.value.retry_after_s >= 1
    attempt(limits)


def test_a_refusal_takes_no_place() -> None:
    limits = InFlight(max_in_flight=3)
    with limits.permit(ACME), limits.permit(ACME):
        for _ in range(5):
            with pytest.raises(TenantOverloaded):
                attempt(limits)
        assert limits.total == 2
    assert limits.total == 0


@pytest.mark.parametrize("end", [RuntimeError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt])
def test_a_place_is_given_back_however_the_request_ends(end: type[BaseException]) -> None:
    limits = InFlight(max_in_flight=1)
    for _ in range(3):
        with pytest.raises(end), limits.permit(ACME):
            raise end
    assert limits.total == 0
    assert limits._by_tenant == {}


def test_places_may_be_given_back_in_any_order() -> None:
    limits = InFlight(max_in_flight=10)
    first, second = ExitStack(), ExitStack()
    first.enter_context(limits.permit(ACME))
    second.enter_context(limits.permit(ACME))
    first.close()
    attempt(limits)
    second.close()
    assert (limits.total, limits._by_tenant) == (0, {})


def test_draining_admits_nothing_new_and_lets_the_rest_finish() -> None:
    limits = InFlight(max_in_flight=10)
    with limits.permit(ACME):
        limits.draining = True
        with pytest.raises(GatewayOverloaded, match="shutting down"):
            attempt(limits)
        assert limits.total == 1
    assert limits.total == 0


def test_a_limit_lowered_while_requests_run_holds_for_the_next() -> None:
    limits = InFlight(max_in_flight=10)
    lowered = make_policy("acme", max_in_flight=1)
    with limits.permit(ACME), limits.permit(ACME), pytest.raises(TenantOverloaded), limits.permit(lowered):
        pass
    with limits.permit(lowered):
        assert limits.total == 1
