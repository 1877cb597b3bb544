"""Content under a tenant's own key: sealed and opened with the AWS Encryption SDK, data keys cached.

A sealed text is one message of the SDK. Its encryption context, in the clear and authenticated, names
tenant and request. KMS is asked with the tenant alone, so that one data key serves many requests: the
SDK's cache goes by context, and a context of one request would never be found in it (decision 0014).
What is not here: what is inside a text, and where sealed ones are stored.
"""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import botocore.session
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient
from aws_encryption_sdk.caches.local import LocalCryptoMaterialsCache
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError, DecryptKeyError, GenerateKeyError
from aws_encryption_sdk.identifiers import Algorithm
from aws_encryption_sdk.key_providers.kms import KMSMasterKey
from aws_encryption_sdk.materials_managers import (
    DecryptionMaterials,
    DecryptionMaterialsRequest,
    EncryptionMaterials,
    EncryptionMaterialsRequest,
)
from aws_encryption_sdk.materials_managers.base import CryptoMaterialsManager
from aws_encryption_sdk.materials_managers.caching import CachingCryptoMaterialsManager
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidTag

from llmplatform.aws.refusals import error_code
from llmplatform.aws.sigv4 import Credentials
from llmplatform.clock import Clock, SystemClock
from llmplatform.errors import TelemetryFault
from llmplatform.process.thread import DaemonThread

ResultT = TypeVar("ResultT")

# It writes a traceback, with KMS's words in it, for each failure that is handled here.
logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL)

# Committing, and unsigned: a signature tells who sealed from who may only open, and here every process that
# opens may seal too. ECDSA would be most of the cost.
ALGORITHM: Final = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
# One frame a message: our texts are bounded, and each frame costs 32 bytes and a pass through the SDK.
FRAME_BYTES: Final = 1024 * 1024
OVERHEAD_BYTES: Final = 8 * 1024
"""More than a sealed text is ever longer than the text: KMS's encrypted data keys are at most 6,144 bytes."""

# A call to KMS ends: at worst two tries of three seconds, and a pause. Who has to wait can try again later.
CONNECT_TIMEOUT_S: Final = 1
READ_TIMEOUT_S: Final = 2
TOTAL_ATTEMPTS: Final = 2
THREADS: Final = 4

TENANT: Final = "tenant_id"
REQUEST: Final = "request_id"

# What KMS says of a key that cannot be used however often it is asked.
_UNAVAILABLE: Final = frozenset(
    {
        "AccessDeniedException",
        "DisabledException",
        "InvalidArnException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",  # pending deletion or import
        "NotFoundException",
        "ValidationException",
    }
)
_TAMPERED: Final = frozenset({"IncorrectKeyException", "InvalidCiphertextException"})


class KeyUnavailable(TelemetryFault):
    """The tenant's key is deleted, disabled or denied to us: nothing under it can be sealed or opened."""

    code = "key_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the tenant's key cannot be used: {reason}")
        self.reason = reason
        """KMS's own name of it."""


class KeyServiceFailed(TelemetryFault):
    """KMS did not answer or was overloaded; the same call may succeed later."""

    code = "key_service_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"KMS failed: {reason}")
        self.reason = reason


class ContentTampered(TelemetryFault):
    """Not a text that we sealed for this tenant and request under this key."""

    code = "content_tampered"


@dataclass(frozen=True, slots=True)
class DataKeyLimits:
    """How long and for how much one data key serves, and how long a key's failure is remembered."""

    max_age_s: float = 300.0
    """As long, after a tenant's key is gone, a running process can go on with the data keys that it holds."""
    max_messages: int = 10_000
    max_bytes: int = 1024**3
    entries: int = 1_000
    unavailable_for_s: float = 30.0
    failed_for_s: float = 2.0
    """Both spare KMS, and whoever waits for it, a call for each text while a key does not work."""


