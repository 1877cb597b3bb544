"""The sample event: what the gateway hands to evaluation about one request, and how a prompt is rendered.

One event per chosen request, JSON with a `schema_version`, on the stream `llm-eval-stream`. How much
content it holds is the tenant's policy, applied here and nowhere else. A tenant with a key of its own has
its content under that key alone: `unsealed_sample` gives whoever can encrypt what is to be encrypted. Pure.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Final, Literal

import msgspec

from llmplatform import ids
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import InvocationContent, InvocationRecord
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.redaction import safe_label

SCHEMA_VERSION: Final = 1

# A Kinesis record with its partition key is at most 1 MiB.
MAX_EVENT_BYTES: Final = 1_000_000
# What `full` means before the byte limit says otherwise.
MAX_FULL_CHARS: Final = 400_000
# OpenAI's own limits on a request's metadata.
MAX_METADATA_PAIRS: Final = 16
MAX_METADATA_NAME_CHARS: Final = 64
MAX_METADATA_VALUE_CHARS: Final = 512

# Room in an event beside its content under a key: its figures, and what encrypting adds.
SEALED_ROOM_BYTES: Final = 32 * 1024
MAX_SEALED_CONTENT_BYTES: Final = (MAX_EVENT_BYTES - SEALED_ROOM_BYTES) * 3 // 4  # Base64 makes 4 bytes of 3

Withheld = Literal["hash_only", "key_unavailable"]
Turns = Sequence[tuple[str, str]]
"""(role, text) of each turn of a conversation."""

_TURN_GAP: Final = "\n\n"


class Envelope(msgspec.Struct, frozen=True):
    """Content under a tenant's own key: AWS Encryption SDK, context tenant and request."""

    kms_key: str
    """ARN of the key: an alias may be given another one later."""
    ciphertext: str
    """Base64."""


class SampleContent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said in a request, as far as the tenant's policy lets it go: what `enc` holds, encrypted."""

    prompt: str | None = None
    prompt_truncated: bool = False
    completion: str | None = None
    completion_truncated: bool = False
    reference: str | None = None
    reference_truncated: bool = False
    contexts: tuple[str, ...] = ()
    contexts_truncated: bool = False
    metadata: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Name the type: nothing of what was said."""
        return "SampleContent(...)"


class SampleEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sampled request. Fields that are unknown are absent; a reader ignores fields it does not know."""

    schema_version: int
    request_id: str
    trace_id: str
    """In the form of `x-trace-id`."""
    span_id: str
    tenant_id: str
    model_id: str
    endpoint_type: str
    outcome: str
    received_at: datetime
    completed_at: datetime
    sample_rate: float
    """Each event stands for 1 / `sample_rate` requests."""
    sample_reason: str
    content_mode: str
    content_withheld: Withheld | None = None
    """Why there is no content: evaluation counts such an event as skipped."""
    requested_model_id: str | None = None
    backend_model_id: str | None = None
    endpoint_name: str | None = None
    finish_reason: str | None = None
    prompt_sha256: str | None = None
    """Of the whole prompt as rendered, whatever was cut from it here."""
    prompt: str | None = None
    prompt_truncated: bool = False
    completion: str | None = None
    completion_truncated: bool = False
    reference: str | None = None
    reference_truncated: bool = False
    contexts: tuple[str, ...] = ()
    contexts_truncated: bool = False
    metadata: Mapping[str, str] = {}
    enc: Envelope | None = None
    usage: Mapping[str, int] = {}
    usage_source: str = "unknown"
    total_latency_ms: float | None = None
    time_to_first_token_ms: float | None = None

    def __repr__(self) -> str:
        """Name the event without what was said in it."""
        return f"SampleEvent(request_id={self.request_id!r})"


@dataclass(frozen=True, slots=True)
class Text:
    """A text as far as it may go, and whether that is less than all of it."""

    text: str = field(repr=False)
    truncated: bool = False


def render_prompt(turns: Turns, max_chars: int | None = None) -> Text:
    """A conversation as one text, `role: text` a turn, at most `max_chars` long.

    Where it does not fit, the last user turn is kept first, then the other turns from the newest back, each
    whole but the last one that gets in, which keeps its beginning.
    """
    blocks = [_well_formed(f"{role}: {text}") for role, text in turns]
    if max_chars is None or sum(map(len, blocks)) + len(_TURN_GAP) * max(len(blocks) - 1, 0) <= max_chars:
        return Text(_TURN_GAP.join(blocks))
    asked = max((at for at, (role, _) in enumerate(turns) if role == "user"), default=len(turns) - 1)
    newest_first = [asked, *(at for at in reversed(range(len(blocks))) if at != asked)]
    kept: dict[int, str] = {}
    left = max_chars
    for at in newest_first:
        left -= len(_TURN_GAP) if kept else 0
        if left <= 0:
            break
        kept[at] = blocks[at][:left]
        left -= len(blocks[at])
    return Text(_TURN_GAP.join(kept[at] for at in sorted(kept)), truncated=True)


