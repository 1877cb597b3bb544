"""The form of faults over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import orjson
import pytest

from gateway.http.faults import FORMS, MAX_DETAIL_CHARS, error_object, error_response
from llmplatform import errors
from llmplatform.errors import (
    BackendFault,
    BackendInternal,
    BackendModelFailed,
    BackendRejected,
    BackendThrottled,
    BackendTimedOut,
    BackendUnavailable,
    ClientFault,
    ConfigFault,
    Forbidden,
    GatewayOverloaded,
    MalformedRequest,
    PlatformFault,
    TelemetryFault,
    TenantOverloaded,
    Unauthenticated,
    UnknownModel,
)

TRACE = "0198c0de000040008000000000000001"


def every_class(root: type[PlatformFault] = PlatformFault) -> Iterator[type[PlatformFault]]:
    """All classes of the tree that `llmplatform.errors` draws."""
    if root.__module__ == errors.__name__:
        yield root
    for child in root.__subclasses__():
        yield from every_class(child)


def an_instance(kind: type[PlatformFault]) -> PlatformFault:
    if issubclass(kind, TenantOverloaded | GatewayOverloaded):
        return kind("words", retry_after_s=3)
    if issubclass(kind, UnknownModel):
        return kind()
    return kind("words", phase="idle") if issubclass(kind, BackendTimedOut) else kind("words")


def read(fault: PlatformFault) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    status, headers, body = error_response(fault, TRACE)
    return status, dict(headers), orjson.loads(body)["error"]


def test_the_table_holds_every_fault_and_nothing_else() -> None:
    assert set(FORMS) == set(every_class())


@pytest.mark.parametrize("kind", FORMS)
def test_every_fault_has_openais_error_shape_with_our_trace_id(kind: type[PlatformFault]) -> None:
    status, _, error = read(an_instance(kind))
    assert status == FORMS[kind].status
    assert list(error) == ["message", "type", "param", "code", "trace_id"]
    assert error["trace_id"] == "0198c0de-0000-4000-8000-000000000001"
    assert error["type"] == FORMS[kind].type


def test_statuses_keep_the_kinds_of_backend_faults_apart() -> None:
    told = {kind.code: read(an_instance(kind))[0] for kind in FORMS if issubclass(kind, BackendFault)}
    assert told == {
        "backend_error": 502,
        "backend_throttled": 429,
        "backend_timeout": 504,
        "backend_unreachable": 502,
        "backend_unavailable": 503,
        "backend_rejected_request": 400,
        "backend_model_error": 424,
        "backend_internal_error": 502,
        "backend_stream_corrupt": 502,
    }


@pytest.mark.parametrize(
    "kind", [k for k in FORMS if not issubclass(k, ClientFault | BackendFault | GatewayOverloaded)]
)
def test_what_should_not_reach_a_client_tells_nothing_but_the_trace_id(kind: type[PlatformFault]) -> None:
    status, headers, error = read(kind("secret setting"))
    assert (status, headers) == (500, {})
    assert error["code"] == "internal_error"
    assert "secret" not in error["message"]


def test_param_and_a_specific_code_are_told() -> None:
    _, _, error = read(MalformedRequest("words", param="messages[0].content", code="unknown_parameter"))
    assert (error["param"], error["code"], error["message"]) == (
        "messages[0].content",
        "unknown_parameter",
        "words",
    )


@pytest.mark.parametrize("kind", [TenantOverloaded, GatewayOverloaded])
def test_overload_says_when_to_come_back(kind: type[TenantOverloaded | GatewayOverloaded]) -> None:
    assert read(kind("full", retry_after_s=7))[1] == {b"retry-after": b"7"}


def test_others_say_nothing_of_when_to_come_back() -> None:
    assert read(BackendThrottled("slow"))[1] == {}


def test_a_refused_request_is_told_in_the_backends_words() -> None:
    fault = BackendRejected("the backend refused the request", detail="messages: too many")
    assert read(fault)[2]["message"] == "the backend refused the request: messages: too many"


def test_account_numbers_are_masked() -> None:
    detail = "User: arn:aws:sts::123456789012:assumed-role/gateway is not authorized; 1234567890123 tokens"
    message = error_object(BackendRejected("refused", detail=detail), TRACE)["message"]
    assert "123456789012:" not in message
    assert "1234567890123 tokens" in message


def test_the_backends_words_are_bounded() -> None:
    message = error_object(BackendModelFailed("failed", detail="x" * 10_000), TRACE)["message"]
    assert len(message) == len("failed: ") + MAX_DETAIL_CHARS


@pytest.mark.parametrize("kind", [BackendInternal, BackendUnavailable, BackendThrottled])
def test_words_about_us_are_not_told(kind: type[BackendFault]) -> None:
    assert read(kind("the backend failed", detail="host ip-10-0-0-1"))[2]["message"] == "the backend failed"


def test_a_fault_defined_elsewhere_looks_like_its_ancestor() -> None:
    class Odd(ClientFault):
        code = "odd_request"

    assert read(Odd("words"))[0] == 400
    assert read(Odd("words"))[2]["code"] == "odd_request"


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (MalformedRequest("x", param="model"), openai.BadRequestError),
        (Unauthenticated("x"), openai.AuthenticationError),
        (Forbidden("x"), openai.PermissionDeniedError),
        (UnknownModel(), openai.NotFoundError),
        (BackendThrottled("x"), openai.RateLimitError),
        (BackendTimedOut("x", phase="total"), openai.InternalServerError),
        (BackendModelFailed("x"), openai.APIStatusError),
        (ConfigFault("x"), openai.InternalServerError),
        (TelemetryFault("x"), openai.InternalServerError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_the_sdk_raises_its_own_error_for_it(
    fault: PlatformFault, raised: type[openai.APIStatusError]
) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        status, _headers, body = error_response(fault, TRACE)
        return httpx2.Response(status, content=body, headers={"content-type": "application/json"})

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    with (
        openai.OpenAI(
            api_key="k", base_url="http://g.invalid", http_client=transport, max_retries=0
        ) as client,
        pytest.raises(raised) as caught,
    ):
        client.chat.completions.create(model="m", messages=[])
    error = error_object(fault, TRACE)
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        error["code"],
        error["param"],
        error["type"],
    )
