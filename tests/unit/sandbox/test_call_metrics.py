from typing import Any

import pytest

from sandbox.call_metrics import bedrock_values, sagemaker_values
from sandbox.calls import Call
from sandbox.engines.engine import Usage


def call(**fields: Any) -> Call:
    whole: dict[str, Any] = {
        "request_id": "r",
        "service": "sagemaker",
        "operation": "invocations-response-stream",
        "model": "m",
        "headers": {},
        "signed": True,
        "body": None,
        "started_s": 10.0,
        "finished_s": 12.0,
        "ended": "completed",
    }
    return Call(**(whole | fields))


def bedrock(**fields: Any) -> dict[str, float]:
    asked = call(service="bedrock", operation="converse-stream", **fields)
    return {name: value for name, _, value in bedrock_values(asked, 2.0)}


def sagemaker(instances: int = 1, **fields: Any) -> dict[str, float]:
    return {name: value for name, _, value in sagemaker_values(call(**fields), 2.0, instances)}


def test_tokens_read_from_a_cache_use_no_quota_and_those_written_do() -> None:
    usage = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=100, cache_write_tokens=3)
    found = bedrock(billed=usage)
    assert found["EstimatedTPMQuotaUsage"] == 18
    assert (found["InputTokenCount"], found["OutputTokenCount"]) == (10, 5)


@pytest.mark.parametrize(
    ("status", "ended", "name"),
    [
        (429, "refused", "InvocationThrottles"),
        (400, "refused", "InvocationClientErrors"),
        (503, "refused", "InvocationServerErrors"),
        (200, "faulted", "InvocationServerErrors"),
    ],
)
def test_a_call_that_bedrock_failed_is_no_invocation(status: int, ended: str, name: str) -> None:
    assert bedrock(status=status, ended=ended, first_sent_s=10.5) == {name: 1}


def test_the_first_token_counts_from_the_calls_arrival_and_what_came_before_it_does_not_count() -> None:
    found = bedrock(asked_model_s=10.25, first_sent_s=10.26, first_token_ms=500)
    assert found["TimeToFirstToken"] == pytest.approx(750)
    assert "TimeToFirstToken" not in bedrock()


def test_a_good_stream_sends_a_zero_for_each_error() -> None:
    found = sagemaker(asked_model_s=10.0, first_sent_s=10.1, first_token_ms=400)
    errors = {name: value for name, value in found.items() if "Error" in name}
    assert errors == {
        "Invocation4XXErrors": 0,
        "Invocation5XXErrors": 0,
        "InvocationModelErrors": 0,
        "MidStreamErrors": 0,
    }
    assert found["FirstChunkModelLatency"] == pytest.approx(400_000)
    overhead = found["FirstChunkLatency"] - found["FirstChunkModelLatency"]
    assert overhead == pytest.approx(found["FirstChunkOverheadLatency"])
    assert found["ModelLatency"] == pytest.approx(2_000_000)


def test_a_stream_that_breaks_off_is_an_error_in_its_middle_only() -> None:
    found = sagemaker(ended="faulted", first_sent_s=10.5)
    assert (found["MidStreamErrors"], found["InvocationModelErrors"], found["Invocation5XXErrors"]) == (
        1,
        0,
        0,
    )
    assert found["FirstChunkModelLatency"] == pytest.approx(500_000)


def test_a_connection_that_breaks_before_anything_came_is_the_models_error() -> None:
    found = sagemaker(ended="faulted")
    assert found["InvocationModelErrors"] == 1
    assert "MidStreamErrors" not in found


def test_a_client_that_leaves_is_nobodys_error() -> None:
    found = sagemaker(ended="client_closed", first_sent_s=10.5)
    assert not any(value for name, value in found.items() if "Error" in name)


@pytest.mark.parametrize(
    ("status", "model_status", "errors"),
    [
        (424, 500, (0, 1, 1)),
        (424, 400, (1, 0, 1)),
        (400, None, (1, 0, 0)),
        (429, None, (1, 0, 0)),
        (503, None, (0, 1, 1)),
    ],
)
def test_an_error_of_the_model_counts_by_the_models_own_status(
    status: int, model_status: int | None, errors: tuple[int, int, int]
) -> None:
    found = sagemaker(ended="refused", status=status, model_status=model_status)
    names = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors")
    assert tuple(found[name] for name in names) == errors


def test_an_instances_share_of_a_call_is_by_the_number_of_instances() -> None:
    assert sagemaker(instances=4)["InvocationsPerInstance"] == 0.25
    assert sagemaker(instances=0)["InvocationsPerInstance"] == 1
