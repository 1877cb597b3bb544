import inspect
import re

import pytest

from llmplatform import errors
from llmplatform.errors import (
    BackendFault,
    BackendTimedOut,
    ClientFault,
    Forbidden,
    MalformedRequest,
    PlatformFault,
    TenantOverloaded,
)

FAULTS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PlatformFault)]
CANARY = "the prompt, as the backend quoted it"


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_a_code_fit_for_machines_and_stands_in_the_tree(kind: type[PlatformFault]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")


def test_codes_tell_faults_apart() -> None:
    codes = [kind.code for kind in FAULTS if kind is not MalformedRequest]
    assert len(set(codes)) == len(codes)
    assert MalformedRequest.code == ClientFault.code


def test_a_client_fault_may_have_a_code_of_its_own() -> None:
    assert Forbidden("no", code="tenant_mismatch").specific_code == "tenant_mismatch"
    assert Forbidden("no").specific_code == "forbidden"
    assert TenantOverloaded("no", retry_after_s=3).specific_code == "tenant_concurrency_exceeded"


@pytest.mark.parametrize(
    "kind", [kind for kind in BackendFault.__subclasses__() if kind is not BackendTimedOut]
)
def test_what_a_backend_said_is_not_in_the_words_of_the_fault(kind: type[BackendFault]) -> None:
    fault = kind("the backend failed", detail=CANARY, error_type="throttlingException", status=429)
    assert fault.detail == CANARY
    assert CANARY not in f"{fault} {fault!r} {fault.args}"


@pytest.mark.parametrize("phase", ["connect", "first_token", "idle", "total"])
def test_a_timeout_says_which_one_passed(phase: errors.TimeoutPhase) -> None:
    fault = BackendTimedOut("too slow", phase=phase)
    assert fault.error_type == f"timeout_{phase}"
    assert fault.counts_against_health
