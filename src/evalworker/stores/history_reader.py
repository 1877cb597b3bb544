"""The history read back: the samples of some days, each once, so that they can be judged again.

Files are read one at a time, and of each some rows at a time. Compaction may replace files meanwhile: a
folder is listed again until nothing in it is unread, and a request that was seen in it is not given twice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Final

from evalworker.stores.history_rows import events_of, folder, open_rows
from evalworker.stores.objects import KeyRefused, ListedObject, Objects
from llmplatform.samples import SampleEvent

logger = logging.getLogger(__name__)

EVENTS_PER_STEP: Final = 256


async def folders(objects: Objects, prefix: str) -> AsyncIterator[list[ListedObject]]:
    """The objects below a prefix, a folder at a time."""
    listed: list[ListedObject] = []
    async for one in objects.list(prefix):
        if listed and listed[0].folder != one.folder:
            yield listed
            listed = []
        listed.append(one)
    if listed:
        yield listed


async def read_events(
    objects: Objects, first: date, last: date, *, tenant_id: str | None = None
) -> AsyncIterator[SampleEvent]:
    """The samples of requests completed on these days (UTC), both included; content as it is stored.

    What lies under a key that is gone is left out, with a line in the log. Raises StoreUnavailable, and
    TelemetryFault for a file whose rows are no samples.
    """
    for offset in range((last - first).days + 1):
        async for listed in folders(objects, folder(first + timedelta(days=offset), tenant_id)):
            async for event in _read_folder(objects, listed):
                yield event


async def _read_folder(objects: Objects, listed: list[ListedObject]) -> AsyncIterator[SampleEvent]:
    given: set[str] = set()
    read: set[str] = set()
    while unread := [one.key for one in listed if one.key not in read]:
        vanished = False
        for key in unread:
            read.add(key)
            try:
                stored = await objects.get(key)
            except KeyRefused as fault:
                logger.warning("a file of the history was left out: %s", fault)
                continue
            if stored is None:
                vanished = True
                continue
            async for event in _read_file(stored.data):
                if event.request_id not in given:
                    given.add(event.request_id)
                    yield event
        if vanished:  # into a larger one
            listed = [one async for one in objects.list(listed[0].folder)]


async def _read_file(data: bytes) -> AsyncIterator[SampleEvent]:
    """The samples in a file, decoded off the event loop."""
    file = await asyncio.to_thread(open_rows, data)
    if file is None:
        logger.warning("a file of the history was left out: it has another schema")
        return
    events = events_of(file)
    while some := await asyncio.to_thread(_next_of, events):
        for event in some:
            yield event


def _next_of(events: Iterator[SampleEvent]) -> list[SampleEvent]:
    return list(islice(events, EVENTS_PER_STEP))
