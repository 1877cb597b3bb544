"""Text that is safe in a cell, whoever opens the file. Pure."""

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


def plain_text(text: str) -> str:
    """The text, with an apostrophe before what would be computed. Not for numbers, which may have a sign."""
    return f"'{text}" if text.startswith(_FORMULA) else text