def prompt_sha256(turns: Turns) -> str:
    """SHA-256, in hex, of the whole prompt as `render_prompt` writes it."""
    return sha256(render_prompt(turns).text.encode()).hexdigest()


def cut(text: str, max_chars: int) -> Text:
    """The beginning of a text."""
    whole = _well_formed(text)
    return Text(whole[:max_chars], truncated=len(whole) > max_chars)


def withheld(policy: TenantPolicy) -> Withheld | None:
    """Why a tenant's content may not leave the request path at all, or None where it may."""
    return "hash_only" if policy.content_mode is ContentMode.HASH_ONLY else None


def encode_sample(record: InvocationRecord, policy: TenantPolicy, content: InvocationContent | None) -> bytes:
    """The event of a sampled request, at most `MAX_EVENT_BYTES` long, with content in the clear or none.

    Content is as much as the policy allows. Of a tenant with a key of its own there is none here, only what
    says so: see `unsealed_sample`.
    """
    bare = _event(record, policy, content)
    if bare.content_withheld is not None or content is None:
        return _ENCODER.encode(bare)
    if policy.kms_key is not None:
        return _ENCODER.encode(_without_key(bare))

    def encoded(said: SampleContent) -> bytes:
        return _ENCODER.encode(with_content(bare, said))

    return _fitting(record, policy, content, encoded, MAX_EVENT_BYTES)


@dataclass(frozen=True, slots=True)
class UnsealedSample:
    """An event without content, and apart from it the content that is to go under the tenant's key."""

    event: SampleEvent
    kms_key: str
    """As the policy names it: ARN, id or alias."""
    content: bytes = field(repr=False)
    """An encoded SampleContent, at most `MAX_SEALED_CONTENT_BYTES` long."""

    def sealed(self, key_arn: str, ciphertext: bytes) -> bytes:
        """The event with its content encrypted."""
        envelope = Envelope(key_arn, base64.b64encode(ciphertext).decode())
        return _ENCODER.encode(msgspec.structs.replace(self.event, enc=envelope))

    def without_key(self) -> bytes:
        """The event without content, since the tenant's key cannot be used."""
        return _ENCODER.encode(_without_key(self.event))


def unsealed_sample(
    record: InvocationRecord, policy: TenantPolicy, content: InvocationContent | None
) -> UnsealedSample | None:
    """The sample of a tenant with a key of its own; None where nothing is to be encrypted."""
    if policy.kms_key is None or content is None or withheld(policy) is not None:
        return None
    text = _fitting(record, policy, content, _ENCODER.encode, MAX_SEALED_CONTENT_BYTES)
    return UnsealedSample(_event(record, policy, content), policy.kms_key, text)


def decode_content(data: bytes) -> SampleContent:
    """What was encrypted as an event's content. Raises TelemetryFault, which quotes nothing."""
    try:
        return _CONTENT_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TelemetryFault("not the content of a sample") from None


def with_content(event: SampleEvent, content: SampleContent) -> SampleEvent:
    """The event as if its content had never been encrypted."""
    return msgspec.structs.replace(event, enc=None, **msgspec.structs.asdict(content))


def held_to(content: SampleContent, policy: TenantPolicy) -> SampleContent:
    """Content cut to what a policy allows: it may have been sampled under a wider one."""
    if policy.content_mode is ContentMode.FULL:
        return content
    prompt = cut(content.prompt or "", policy.max_prompt_chars)
    completion = cut(content.completion or "", policy.max_completion_chars)
    reference = cut(content.reference or "", policy.max_completion_chars)
    contexts, contexts_cut = _cut_together(content.contexts, policy.max_completion_chars)
    return msgspec.structs.replace(
        content,
        prompt=prompt.text if content.prompt is not None else None,
        prompt_truncated=content.prompt_truncated or prompt.truncated,
        completion=completion.text if content.completion is not None else None,
        completion_truncated=content.completion_truncated or completion.truncated,
        reference=reference.text if content.reference is not None else None,
        reference_truncated=content.reference_truncated or reference.truncated,
        contexts=contexts,
        contexts_truncated=content.contexts_truncated or contexts_cut,
    )