class ContentKeys:
    """Seals and opens texts under tenants' keys; safe to use from many tasks.

    A tenant's key is named by ARN, id or alias. The work runs on threads, never on the event loop; all that
    concerns one key runs on the same one, so that an expired data key is asked for once. Without
    `credentials` the SDK's own chain finds them. Raises KeyUnavailable, KeyServiceFailed or ContentTampered.
    """

    def __init__(
        self,
        *,
        region: str,
        endpoint_url: str | None = None,
        credentials: Credentials | None = None,
        limits: DataKeyLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        session = botocore.session.Session()
        if credentials is not None:
            session.set_credentials(credentials.access_key, credentials.secret_key, credentials.token)
        self._kms: Any = session.create_client(
            "kms",
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "total_max_attempts": TOTAL_ATTEMPTS},
            ),
        )
        self._limits = limits or DataKeyLimits()
        self._clock = clock or SystemClock()
        self._sdk = EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, max_encrypted_data_keys=1
        )
        self._data_keys = LocalCryptoMaterialsCache(self._limits.entries)
        self._materials: dict[str, _MaterialsOfTenant] = {}
        self._arns: dict[str, tuple[str, float]] = {}
        self._failures: dict[str, tuple[KeyUnavailable | KeyServiceFailed, float]] = {}
        self._threads = [DaemonThread(f"content-keys-{number}") for number in range(THREADS)]

    async def seal(self, plaintext: bytes, *, kms_key: str, tenant_id: str, request_id: str) -> bytes:
        """The text, readable only with the tenant's key and only as this tenant's and request's."""
        context = {TENANT: tenant_id, REQUEST: request_id}
        return await self._with_key(kms_key, lambda arn: self._seal(plaintext, arn, context))

    async def open(self, ciphertext: bytes, *, kms_key: str, tenant_id: str, request_id: str) -> bytes:
        """The text that `seal` was given, if key, tenant and request are the ones it was sealed for."""
        context = {TENANT: tenant_id, REQUEST: request_id}
        return await self._with_key(kms_key, lambda arn: self._open(ciphertext, arn, context))

    async def arn(self, kms_key: str) -> str:
        """The ARN of the key that an id or an alias stands for now; what is stored names its key by it."""
        return kms_key if _is_key_arn(kms_key) else await self._with_key(kms_key, lambda arn: arn)

    def close(self) -> None:
        """End the threads after the work that they have."""
        for thread in self._threads:
            thread.stop()
        self._kms.close()

    # -- from here on, on a thread

    async def _with_key(self, kms_key: str, work: Callable[[str], ResultT]) -> ResultT:
        thread = self._threads[zlib.crc32(kms_key.encode()) % len(self._threads)]
        return await thread.run(lambda: self._guarded(kms_key, work))

    def _guarded(self, kms_key: str, work: Callable[[str], ResultT]) -> ResultT:
        """The result of `work` with the key's ARN; whatever fails becomes one of our three faults."""
        remembered = self._failures.get(kms_key)
        if remembered is not None and self._now() < remembered[1]:
            raise type(remembered[0])(remembered[0].reason)
        try:
            result = work(self._arn(kms_key))
        except (ClientError, BotoCoreError, GenerateKeyError) as error:
            fault = _fault_of(error)
            if not isinstance(fault, ContentTampered):
                self._remember(kms_key, fault)
            raise fault from None  # KMS's own words name roles and accounts
        except (AWSEncryptionSDKClientError, InvalidTag, ValueError):
            raise ContentTampered("sealed content is not what this key and context sealed") from None
        self._failures.pop(kms_key, None)
        return result

    def _remember(self, kms_key: str, fault: KeyUnavailable | KeyServiceFailed) -> None:
        limits = self._limits
        gone = isinstance(fault, KeyUnavailable)
        for_s = limits.unavailable_for_s if gone else limits.failed_for_s
        self._failures[kms_key] = (fault, self._now() + for_s)

    def _arn(self, kms_key: str) -> str:
        if _is_key_arn(kms_key):
            return kms_key
        known = self._arns.get(kms_key)
        if known is not None and self._now() < known[1]:
            return known[0]
        arn: str = self._kms.describe_key(KeyId=kms_key)["KeyMetadata"]["Arn"]
        # An alias may be given another key.
        self._arns[kms_key] = (arn, self._now() + self._limits.max_age_s)
        return arn

    def _seal(self, plaintext: bytes, arn: str, context: dict[str, str]) -> bytes:
        ciphertext: bytes
        ciphertext, _ = self._sdk.encrypt(
            source=plaintext,
            source_length=len(plaintext),
            materials_manager=self._materials_of(arn),
            encryption_context=context,
            algorithm=ALGORITHM,
            frame_length=FRAME_BYTES,
        )
        return ciphertext

    def _open(self, ciphertext: bytes, arn: str, context: dict[str, str]) -> bytes:
        plaintext: bytes
        plaintext, header = self._sdk.decrypt(source=ciphertext, materials_manager=self._materials_of(arn))
        if header.encryption_context != context:
            raise ContentTampered("sealed content is another tenant's or request's")
        return plaintext

    def _materials_of(self, arn: str) -> "_MaterialsOfTenant":
        if arn not in self._materials:
            limits = self._limits
            self._materials[arn] = _MaterialsOfTenant(
                CachingCryptoMaterialsManager(
                    master_key_provider=_TenantKey(key_id=arn, client=self._kms),
                    cache=self._data_keys,
                    partition_name=arn,
                    max_age=limits.max_age_s,
                    max_messages_encrypted=limits.max_messages,
                    max_bytes_encrypted=limits.max_bytes,
                )
            )
        return self._materials[arn]

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


