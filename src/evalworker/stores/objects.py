"""Objects in the bucket of the history: listed, read, written, deleted; S3's faults become ours.

What is in them, and where they lie, is told by the rooms that write them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from evalworker.stores.faults import StoreUnavailable
from llmplatform.aws.refusals import error_code

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_s3 import S3Client

KEYS_PER_DELETE: Final = 1_000

# What an SDK's client raises when a call, or the reading of its answer, did not come to an end.
_FAILURES: Final = (ClientError, BotoCoreError, aiohttp.ClientError, OSError)

# What S3 hands on of KMS that says nothing about the key: content is not to be given up for it.
_KMS_PASSES: Final = frozenset(
    {
        "KMS.DependencyTimeoutException",
        "KMS.KeyUnavailableException",
        "KMS.KMSInternalException",
        "KMS.ThrottlingException",
    }
)


class KeyRefused(StoreUnavailable):
    """S3 may not use the KMS key of an object for us, or denies us the object: it does not say which."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing names it."""

    key: str
    size_bytes: int
    modified_at: datetime

    @property
    def folder(self) -> str:
        """The key up to its last slash, with it."""
        return self.key[: self.key.rindex("/") + 1]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What an object holds, and the KMS key that it lies under, if it has one of its own."""

    data: bytes = field(repr=False)
    kms_key: str | None


class Objects:
    """A bucket behind an SDK's client. Raises StoreUnavailable."""

    def __init__(self, s3: "S3Client", bucket: str | Callable[[], Awaitable[str]]) -> None:
        """`bucket` may be asked for at the first use: who tells our account's may not answer yet."""
        self._s3 = s3
        self._bucket = bucket

    async def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        """All objects whose keys begin so, in order of their keys."""
        try:
            bucket = await self._name()
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            async for page in pages:
                for entry in page.get("Contents", ()):
                    yield ListedObject(entry["Key"], entry["Size"], entry["LastModified"])
        except _FAILURES as error:
            _fail("ListObjectsV2", error)

    async def get(self, key: str) -> StoredObject | None:
        """An object, or None where there is none (any more)."""
        try:
            answer = await self._s3.get_object(Bucket=await self._name(), Key=key)
            data = await answer["Body"].read()
        except _FAILURES as error:
            if error_code(error) == "NoSuchKey":
                return None
            _fail("GetObject", error)
        return StoredObject(data, answer.get("SSEKMSKeyId"))

    async def put(self, key: str, data: bytes, *, content_type: str, kms_key: str | None = None) -> None:
        """Write an object, under `kms_key` or else as the bucket has it by default."""
        encryption: Any = {}
        if kms_key is not None:
            # With a bucket key KMS is asked now and then, not for each object.
            encryption = {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": kms_key,
                "BucketKeyEnabled": True,
            }
        try:
            await self._s3.put_object(
                Bucket=await self._name(), Key=key, Body=data, ContentType=content_type, **encryption
            )
        except _FAILURES as error:
            _fail("PutObject", error)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is deleted already."""
        for at in range(0, len(keys), KEYS_PER_DELETE):
            chunk = keys[at : at + KEYS_PER_DELETE]
            try:
                answer = await self._s3.delete_objects(
                    Bucket=await self._name(),
                    Delete={"Objects": [{"Key": key} for key in chunk], "Quiet": True},
                )
            except _FAILURES as error:
                _fail("DeleteObjects", error)
            if answer.get("Errors"):
                raise StoreUnavailable("S3 DeleteObjects left objects undeleted")

    async def _name(self) -> str:
        if not isinstance(self._bucket, str):
            self._bucket = await self._bucket()
        return self._bucket


def _fail(operation: str, error: Exception) -> NoReturn:
    """Raise our fault for S3's, whose own words name keys, roles and accounts."""
    code = error_code(error)
    of_the_key = code == "AccessDenied" or (code.startswith("KMS.") and code not in _KMS_PASSES)
    kind = KeyRefused if of_the_key else StoreUnavailable
    raise kind(f"S3 {operation} failed: {code or type(error).__name__}") from None
