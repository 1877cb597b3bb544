"""Debian's Chromium, and a person before it: whatever a page does that it must not is a problem at the end.

Problems are what the browser's console warns of (refusals by the content-security policy are told there),
errors of scripts, requests to any other host, refused requests, what axe finds in light and in dark, and
pages that are wider than a phone.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Download,
    Page,
    Request,
    Response,
    async_playwright,
    expect,
)

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WITHIN_MS: Final = 60_000
_DESK: Final = {"width": 1280, "height": 860}
_PHONE_WIDTH: Final = 360
_FRAMES: Final = 1_200
_STAYS: Final = "(each => { setInterval = (does, ms) => (ms < 60_000 ? each(does, ms) : 0); })(setInterval)"
"""No page loads itself anew: that would come in the middle of what is looked at."""
_CLOCK_STANDS: Final = "(now => { Date.now = () => now; })(Date.now())"
_ALL_RULES: Final = {"resultTypes": ["violations"]}
_OF_COLOURS: Final = {**_ALL_RULES, "runOnly": ["color-contrast", "link-in-text-block"]}
_SCHEMES: Final[tuple[tuple[Literal["light", "dark"], dict[str, Any]], ...]] = (
    ("light", _ALL_RULES),
    ("dark", _OF_COLOURS),  # what a page in other colours can break
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser, closed at the end of the block."""
    path = shutil.which("chromium")
    assert path is not None, "there is no chromium: scripts/install-chromium"
    expect.set_options(timeout=WITHIN_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Person:
    """Somebody before a page of the console."""

    page: Page
    origin: str
    shots: Path | None = None
    """Where pictures go; without it none are taken."""
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen to all that the page does."""
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    async def goto(self, path: str) -> None:
        """Type an address."""
        await self.page.goto(path if path.startswith("http") else f"{self.origin}{path}")

    async def sign_in(self, key: str) -> None:
        """On the page that asks for the key."""
        await self.page.get_by_label("Key", exact=True).fill(key)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(lambda url: "/login" not in url)

    async def lead_to(self, key: str) -> None:
        """Press `g` and the key of a place, one right after the other by the page's clock."""
        await self.page.wait_for_load_state()
        await self.page.evaluate(_CLOCK_STANDS)
        await self.page.keyboard.press("g")
        await self.page.keyboard.press(key)

    async def look(self) -> None:
        """See that anybody can use this page: in light, in dark, on a phone, and without trouble."""
        await self.page.wait_for_load_state()
        axe, where = Axe(), self.page.url.removeprefix(self.origin)
        for scheme, rules in _SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            found = await axe.run(self.page, options=rules)
            self.problems += [
                f"axe, {scheme}: {where}: {told}" for told in map(_told_of, found.response["violations"])
            ]
        await self.page.emulate_media(color_scheme="light")
        await self.page.set_viewport_size({"width": _PHONE_WIDTH, "height": 740})
        if (width := await self._narrowed()) > _PHONE_WIDTH:
            self.problems.append(f"phone: {where} is {width} px wide")
        await self.page.set_viewport_size(_DESK)  # type: ignore[arg-type]  # as it is typed there
        self.check()

    def check(self) -> None:
        """See that nothing went wrong so far."""
        told, self.problems = list(dict.fromkeys(self.problems)), []
        assert not told, "\n".join(told)

    @contextmanager
    def refused(self, status: int) -> Iterator[None]:
        """A block in which some request is refused with this status, as is meant."""
        yield
        meant = [told for told in self.problems if str(status) in told]
        assert meant, f"nothing was refused with {status}"
        self.problems = [told for told in self.problems if told not in meant]

    async def shot(self, name: str) -> None:
        """A picture of what is seen now, where pictures are wanted."""
        if self.shots is not None:
            await self.page.screenshot(path=self.shots / f"{name}.png", animations="disabled")

    async def _narrowed(self) -> int:
        """The page's width, once its charts have followed the window, which they do a frame or some later."""
        width = 0
        for _ in range(_FRAMES):
            width = await self.page.evaluate("document.documentElement.scrollWidth")
            if width <= _PHONE_WIDTH:
                break
            await asyncio.sleep(0.05)
        return width

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"console: {message.type}: {message.text} at {self.page.url}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.problems.append(f"asked elsewhere: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"answered {response.status}: {response.url}")


NewPerson = Callable[..., AbstractAsyncContextManager[Person]]
"""`person` with its browser and console, for the options of another one."""


@asynccontextmanager
async def person(
    browser: Browser, origin: str, *, shots: Path | None = None, **options: Any
) -> AsyncIterator[Person]:
    """A person with a browser of its own: no cookie, no memory."""
    given: dict[str, Any] = {"viewport": _DESK, "color_scheme": "light", "timezone_id": "UTC", **options}
    context = await browser.new_context(**given)
    context.set_default_timeout(WITHIN_MS)
    await context.add_init_script(_STAYS)
    try:
        somebody = Person(await context.new_page(), origin, shots)
        yield somebody
        somebody.check()
    finally:
        await context.close()


def _told_of(violation: dict[str, Any]) -> str:
    nodes = "; ".join(str(node["html"])[:200] for node in violation["nodes"][:3])
    return f"{violation['id']} ({violation['impact']}), {len(violation['nodes'])} times: {nodes}"


async def cells_of(page: Page, caption: str) -> list[list[str]]:
    """What a table says, row by row, its foot too: texts as a person reads them, in one line each."""
    await page.wait_for_load_state()
    table = page.locator("table", has=page.locator("caption", has_text=caption))
    rows = await table.locator("tbody tr, tfoot tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, ' ').trim()))"
    )
    return [list(map(str, row)) for row in rows]


async def lines_of(download: Download) -> list[str]:
    """A file that was downloaded, line by line."""
    path = await download.path()
    return (await asyncio.to_thread(path.read_text)).splitlines(keepends=True)
