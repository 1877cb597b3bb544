"""What was said, as far as it may be shown: the tenant's present policy and our own permissions decide.

A tenant's own key is used with the permission that the reading process has, so KMS decides and its log tells
who read. Whose content a person may see is asked before.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from llmplatform.aws.envelope import ContentKeys, ContentTampered, KeyServiceFailed, KeyUnavailable
from llmplatform.errors import TelemetryFault
from llmplatform.evaluations import EvalContent, EvalResult, decode_content
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.samples import Envelope

NO_PERMISSION: Final = "under the tenant's key: not readable with your permissions"


Kind = Literal["policy", "nothing", "erased", "failed"]
"""`erased` is a key that is gone or going: what is under it cannot be read again."""

# What KMS says of a key that is deleted, or waits for it: erasure schedules the key's deletion.
_GONE: Final = frozenset({"KMSInvalidStateException", "NotFoundException"})


@dataclass(frozen=True, slots=True)
class Withheld:
    """Content is not shown, and why."""

    reason: str
    kind: Kind = field(default="failed", compare=False)


NOTHING_STORED: Final = Withheld("none is stored", "nothing")
Said = EvalContent | Withheld


def why_withheld(policy: TenantPolicy | None) -> str | None:
    """Why nothing that was said may be shown of a tenant, whatever is stored; None where it may."""
    if policy is None:
        return "the tenant is removed, or its policy does not parse"
    return "the tenant lets none be kept" if policy.content_mode is ContentMode.HASH_ONLY else None


class ContentReader:
    """Opens what is stored with results. A key's client is made when the first one is needed."""

    def __init__(self, open_keys: Callable[[], ContentKeys]) -> None:
        self._open_keys = open_keys
        self._keys: ContentKeys | None = None

    async def said(self, result: EvalResult, policy: TenantPolicy | None) -> Said:
        """What was said in a request, or why it is not told."""
        reason = why_withheld(policy)
        if reason is not None:
            return Withheld(reason, "policy")
        match result.content:
            case None:
                return NOTHING_STORED
            case EvalContent() as content:
                return content
            case Envelope() as sealed:
                return await self._opened(result, sealed)

    def close(self) -> None:
        """End the keys' threads, if there are any."""
        if self._keys is not None:
            self._keys.close()

    async def _opened(self, result: EvalResult, sealed: Envelope) -> Said:
        if self._keys is None:
            self._keys = self._open_keys()
        try:
            text = await self._keys.open(
                base64.b64decode(sealed.ciphertext, validate=True),
                kms_key=sealed.kms_key,
                tenant_id=result.tenant_id,
                request_id=result.request_id,
            )
            return decode_content(text)
        except KeyUnavailable as fault:
            if fault.reason == "AccessDeniedException":
                return Withheld(NO_PERMISSION)
            kind: Kind = "erased" if fault.reason in _GONE else "failed"
            return Withheld(f"under the tenant's key, which cannot be used: {fault.reason}", kind)
        except KeyServiceFailed as fault:
            return Withheld(f"under the tenant's key, and KMS does not answer: {fault.reason}")
        except (ContentTampered, TelemetryFault, binascii.Error):
            return Withheld("what is stored is not what was sealed for this request")
