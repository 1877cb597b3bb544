"""What the console's pages say of an alarm, to a person who reads them. Fetching is `console`'s. Pure."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote

_TAGS: Final = re.compile(r"<[^>]+>")
_BLANKS: Final = re.compile(r"\s+")
_RINGING: Final = re.compile(r'<section class="ringing".*?</section>', re.DOTALL)
_ITEM: Final = re.compile(r"<li>.*?</li>", re.DOTALL)
_ROW: Final = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_FACTS: Final = re.compile(r'<dl class="facts">.*?</dl>', re.DOTALL)


def ringing_line(html: str, alarm: str) -> str | None:
    """What the overview's ringing part says of an alarm; None where it is not in it."""
    part = _RINGING.search(html)
    items = _ITEM.findall(part[0]) if part else []
    return next((text_of(item) for item in items if _leads_to(item, alarm)), None)


def table_line(html: str, alarm: str) -> str | None:
    """What the table of alarms says of it; None where it is not in it."""
    return next((text_of(row) for row in _ROW.findall(html) if _leads_to(row, alarm)), None)


def facts_line(html: str) -> str | None:
    """State, since when and about what, as an alarm's own page says; None for another page."""
    facts = _FACTS.search(html)
    return text_of(facts[0]) if facts else None


def links_in(html: str, *, under: str) -> tuple[str, ...]:
    """Where the links with the class `under` lead."""
    reader = _Links(under)
    reader.feed(html)
    return tuple(reader.found)


def text_of(html: str) -> str:
    """Its words, in one line."""
    return _BLANKS.sub(" ", unescape(_TAGS.sub(" ", html))).strip()


def path_of(alarm: str) -> str:
    """The path of an alarm's own page."""
    return f"/alarms/{quote(alarm, safe='')}"


def _leads_to(html: str, alarm: str) -> bool:
    text = unescape(html)
    return any(f'href="{path}"' in text for path in (path_of(alarm), f"/alarms/{alarm}"))


class _Links(HTMLParser):
    def __init__(self, under: str) -> None:
        super().__init__()
        self._under = under
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what is wanted."""
        named = dict(attrs)
        if tag == "a" and self._under in (named.get("class") or "").split() and (to := named.get("href")):
            self.found.append(to)
