"""Which fault an error head is, and that nothing of its wording leaves `detail`."""

import json

import pytest

from gateway.dialects.faults import aws_fault, container_fault, head_fault
from llmplatform.errors import (
    BackendFault,
    BackendInternal,
    BackendModelFailed,
    BackendRejected,
    BackendThrottled,
    BackendTimedOut,
    BackendUnavailable,
)


@pytest.mark.parametrize(
    ("status", "error_type", "kind"),
    [
        (429, "ThrottlingException", BackendThrottled),
        (400, "ServiceQuotaExceededException", BackendThrottled),
        (429, "ModelNotReadyException", BackendUnavailable),
        (429, None, BackendThrottled),
        (424, "ModelErrorException", BackendModelFailed),
        (424, "ModelError", BackendModelFailed),
        (408, "ModelTimeoutException", BackendTimedOut),
        (400, "ValidationException", BackendRejected),
        (400, "ValidationError", BackendRejected),
        (403, "AccessDeniedException", BackendRejected),
        (404, "ResourceNotFoundException", BackendRejected),
        (403, None, BackendRejected),
        (413, None, BackendRejected),
        (500, "InternalServerException", BackendInternal),
        (500, "InternalFailure", BackendInternal),
        (530, "InternalDependencyException", BackendInternal),
        (503, "ServiceUnavailableException", BackendUnavailable),
        (503, "ServiceUnavailable", BackendUnavailable),
        (502, None, BackendUnavailable),
        (504, None, BackendUnavailable),
        (599, None, BackendInternal),
        (301, None, BackendRejected),
    ],
)
def test_error_heads(status: int, error_type: str | None, kind: type[BackendFault]) -> None:
    headers = {} if error_type is None else {"x-amzn-errortype": f"{error_type}:http://internal.amazon.com/"}
    fault = head_fault(status, headers, b'{"message":"CANARY"}')
    assert type(fault) is kind
    assert (fault.status, fault.error_type, fault.detail) == (status, error_type, "CANARY") or (
        kind is BackendTimedOut and fault.status == status
    )
    assert "CANARY" not in str(fault)


def test_the_type_may_stand_in_the_body() -> None:
    body = b'{"__type":"com.amazon.coral.availability#ThrottlingException","message":"m"}'
    fault = head_fault(400, {}, body)
    assert type(fault) is BackendThrottled
    assert fault.error_type == "ThrottlingException"


@pytest.mark.parametrize(
    ("original", "kind", "detail"),
    [(400, BackendRejected, "bad"), (422, BackendRejected, "bad"), (500, BackendModelFailed, "wrapped")],
)
def test_a_container_that_refuses_the_request_is_not_ill(
    original: int, kind: type[BackendFault], detail: str
) -> None:
    body = {"OriginalStatusCode": original, "OriginalMessage": "bad", "Message": "wrapped"}
    fault = head_fault(424, {"x-amzn-errortype": "ModelError"}, json.dumps(body).encode())
    assert type(fault) is kind
    assert (fault.error_type, fault.detail) == ("ModelError", detail)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message":5}', b"\xff\xfe"])
def test_a_body_that_says_nothing_leaves_the_status(body: bytes) -> None:
    fault = head_fault(503, {}, body)
    assert type(fault) is BackendUnavailable
    assert fault.detail is None


def test_a_type_that_is_text_stays_out_of_spans() -> None:
    assert aws_fault("you said: CANARY", status=400).error_type == "unknown"
    assert container_fault(error_type="x" * 200).error_type == "unknown"


def test_detail_is_bounded() -> None:
    assert len(aws_fault("ModelError", detail="x" * 10_000).detail or "") == 2_000
