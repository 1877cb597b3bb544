"""The two places a command writes to: answers to stdout, everything about them to stderr."""

from typing import Final

from rich.console import Console, RenderableType

OUT: Final = Console(soft_wrap=True, highlight=False, emoji=False)
ERR: Final = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
_PIPED_WIDTH: Final = 240
STALE: Final = 'is the platform running? if it was restarted, eval "$(llm-platform env)" again'
"""What to ask when nothing listens where the environment says."""


class CommandFailed(Exception):
    """A command cannot do what was asked; the message is the one line that the operator reads."""


def print_table(what: RenderableType) -> None:
    """Print what is laid out: within a terminal's width, elsewhere as wide as it is; no blanks end a line."""
    console = OUT if OUT.is_terminal else Console(width=_PIPED_WIDTH, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(what, soft_wrap=False)
    for line in captured.get().splitlines():
        OUT.file.write(f"{line.rstrip()}\n")


def ms(value: float | None) -> str:
    """Milliseconds as a person reads them; what is unknown is said to be."""
    if value is None:
        return "unknown"
    return f"{value / 1_000:.2f} s" if value >= 1_000 else f"{value:.1f} ms"  # noqa: PLR2004


def count(value: int | None) -> str:
    """A count as a person reads it."""
    return "unknown" if value is None else f"{value:,}"
