"""Compaction of the history: of many small files a few large ones, without what is there twice.

Safe without a manifest, at any time, twice at once. The files that one takes together are deleted only after
what replaces them, named for what went into it, was read back as written: whenever it is cut off, each row
lies in some file. Rows are compared within what is taken together; a reader drops what is twice elsewhere.
Content under a tenant's key stays as it is, and files under different keys are never put together.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from evalworker.stores.faults import StoreUnavailable
from evalworker.stores.history_reader import folders
from evalworker.stores.history_rows import CONTENT_TYPE, encode_table, folder, object_name, open_rows
from evalworker.stores.objects import KeyRefused, ListedObject, Objects, StoredObject

logger = logging.getLogger(__name__)

# The youngest files are left alone: their batches may still come again.
MIN_AGE: Final = timedelta(minutes=10)
GETS_IN_FLIGHT: Final = 16

_IDENTITY: Final = ("request_id", "judge_identity")
# First judged is first; of two that are otherwise the same, the one that has content.
_ORDER: Final = ("completed_at", *_IDENTITY, "judged_at", "content_withheld")


@dataclass(frozen=True, slots=True)
class FileSizes:
    """What a file is meant to be; a file in the making is in memory about three times."""

    target_bytes: int = 64 * 1024 * 1024
    """A file of this size is done. What is made of smaller ones is smaller than twice that."""
    decoded_bytes: int = 256 * 1024 * 1024
    """No more is taken together than this, as it is in memory."""
    files: int = 2_000
    """Nor more files, since each costs memory of its own."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """Files that became one: one step of a compaction."""

    folder: str
    files: int
    bytes_before: int
    bytes_after: int
    rows: int
    duplicates: int


@dataclass(slots=True)
class _Together:
    """Files under one key, on their way to be one."""

    names: list[str] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    stored_bytes: int = 0
    decoded_bytes: int = 0

    def add(self, one: ListedObject, table: pa.Table) -> None:
        self.names.append(one.key)
        self.tables.append(table)
        self.stored_bytes += one.size_bytes
        self.decoded_bytes += table.nbytes

    def is_full(self, sizes: FileSizes) -> bool:
        return (
            self.stored_bytes >= sizes.target_bytes
            or self.decoded_bytes >= sizes.decoded_bytes
            or len(self.names) >= sizes.files
        )


async def compact(
    objects: Objects,
    first: date,
    last: date,
    *,
    written_before: datetime,
    sizes: FileSizes | None = None,
    progress: Callable[[Replaced], None] = lambda _: None,
) -> None:
    """Compact the days (UTC) from `first` to `last`, both included.

    Takes files written before a moment, `MIN_AGE` ago say. Tells `progress` of every file that it made. What
    it may not or cannot read stays as it is. Raises StoreUnavailable; it may then be run again.
    """
    sizes = sizes or FileSizes()
    for offset in range((last - first).days + 1):
        async for listed in folders(objects, folder(first + timedelta(days=offset))):
            small = [
                one
                for one in listed
                if one.size_bytes < sizes.target_bytes and one.modified_at < written_before
            ]
            if len(small) < 2:  # noqa: PLR2004  # one alone is as good as it gets
                continue
            async for kms_key, together in _taken_together(objects, small, sizes):
                progress(await _replace(objects, listed[0].folder, together, kms_key))


async def _taken_together(
    objects: Objects, small: Sequence[ListedObject], sizes: FileSizes
) -> AsyncIterator[tuple[str | None, _Together]]:
    """Files that are to become one, two or more, from the earliest on."""
    by_key: dict[str | None, _Together] = {}
    for some in _portions(small, sizes.target_bytes):
        contents = await asyncio.gather(*(_read(objects, one) for one in some))
        for one, stored in zip(some, contents, strict=True):
            table = None if stored is None else await asyncio.to_thread(_table_of, stored.data)
            if stored is None or table is None:
                continue
            together = by_key.setdefault(stored.kms_key, _Together())
            together.add(one, table)
            if together.is_full(sizes):
                del by_key[stored.kms_key]
                if len(together.names) > 1:
                    yield stored.kms_key, together
    for kms_key, together in by_key.items():
        if len(together.names) > 1:
            yield kms_key, together


def _portions(small: Sequence[ListedObject], most_bytes: int) -> Iterator[list[ListedObject]]:
    """Files to be fetched at once, in order."""
    portion: list[ListedObject] = []
    portion_bytes = 0
    for one in small:
        if portion and (len(portion) == GETS_IN_FLIGHT or portion_bytes + one.size_bytes > most_bytes):
            yield portion
            portion, portion_bytes = [], 0
        portion.append(one)
        portion_bytes += one.size_bytes
    if portion:
        yield portion


async def _read(objects: Objects, one: ListedObject) -> StoredObject | None:
    """What a file holds; None where another compaction was here, or its key is gone."""
    try:
        return await objects.get(one.key)
    except KeyRefused as fault:
        logger.warning("a file of the history was left as it is: %s", fault)
        return None


def _table_of(data: bytes) -> pa.Table | None:
    """The rows of a file; None where it is of another schema, and so not ours to rewrite."""
    file = open_rows(data)
    return None if file is None else file.read()


async def _replace(objects: Objects, at: str, together: _Together, kms_key: str | None) -> Replaced:
    """Write the one file, see that it is there, delete those that it replaces."""
    names, bytes_before = together.names, together.stored_bytes
    rows_before = sum(table.num_rows for table in together.tables)
    began, data, rows = await asyncio.to_thread(_merged, together.tables)
    key = at + object_name(began, names)
    await objects.put(key, data, content_type=CONTENT_TYPE, kms_key=kms_key)
    stored = await objects.get(key)
    if stored is None or stored.data != data:
        raise StoreUnavailable("a compacted file was not read back as it was written")
    await objects.delete(names)
    return Replaced(at, len(names), bytes_before, len(data), rows, rows_before - rows)


def _merged(tables: list[pa.Table]) -> tuple[str, bytes, int]:
    """One file of several tables: its first moment, its bytes, its rows. Empties the list as it goes."""
    table = pa.concat_tables(tables)
    tables.clear()
    keys = table.select(_ORDER).combine_chunks()
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending", "at_start") for name in _ORDER])
    ordered = keys.take(order)
    again = _equals_the_one_before(ordered)
    order = order.filter(pc.invert(again))
    merged = table.take(order)
    del table
    began: datetime = ordered["completed_at"][0].as_py()
    return f"{began.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}", encode_table(merged), merged.num_rows


def _equals_the_one_before(ordered: pa.Table) -> pa.Array:
    """Whether each row has the identity of the row before it."""
    same = pa.array([True] * (ordered.num_rows - 1), pa.bool_())
    for name in _IDENTITY:
        values = ordered[name].combine_chunks()
        same = pc.and_(same, pc.equal(values.slice(1), values.slice(0, ordered.num_rows - 1)))
    return pa.concat_arrays([pa.array([False]), same])
