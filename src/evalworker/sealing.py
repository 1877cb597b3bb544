"""What was said, opened for the judge and sealed again for the stores, as the tenant's policy has it."""

import base64
import binascii

import msgspec

from llmplatform import samples
from llmplatform.aws.envelope import ContentKeys, ContentTampered
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import MAX_STORED_CONTENT_BYTES, EvalContent, encode_content
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.samples import Envelope, SampleContent, SampleEvent


class Sealing:
    """Content under tenants' keys. Raises KeyUnavailable, KeyServiceFailed or ContentTampered."""

    def __init__(self, keys: ContentKeys) -> None:
        self._keys = keys

    async def opened(self, event: SampleEvent, policy: TenantPolicy) -> EvalContent:
        """What a sample says, as far as the tenant's present policy lets it be seen."""
        said = samples.held_to(await self._said(event), policy)
        return EvalContent(
            prompt=said.prompt or "",
            prompt_truncated=said.prompt_truncated,
            completion=said.completion or "",
            completion_truncated=said.completion_truncated,
            reference=said.reference,
            reference_truncated=said.reference_truncated,
            contexts=said.contexts,
            contexts_truncated=said.contexts_truncated,
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
        """A sample as it is kept: no more than the policy allows by now, under the key if there is one."""
        if event.enc is not None and policy.content_mode is ContentMode.FULL:
            return event
        said = await self._said(event)
        kept = samples.held_to(said, policy)
        if event.enc is not None and kept == said:
            return event
        kms_key = policy.kms_key or (None if event.enc is None else event.enc.kms_key)
        if kms_key is None:
            return samples.with_content(event, kept)
        bare, _ = samples.split_content(event)
        text = samples.encode_content(kept)
        envelope = await self._envelope(text, kms_key, event.tenant_id, event.request_id)
        return msgspec.structs.replace(bare, enc=envelope)

    async def _envelope(self, text: bytes, kms_key: str, tenant_id: str, request_id: str) -> Envelope:
        sealed = await self._keys.seal(text, kms_key=kms_key, tenant_id=tenant_id, request_id=request_id)
        return Envelope(await self._keys.arn(kms_key), base64.b64encode(sealed).decode())

    async def _said(self, event: SampleEvent) -> SampleContent:
        if event.enc is None:
            return samples.split_content(event)[1]
        try:
            ciphertext = base64.b64decode(event.enc.ciphertext, validate=True)
        except binascii.Error:
            raise ContentTampered("the content is not base64") from None
        text = await self._keys.open(
            ciphertext, kms_key=event.enc.kms_key, tenant_id=event.tenant_id, request_id=event.request_id
        )
        try:
            return samples.decode_content(text)
        except TelemetryFault:
            raise ContentTampered("what is under the tenant's key is no sample's content") from None
