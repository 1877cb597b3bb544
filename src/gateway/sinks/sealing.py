"""Encrypts the samples of tenants with keys of their own, and hands them on to the stream's sink.

A sink in front of another one, so that a KMS that is down or slow keeps back the samples of those tenants
alone. Plaintext is in its queue, which is memory, and goes nowhere from there.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.sinks.kinesis import StreamRecord
from llmplatform.aws.envelope import ContentKeys, KeyUnavailable
from llmplatform.errors import TelemetryFault
from llmplatform.process.batching import BatchingSink, Limits, Receipt
from llmplatform.samples import UnsealedSample
from llmplatform.sinks import Sink

SEALING_LIMITS: Final = Limits(
    queued_items=10_000,
    queued_bytes=32 * 1024 * 1024,
    # Small batches, several at once: what waits for one tenant's key holds up few others.
    batch_items=20,
    batch_bytes=1024 * 1024,
    linger_s=0.1,
    in_flight=8,
    attempt_timeout_s=30.0,
)


class SealingSink(BatchingSink[UnsealedSample, UnsealedSample]):
    """Takes unsealed samples; `stream` takes what becomes of them, with the content encrypted.

    Where a tenant's key cannot be used for good, the event goes on without content and says so: evaluation
    counts it. While KMS fails, samples wait, and are dropped when all tries are used up.
    """

    def __init__(
        self,
        keys: ContentKeys,
        stream: Sink[StreamRecord],
        *,
        limits: Limits = SEALING_LIMITS,
        name: str = "sealing",
    ) -> None:
        super().__init__(name, limits)
        self._keys = keys
        self._stream = stream

    def _encode(self, item: UnsealedSample) -> tuple[UnsealedSample, int]:
        return item, len(item.content)

    async def _deliver(self, batch: Sequence[UnsealedSample]) -> Receipt[UnsealedSample]:
        sealed = await asyncio.gather(*map(self._sealed, batch))
        waiting = []
        for sample, data in zip(batch, sealed, strict=True):
            if data is None:
                waiting.append(sample)
            else:
                self._stream.accept(StreamRecord(sample.event.request_id, data))
        return Receipt(retry=waiting)

    async def _sealed(self, sample: UnsealedSample) -> bytes | None:
        """The event as it goes on, or None while KMS does not work."""
        event = sample.event
        try:
            key_arn = await self._keys.arn(sample.kms_key)
            ciphertext = await self._keys.seal(
                sample.content, kms_key=key_arn, tenant_id=event.tenant_id, request_id=event.request_id
            )
        except KeyUnavailable:
            return sample.without_key()
        except TelemetryFault as fault:
            self._note_failure(fault)
            return None
        return sample.sealed(key_arn, ciphertext)
