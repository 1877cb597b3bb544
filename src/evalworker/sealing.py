"""What was said, opened for the judge and sealed again for the stores, as the tenant's policy has it."""

import base64
import binascii

import msgspec

from llmplatform import samples
from llmplatform.aws.envelope import ContentKeys, ContentTampered
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import MAX_STORED_CONTENT_BYTES, EvalContent, encode_content
from llmplatform.policy import TenantPolicy
from llmplatform.samples import Envelope, SampleEvent


class Sealing:
    """Content under tenants' keys. Raises KeyUnavailable, KeyServiceFailed or ContentTampered."""

    def __init__(self, keys: ContentKeys) -> None:
        self._keys = keys

    async def opened(self, event: SampleEvent) -> EvalContent:
        """What a sample says."""
        if event.enc is not None:
            event = samples.with_content(event, await self._sample_content(event, event.enc))
        return EvalContent(
            prompt=event.prompt or "",
            prompt_truncated=event.prompt_truncated,
            completion=event.completion or "",
            completion_truncated=event.completion_truncated,
            reference=event.reference,
            reference_truncated=event.reference_truncated,
            contexts=event.contexts,
            contexts_truncated=event.contexts_truncated,
        )

    async def sealed(
        self, event: SampleEvent, content: EvalContent, policy: TenantPolicy
    ) -> EvalContent | Envelope:
        """A result's content as it is stored: what came under a key stays under one, whatever was changed."""
        kms_key = policy.kms_key or (None if event.enc is None else event.enc.kms_key)
        if kms_key is None:
            return content
        text = encode_content(content, MAX_STORED_CONTENT_BYTES)
        return await self._envelope(text, kms_key, event.tenant_id, event.request_id)

    async def as_stored(self, event: SampleEvent, policy: TenantPolicy) -> SampleEvent:
        """A sample as it is kept: one that came before the tenant had a key goes under the key now."""
        if policy.kms_key is None or event.enc is not None:
            return event
        bare, content = samples.split_content(event)
        text = samples.encode_content(content)
        envelope = await self._envelope(text, policy.kms_key, event.tenant_id, event.request_id)
        return msgspec.structs.replace(bare, enc=envelope)

    async def _envelope(self, text: bytes, kms_key: str, tenant_id: str, request_id: str) -> Envelope:
        sealed = await self._keys.seal(text, kms_key=kms_key, tenant_id=tenant_id, request_id=request_id)
        return Envelope(await self._keys.arn(kms_key), base64.b64encode(sealed).decode())

    async def _sample_content(self, event: SampleEvent, enc: Envelope) -> samples.SampleContent:
        try:
            ciphertext = base64.b64decode(enc.ciphertext, validate=True)
        except binascii.Error:
            raise ContentTampered("the content is not base64") from None
        text = await self._keys.open(
            ciphertext, kms_key=enc.kms_key, tenant_id=event.tenant_id, request_id=event.request_id
        )
        try:
            return samples.decode_content(text)
        except TelemetryFault:
            raise ContentTampered("what is under the tenant's key is no sample's content") from None
