"""Asks the console's pages with the operator's key, as a person on call would open them."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Final

import httpx

from operator_cli.drill import pages
from operator_cli.drill.course import Heard, Shown

_POLL_S: Final = 2.0
_TIMEOUT: Final = httpx.Timeout(20.0)
_LINK: Final = re.compile(r"^(?:View|Runbook): (\S+)$", re.MULTILINE)


class Console:
    """The pages behind one address."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}", "accept": "text/html"},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def close(self) -> None:
        """Ask nothing more."""
        await self._http.aclose()

    async def ready(self, *, within_s: float) -> bool:
        """Whether it answers in time."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            if (await self._status("/alarms")) == httpx.codes.OK:
                return True
            await asyncio.sleep(_POLL_S)
        return False

    async def shows(self, alarm: str, *, within_s: float) -> Shown | None:
        """What it says of an alarm that rings, as soon as it says so; None when it does not in time."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            found = await self._line(alarm)
            if found is not None:
                line, url = found
                return await self._with_page(alarm, line, url)
            await asyncio.sleep(_POLL_S)
        return None

    async def dead_links(self, heard: Heard) -> tuple[str, ...]:
        """Links of a message that lead nowhere, each with what came instead."""
        found = []
        for link in _LINK.findall(heard.said.description):
            status = await self._status(link)
            if status != httpx.codes.OK:
                found.append(f"{link} ({status or 'no answer'})")
        return tuple(found)

    async def _line(self, alarm: str) -> tuple[str, str] | None:
        """The first page shows the worst few; who is not among them is in the table."""
        for path, read in (("/", pages.ringing_line), ("/alarms?state=ALARM", pages.table_line)):
            html = await self._html(path)
            line = None if html is None else read(html, alarm)
            if line is not None:
                return line, f"{self.url}{path}"
        return None

    async def _with_page(self, alarm: str, line: str, url: str) -> Shown:
        at = datetime.now(UTC)
        path = pages.path_of(alarm)
        html = await self._html(path) or ""
        dead = []
        for link in pages.links_in(html, under="button"):
            status = await self._status(link)
            if status != httpx.codes.OK:
                dead.append(f"{self.url}{link} ({status or 'no answer'})")
        facts = pages.facts_line(html)
        if facts is None:
            dead.append(f"{self.url}{path} (no page of an alarm)")
        return Shown(at, line, url, f"{self.url}{path}", facts or "", tuple(dead))

    async def _html(self, path: str) -> str | None:
        try:
            answer = await self._http.get(path)
        except httpx.HTTPError:
            return None
        return answer.text if answer.status_code == httpx.codes.OK else None

    async def _status(self, url: str) -> int | None:
        try:
            return (await self._http.get(url)).status_code
        except httpx.HTTPError:
            return None