class _MaterialsOfTenant(CryptoMaterialsManager):  # type: ignore[misc]  # the SDK ships no types
    """Asks for data keys with the tenant alone as context, and binds the request into the message's header.

    The header is authenticated with the data key, so neither part of the context can be changed.
    """

    def __init__(self, cached: CachingCryptoMaterialsManager) -> None:
        self._cached = cached

    def get_encryption_materials(self, request: Any) -> Any:
        """See CryptoMaterialsManager."""
        shared = self._cached.get_encryption_materials(
            EncryptionMaterialsRequest(
                encryption_context=_tenant_alone(request.encryption_context),
                frame_length=request.frame_length,
                commitment_policy=request.commitment_policy,
                algorithm=request.algorithm,
                plaintext_length=request.plaintext_length,
            )
        )
        return EncryptionMaterials(
            algorithm=shared.algorithm,
            data_encryption_key=shared.data_encryption_key,
            encrypted_data_keys=shared.encrypted_data_keys,
            encryption_context=request.encryption_context,
        )

    def decrypt_materials(self, request: Any) -> DecryptionMaterials:
        """See CryptoMaterialsManager."""
        return self._cached.decrypt_materials(
            DecryptionMaterialsRequest(
                algorithm=request.algorithm,
                encrypted_data_keys=request.encrypted_data_keys,
                encryption_context=_tenant_alone(request.encryption_context),
                commitment_policy=request.commitment_policy,
            )
        )


class _TenantKey(KMSMasterKey):  # type: ignore[misc]  # likewise
    """One KMS key and no other, which says why it could not decrypt.

    The SDK tries each encrypted data key in turn and drops the reasons; there is one, and its reason matters.
    """

    def _decrypt_data_key(
        self, encrypted_data_key: Any, algorithm: Any, encryption_context: Any = None
    ) -> Any:
        try:
            return super()._decrypt_data_key(encrypted_data_key, algorithm, encryption_context)
        except DecryptKeyError as error:
            if isinstance(error.__cause__, ClientError):
                raise error.__cause__ from None
            raise


def _is_key_arn(kms_key: str) -> bool:
    return kms_key.startswith("arn:") and ":key/" in kms_key


def _tenant_alone(context: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in context.items() if name == TENANT}


def _fault_of(error: Exception) -> KeyUnavailable | KeyServiceFailed | ContentTampered:
    code = error_code(error.__cause__ if isinstance(error, GenerateKeyError) else error)
    if code in _UNAVAILABLE:
        return KeyUnavailable(code)
    if code in _TAMPERED:
        return ContentTampered(f"sealed content is not this key's: {code}")
    return KeyServiceFailed(code or type(error).__name__)
