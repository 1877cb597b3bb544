"""Each status of Bedrock's lands where it belongs."""

import pytest

from evalworker.judging.statuses import Failure, Rejection, complaint, meaning


def read(status: int, error_type: str, message: str = "Something.") -> Failure | Rejection:
    body = f'{{"message": "{message}"}}'.encode()
    return meaning(status, complaint({"x-amzn-errortype": error_type}, body))


@pytest.mark.parametrize(
    ("status", "error_type", "reason", "retryable"),
    [
        (429, "ThrottlingException", "throttled", True),
        (429, "ModelNotReadyException", "throttled", True),
        (400, "ServiceQuotaExceededException", "throttled", True),
        (500, "InternalServerException", "server_error", True),
        (502, "", "server_error", True),
        (503, "ServiceUnavailableException", "server_error", True),
        (408, "ModelTimeoutException", "model_timeout", True),
        (424, "ModelErrorException", "model_error", True),
        (403, "AccessDeniedException", "access_denied", False),
        (403, "ExpiredTokenException", "access_denied", False),
        (401, "UnrecognizedClientException", "access_denied", False),
        (400, "IncompleteSignature", "access_denied", False),
        (404, "ResourceNotFoundException", "model_not_found", False),
        (405, "", "misconfigured", False),
        (301, "", "misconfigured", False),
    ],
)
def test_a_status_says_why_nobody_judged(
    status: int, error_type: str, reason: str, *, retryable: bool
) -> None:
    found = read(status, error_type)
    assert isinstance(found, Failure)
    assert (found.reason, found.retryable) == (reason, retryable)


@pytest.mark.parametrize(
    "message",
    [
        "The provided model identifier is invalid.",
        "This model version has reached the end of its life.",
        "Model ID x with on-demand throughput isn't supported. Retry with an inference profile.",
    ],
)
def test_an_invalid_model_is_the_judges_fault_and_not_the_samples(message: str) -> None:
    found = read(400, "ValidationException", message)
    assert isinstance(found, Failure)
    assert found.reason == "model_not_found"


@pytest.mark.parametrize(
    "message",
    ["Input is too long for requested model.", "Too many input tokens.", "prompt is too long: 9 > 8"],
)
def test_a_sample_that_is_too_long_is_refused(message: str) -> None:
    assert read(400, "ValidationException", message) == Rejection("too_long")


def test_another_invalid_request_may_be_the_samples_or_the_judges_fault() -> None:
    assert read(400, "ValidationException", "temperature is deprecated for this model") == Rejection(None)


def test_only_what_speaks_of_health_counts_against_it() -> None:
    ill = {status: read(status, "x") for status in (408, 424, 500, 503, 429, 403, 404)}
    assert {status: found.ill for status, found in ill.items() if isinstance(found, Failure)} == {
        408: True,
        424: True,
        500: True,
        503: True,
        429: None,
        403: None,
        404: None,
    }


def test_an_error_is_named_by_its_header_or_by_its_body() -> None:
    header = complaint({"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/"}, b"")
    assert header.error_type == "ThrottlingException"
    body = complaint({}, b'{"__type": "com.amazon.coral#AccessDeniedException", "Message": "no"}')
    assert (body.error_type, body.message) == ("AccessDeniedException", "no")
    assert complaint({}, b"<html>").error_type == ""
    assert complaint({}, b"[1]").message == ""
    assert "no" not in repr(body).replace("AccessDeniedException", "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("", 0.0), ("nan", 0.0), ("-5", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)],
)
def test_a_pause_is_asked_for_in_whole_seconds(header: str, seconds: float) -> None:
    assert complaint({"Retry-After": header}, b"").retry_after_s == seconds
