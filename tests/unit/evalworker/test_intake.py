"""Which samples are judged, and the reason told for each that is not."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from evalworker.intake import PARK_REASONS, SKIP_REASONS, ParkReason, SkipReason, read_event, refuses
from llmplatform.invocation import Outcome
from llmplatform.policy import TenantPolicy
from llmplatform.samples import Envelope, SampleEvent
from llmplatform.testing import START, make_policy

ENVELOPE = Envelope("arn:aws:kms:us-east-1:1:key/2", "AAAA")


def event(**fields: Any) -> SampleEvent:
    whole = SampleEvent(
        schema_version=1,
        request_id="r-1",
        trace_id="t-1",
        span_id="s-1",
        tenant_id="acme",
        model_id="small",
        endpoint_type="bedrock",
        outcome=Outcome.COMPLETED.value,
        received_at=START,
        completed_at=START + timedelta(seconds=1),
        sample_rate=0.5,
        sample_reason="rate",
        content_mode="full",
        prompt="user: how high?",
        completion="330 m",
    )
    return msgspec.structs.replace(whole, **fields)


def encoded(**fields: Any) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(event()), **fields})


def test_a_sample_event_is_read() -> None:
    assert read_event(encoded()) == event()


def test_fields_of_a_newer_gateway_are_ignored() -> None:
    assert read_event(encoded(mood="blue")) == event()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "undecodable"),
        (b"{", "undecodable"),
        (b"\xff", "undecodable"),
        (b"[]", "undecodable"),
        (b"[" * 200_000, "undecodable"),
        (b'{"schema_version": 1}', "undecodable"),
        (encoded(tenant_id=7), "undecodable"),
        (encoded(completed_at="yesterday"), "undecodable"),
        (encoded(completed_at="2026-01-31T23:59:30"), "undecodable"),
        (encoded(received_at="2026-01-31T23:59:30"), "undecodable"),
        (encoded(sample_rate=0), "undecodable"),
        (encoded(sample_rate=-0.5), "undecodable"),
        (encoded(sample_rate=1.01), "undecodable"),
        (encoded(content_withheld="mood"), "undecodable"),
        (encoded(schema_version=2), "unknown_schema"),
        (encoded(schema_version=0), "unknown_schema"),
    ],
)
def test_what_cannot_be_read_is_parked_with_its_reason(data: bytes, reason: ParkReason) -> None:
    assert read_event(data) == reason
    assert reason in PARK_REASONS


@pytest.mark.parametrize(
    ("fields", "policy", "reason"),
    [
        ({}, make_policy(content_mode="full"), None),
        ({}, make_policy(content_mode="truncated"), None),
        ({"completion": None, "prompt": None, "enc": ENVELOPE}, make_policy(kms_key="alias/k"), None),
        ({}, None, "no_tenant"),
        # Who opted out after the request was made is heeded, and who opted in after it gives nothing away.
        ({}, make_policy(content_mode="hash_only"), "hash_only"),
        ({"enc": ENVELOPE}, make_policy(content_mode="hash_only"), "hash_only"),
        ({"content_withheld": "hash_only"}, make_policy(content_mode="full"), "hash_only"),
        ({"content_withheld": "key_unavailable"}, make_policy(content_mode="full"), "key_unavailable"),
        ({"completion": None}, make_policy(), "no_answer"),
        ({"completion": ""}, make_policy(), "no_answer"),
        *(
            ({"outcome": outcome.value}, make_policy(), "not_completed")
            for outcome in Outcome
            if outcome is not Outcome.COMPLETED
        ),
    ],
)
def test_a_sample_is_skipped_for_the_first_reason_that_holds(
    fields: dict[str, Any], policy: TenantPolicy | None, reason: SkipReason | None
) -> None:
    assert refuses(event(**fields), policy) == reason
    assert reason is None or reason in SKIP_REASONS
