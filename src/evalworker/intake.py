"""Which samples are judged, and why another is not. Pure."""

from typing import Final, Literal

from llmplatform.errors import TelemetryFault
from llmplatform.invocation import Outcome
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.samples import SCHEMA_VERSION, SampleEvent, decode_sample

SkipReason = Literal[
    "hash_only",  # the tenant lets no content go
    "key_unavailable",  # the tenant's key is gone or denied: its content was not sent, or cannot be read
    "no_tenant",  # removed or erased since
    "not_completed",  # cut short: judging half an answer would blame the model for a hang-up
    "no_answer",  # no text in it: tool calls only
    "budget",  # judging this tenant has cost what it may today
    "judge_malformed",  # the judge's output made no sense, more than once
    "judge_refused",  # the judge will not judge this content
]
ParkReason = Literal[
    "undecodable",  # no sample event at all
    "unknown_schema",  # of a version that this worker does not know
    "content_corrupt",  # content that does not open under the ids that it came with
    "store_refused",  # a result that no store takes
    "judge_failed",  # the judge fails at this one, again and again, while it answers others
    "worker_failed",  # this worker itself failed at it, again and again
]

SKIP_REASONS: Final[tuple[SkipReason, ...]] = SkipReason.__args__  # type: ignore[attr-defined]
PARK_REASONS: Final[tuple[ParkReason, ...]] = ParkReason.__args__  # type: ignore[attr-defined]


def read_event(data: bytes) -> SampleEvent | ParkReason:
    """The sample event that a record holds, or why it is none."""
    try:
        event = decode_sample(data)
    except TelemetryFault:
        return "undecodable"
    if event.schema_version != SCHEMA_VERSION:
        return "unknown_schema"
    # Moments without a zone can neither be a key nor be put in order among others.
    moments = (event.received_at, event.completed_at)
    sound = 0 < event.sample_rate <= 1 and all(moment.tzinfo is not None for moment in moments)
    return event if sound else "undecodable"


def refuses(event: SampleEvent, policy: TenantPolicy | None) -> SkipReason | None:
    """Why a sample is not judged, as far as can be told without its content; None where it is.

    `policy` is the tenant's present one: who opted out after the request was made is heeded too.
    """
    if policy is None:
        return "no_tenant"
    if policy.content_mode is ContentMode.HASH_ONLY or event.content_withheld == "hash_only":
        return "hash_only"
    if event.content_withheld is not None:
        return "key_unavailable"
    if event.outcome != Outcome.COMPLETED.value:
        return "not_completed"
    if event.enc is None and not event.completion:
        return "no_answer"
    return None
