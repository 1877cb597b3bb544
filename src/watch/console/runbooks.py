"""The runbooks as the console shows them: the Markdown of `docs/runbooks`, as HTML without any of its own.

In a wheel they lie beside this package. A page is written for any tenant or endpoint; read from an alarm, its
links lead to the one that the alarm is about.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from markdown_it import MarkdownIt
from markupsafe import Markup

_PACKAGED: Final = Path(__file__).parents[1] / "runbooks"
_CHECKOUT: Final = Path(__file__).parents[3] / "docs" / "runbooks"
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_INDEX: Final = "README"
_TO_PAGE: Final = re.compile(r"\]\((?:\./)?([a-z0-9-]+)\.md(#[^)\s]*)?\)")
_CONSOLE_PATH: Final = re.compile(
    r"<code>(/(?:tenants|endpoints|models|requests|traces|evaluations|cost|alarms|platform)(?:[/?][^<{}\s]*)?)</code>"
)
"""What is written as a path of the console and has no placeholder left in it."""
_TO_REPOSITORY: Final = re.compile(r"\[([^\]]+)\]\((?:\.\./|\./)[^)]*\)")


def runbook(name: str | None, about: Mapping[str, str]) -> Markup | None:
    """A page, by default the index, its placeholders (`{tenant}`) filled; None if there is none."""
    if name is not None and _NAME.fullmatch(name) is None:
        return None
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    try:
        text = (folder / f"{name or _INDEX}.md").read_text(encoding="utf-8")
    except OSError:
        return None
    text = _TO_PAGE.sub(r"](/runbooks/\1\2)", text)
    text = _TO_REPOSITORY.sub(r"\1", text)
    for placeholder, value in about.items():
        text = text.replace(f"{{{placeholder}}}", quote(value, safe=""))
    html = _CONSOLE_PATH.sub(r'<a href="\1"><code>\1</code></a>', _markdown.render(text))
    return Markup(html)  # noqa: S704  # rendered with HTML off: what looks like it is text


def _made_markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


_markdown: Final = _made_markdown()
