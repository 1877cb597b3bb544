"""Pages of an answer: as many as there may be, and no plan on a part of them."""

from collections.abc import Iterator
from typing import Final

from llmplatform.errors import PlatformFault

MAX_PAGES: Final = 1_000
"""A hundred thousand alarms, half a million series."""


class TooManyPages(PlatformFault):
    """There is more than is read; to go on would be to plan on half a picture."""

    code = "too_many_pages"


def pages(of: str) -> Iterator[int]:
    """A number for each page that is asked for. Raises TooManyPages where the last was not the end."""
    yield from range(MAX_PAGES)
    raise TooManyPages(f"{of}: more than {MAX_PAGES:,} pages")
