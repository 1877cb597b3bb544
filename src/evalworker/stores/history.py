"""The history: every scored sample in S3, as Parquet under `history/date=/tenant=/model=`.

One file for each batch and folder, named for what is in it, so that a batch that comes again writes the same
file again. `compaction` makes large ones of them; a reader drops what is there twice (`history_reader`).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC
from typing import Final

from evalworker.stores.history_rows import CONTENT_TYPE, HistoryRow, encode_rows, object_name
from evalworker.stores.objects import KeyRefused, Objects

__all__ = ["HistoryRow", "HistoryWriter"]

logger = logging.getLogger(__name__)

PUTS_IN_FLIGHT: Final = 8


class HistoryWriter:
    """Writes rows; safe to use from many tasks."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._in_flight = asyncio.Semaphore(PUTS_IN_FLIGHT)

    async def write(self, rows: Sequence[HistoryRow]) -> None:
        """Write rows; returns when all are there. Raises StoreUnavailable where some are not."""
        files: dict[tuple[str, str | None], list[HistoryRow]] = defaultdict(list)
        for row in rows:
            files[row.folder, row.kms_key].append(row)
        outcomes = await asyncio.gather(
            *(self._write_file(folder, kms_key, rows) for (folder, kms_key), rows in files.items()),
            return_exceptions=True,  # what can be written is, whatever befalls the others
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _write_file(self, folder: str, kms_key: str | None, rows: Sequence[HistoryRow]) -> None:
        began = min(row.result.event_at for row in rows).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        key = folder + object_name(began, [row.identity for row in rows])
        async with self._in_flight:
            try:
                await self._put(key, rows, kms_key)
            except KeyRefused as fault:
                if kms_key is None:
                    raise
                # The tenant took its key away from us, or our right to write is gone. If this works, it was
                # the key: nobody can read what is under it, and its tenant holds up no one else's shard.
                await self._put(key, [row.without_content for row in rows], None)
                logger.warning("history without content: %s", fault)

    async def _put(self, key: str, rows: Sequence[HistoryRow], kms_key: str | None) -> None:
        data = await asyncio.to_thread(encode_rows, rows)
        await self._objects.put(key, data, content_type=CONTENT_TYPE, kms_key=kms_key)
