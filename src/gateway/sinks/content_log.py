"""Logs the content of tenants that opted in, to a log group of its own.

A group has one retention and one key, so content never shares one with the log line. PutLogEvents, one log
stream a process.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from llmplatform import ids
from llmplatform.aws.tables import CONTENT_LOGS
from llmplatform.invocation import InvocationContent, InvocationRecord
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.process.batching import BatchingSink, Limits, Receipt
from llmplatform.samples import cut, render_prompt

if TYPE_CHECKING:
    from types_aiobotocore_logs import CloudWatchLogsClient

# Limits of PutLogEvents: 10,000 events and 1,048,576 bytes, where each event counts 26 more than it is long.
MAX_BATCH_ITEMS: Final = 10_000
MAX_BATCH_BYTES: Final = 1_048_576
EVENT_OVERHEAD_BYTES: Final = 26
# So that prompt and completion fit into one event, whatever their characters: 4 bytes each, 6 when escaped.
MAX_CONTENT_CHARS: Final = 80_000

CONTENT_LIMITS: Final = Limits(
    queued_items=5_000,
    queued_bytes=32 * 1024 * 1024,
    batch_items=MAX_BATCH_ITEMS,
    batch_bytes=MAX_BATCH_BYTES,
    linger_s=1.0,
    attempt_timeout_s=20.0,
)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event of a log stream."""

    timestamp_ms: int
    message: str = field(repr=False)


def content_event(
    record: InvocationRecord, policy: TenantPolicy, content: InvocationContent
) -> LogEvent | None:
    """What the tenant's policy lets be logged of a request's content, or None.

    A tenant with a key of its own wants content under that key alone, and the log group has another.
    """
    if not policy.may_log_content or policy.kms_key is not None:
        return None
    full = policy.content_mode is ContentMode.FULL
    prompt_chars = MAX_CONTENT_CHARS if full else min(policy.max_prompt_chars, MAX_CONTENT_CHARS)
    completion_chars = MAX_CONTENT_CHARS if full else min(policy.max_completion_chars, MAX_CONTENT_CHARS)
    prompt, completion = (
        render_prompt(content.messages, prompt_chars),
        cut(content.completion, completion_chars),
    )
    message = orjson.dumps(
        {
            "request_id": record.request_id,
            "trace_id": ids.as_uuid(record.trace.trace_id),
            "tenant_id": record.tenant_id,
            "model_id": record.served_by[0],
            "prompt": prompt.text,
            "prompt_truncated": prompt.truncated,
            "completion": completion.text,
            "completion_truncated": completion.truncated,
        }
    )
    return LogEvent(int(record.completed_at.timestamp() * 1_000), message.decode())


class ContentLogSink(BatchingSink[LogEvent, LogEvent]):
    """Takes log events; `client` is an open one of aioboto3, `log_stream` this process's own."""

    def __init__(
        self,
        client: "CloudWatchLogsClient",
        *,
        log_stream: str,
        log_group: str = CONTENT_LOGS.name,
        limits: Limits = CONTENT_LIMITS,
        name: str = "content_log",
    ) -> None:
        super().__init__(name, limits)
        self._client = client
        self._group = log_group
        self._log_stream = log_stream
        self._stream_exists = False

    def _encode(self, item: LogEvent) -> tuple[LogEvent, int]:
        return item, len(item.message.encode()) + EVENT_OVERHEAD_BYTES

    async def _deliver(self, batch: Sequence[LogEvent]) -> Receipt[LogEvent]:
        await self._ensure_stream()
        in_order = sorted(batch, key=lambda event: event.timestamp_ms)
        try:
            answer = await self._client.put_log_events(
                logGroupName=self._group,
                logStreamName=self._log_stream,
                logEvents=[{"timestamp": event.timestamp_ms, "message": event.message} for event in in_order],
            )
        except self._client.exceptions.ResourceNotFoundException:
            self._stream_exists = False
            raise
        rejected = answer.get("rejectedLogEventsInfo") or {}
        too_old = max(rejected.get("tooOldLogEventEndIndex", 0), rejected.get("expiredLogEventEndIndex", 0))
        too_new = len(batch) - rejected.get("tooNewLogEventStartIndex", len(batch))
        return Receipt(refused=min(too_old + too_new, len(batch)))

    async def _ensure_stream(self) -> None:
        if self._stream_exists:
            return
        with contextlib.suppress(self._client.exceptions.ResourceAlreadyExistsException):
            await self._client.create_log_stream(logGroupName=self._group, logStreamName=self._log_stream)
        self._stream_exists = True
