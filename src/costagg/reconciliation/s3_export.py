"""A month of the bill's export, brought from S3 to a folder: the files that its manifest names.

The manifest comes last, when all of the month's files are there. AWS writes the month anew every day and puts
the files in each other's place: one that changes while it is read is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from costagg.reconciliation.charges import BillFault
from llmplatform.aws.refusals import error_code
from llmplatform.bill_export import data_prefix, manifest_key
from llmplatform.redaction import describe_fault

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_s3 import S3Client

SCHEME: Final = "s3://"


@dataclass(frozen=True, slots=True)
class ExportAddress:
    """Where an export is delivered."""

    bucket: str
    folder: str
    """Its prefix and its name, without a slash at the end."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address that `s3://bucket/prefix/name` spells. Raises BillFault."""
        parts = urlsplit(url)
        folder = parts.path.strip("/")
        if parts.scheme != "s3" or not parts.netloc or not folder or parts.query or parts.fragment:
            raise BillFault(
                f"{url}: name an export as s3://BUCKET/PREFIX/NAME, with the export's own name last"
            )
        return cls(parts.netloc, folder)

    def of(self, key: str) -> str:
        """An object in full."""
        return f"{SCHEME}{self.bucket}/{key}"


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    files: tuple[str, ...] = Field(alias="dataFiles", min_length=1)


async def fetch(s3: "S3Client", export: ExportAddress, month: date, into: Path) -> tuple[Path, ...]:
    """The month's files, whole, in a folder that is there. Raises BillFault that says what is wrong."""
    try:
        return await _fetch(s3, export, month, into)
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        raise BillFault(f"{export.of(export.folder)}: S3 does not answer: {describe_fault(error)}") from error


async def _fetch(s3: "S3Client", export: ExportAddress, month: date, into: Path) -> tuple[Path, ...]:
    key = manifest_key(export.folder, month)
    version, manifest = await _manifest(s3, export, key)
    keys = _keys(export, month, manifest)
    fetched = [
        await _file(s3, export, file, into / f"{at:05}-{file.rpartition('/')[2]}")
        for at, file in enumerate(keys)
    ]
    if (await _manifest(s3, export, key))[0] != version:
        raise BillFault(f"{export.of(key)}: AWS delivered the month anew while it was read; run it again")
    return tuple(fetched)


async def _manifest(s3: "S3Client", export: ExportAddress, key: str) -> tuple[str, _Manifest]:
    """A manifest and its ETag."""
    try:
        answer = await s3.get_object(Bucket=export.bucket, Key=key)
    except ClientError as error:
        raise BillFault(
            f"{export.of(key)}: {error_code(error)}; an export's first delivery takes up to a day, and "
            "it has no month from before it was made"
        ) from error
    async with answer["Body"] as body:
        text = await body.read()
    try:
        return answer["ETag"], _Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BillFault(f"{export.of(key)}: is no manifest of an export that has files") from error


def _keys(export: ExportAddress, month: date, manifest: _Manifest) -> Iterable[str]:
    """The keys of its files, which the manifest spells in full, and which are the month's own."""
    own = data_prefix(export.folder, month)
    keys = [file.removeprefix(export.of("")) for file in manifest.files]
    strange = next((key for key in keys if not key.startswith(own)), None)
    if strange is not None:
        raise BillFault(f"the manifest names {strange}, which is not below {export.of(own)}")
    return keys


async def _file(s3: "S3Client", export: ExportAddress, key: str, path: Path) -> Path:
    try:
        await s3.download_file(export.bucket, key, str(path))
    except ClientError as error:
        raise BillFault(f"{export.of(key)}: {error_code(error)}, though the manifest names it") from error
    return path
