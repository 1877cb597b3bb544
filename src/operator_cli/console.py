"""The two places a command writes to: answers to stdout, everything about them to stderr."""

from typing import Final

from rich.console import Console

OUT: Final = Console(soft_wrap=True, highlight=False, emoji=False)
ERR: Final = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


class CommandFailed(Exception):
    """A command cannot do what was asked; the message is the one line that the operator reads."""


def ms(value: float | None) -> str:
    """Milliseconds as a person reads them; what is unknown is said to be."""
    if value is None:
        return "unknown"
    return f"{value / 1_000:.2f} s" if value >= 1_000 else f"{value:.1f} ms"  # noqa: PLR2004


def count(value: int | None) -> str:
    """A count as a person reads it."""
    return "unknown" if value is None else f"{value:,}"