def split_content(event: SampleEvent) -> tuple[SampleEvent, SampleContent]:
    """The event without its content, and that content: what is to be sealed, and what stays in the clear."""
    content = SampleContent(**{name: getattr(event, name) for name in SampleContent.__struct_fields__})
    return msgspec.structs.replace(event, **msgspec.structs.asdict(SampleContent())), content


def encode_content(content: SampleContent) -> bytes:
    """Content as it is sealed."""
    return _ENCODER.encode(content)


def decode_sample(data: bytes) -> SampleEvent:
    """The event that a stream record holds. Raises TelemetryFault, which quotes nothing, when it is none."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TelemetryFault("not a sample event") from None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(SampleEvent)
_CONTENT_DECODER: Final = msgspec.json.Decoder(SampleContent)


def _event(record: InvocationRecord, policy: TenantPolicy, content: InvocationContent | None) -> SampleEvent:
    """The event without content."""
    digest = record.prompt_sha256 or (prompt_sha256(content.messages) if content is not None else None)
    model_id, endpoint_type, endpoint_name = record.served_by
    return SampleEvent(
        schema_version=SCHEMA_VERSION,
        request_id=record.request_id,
        trace_id=ids.as_uuid(record.trace.trace_id),
        span_id=record.trace.span_id,
        tenant_id=record.tenant_id,
        model_id=model_id,
        endpoint_type=endpoint_type,
        endpoint_name=endpoint_name,
        outcome=record.outcome.value,
        received_at=record.received_at,
        completed_at=record.completed_at,
        sample_rate=record.sampled_rate,
        sample_reason=record.sample_reason or "rate",
        content_mode=policy.content_mode.value,
        requested_model_id=record.requested_model_id,
        backend_model_id=record.backend_model_id,
        finish_reason=record.finish_reason and safe_label(record.finish_reason),
        prompt_sha256=digest,
        usage=record.usage.known(),
        usage_source=record.usage_source.value,
        total_latency_ms=record.total_latency_ms,
        time_to_first_token_ms=record.time_to_first_token_ms,
        content_withheld=withheld(policy),
    )


def _without_key(event: SampleEvent) -> SampleEvent:
    return msgspec.structs.replace(event, content_withheld="key_unavailable")


def _fitting(
    record: InvocationRecord,
    policy: TenantPolicy,
    content: InvocationContent,
    encode: Callable[[SampleContent], bytes],
    max_bytes: int,
) -> bytes:
    """As much of the content, encoded, as the policy allows and fits."""
    full = policy.content_mode is ContentMode.FULL
    prompt_chars = MAX_FULL_CHARS if full else policy.max_prompt_chars
    completion_chars = MAX_FULL_CHARS if full else policy.max_completion_chars
    while len(encoded := encode(_content(record, content, prompt_chars, completion_chars))) > max_bytes:
        prompt_chars, completion_chars = prompt_chars // 2, completion_chars // 2
    return encoded


def _content(
    record: InvocationRecord, content: InvocationContent, prompt_chars: int, completion_chars: int
) -> SampleContent:
    """What was said, cut: contexts and reference count against the completion's limit."""
    prompt = render_prompt(content.messages, prompt_chars)
    completion = cut(content.completion, completion_chars)
    reference = None if content.reference is None else cut(content.reference, completion_chars)
    contexts, contexts_cut = _cut_together(content.contexts, completion_chars)
    return SampleContent(
        prompt=prompt.text,
        prompt_truncated=prompt.truncated,
        completion=completion.text,
        completion_truncated=completion.truncated,
        reference=None if reference is None else reference.text,
        reference_truncated=reference is not None and reference.truncated,
        contexts=contexts,
        contexts_truncated=contexts_cut,
        metadata={
            cut(name, MAX_METADATA_NAME_CHARS).text: cut(value, MAX_METADATA_VALUE_CHARS).text
            for name, value in islice(record.client_metadata.items(), MAX_METADATA_PAIRS)
        },
    )


def _cut_together(texts: Sequence[str], max_chars: int) -> tuple[tuple[str, ...], bool]:
    """Texts that share one limit, the first ones first, and whether that is less than all of them."""
    kept: list[str] = []
    for text in texts:
        kept.append(cut(text, max_chars).text)
        max_chars -= len(kept[-1])
    return tuple(text for text in kept if text), sum(map(len, kept)) < sum(map(len, texts))


def _well_formed(text: str) -> str:
    """`text` with lone surrogates, which no UTF-8 can hold, as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
