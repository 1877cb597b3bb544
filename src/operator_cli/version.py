"""Which version this is, and of which commit: the image knows its own, of a checkout git is asked."""

import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

COMMIT: Final = "LLM_PLATFORM_COMMIT"
"""Set in the image, which has no git."""
_CHECKOUT: Final = Path(__file__).parents[2]
_GIT_WITHIN_S: Final = 5.0


def version_line(environ: Mapping[str, str], folder: Path = _CHECKOUT) -> str:
    """`llm-platform 0.1.0, commit 1f0c…`; a commit that nobody knows is said to be unknown."""
    commit = environ.get(COMMIT) or _checked_out(folder) or "unknown"
    return f"llm-platform {version('llm-platform')}, commit {commit}"


def _checked_out(folder: Path) -> str | None:
    """The commit that is checked out in `folder`, `-dirty` where files differ from it; None without one."""
    if not (folder / ".git").exists():  # git would look further up, and tell of another repository
        return None
    git = ("git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    try:
        told = subprocess.run(git, capture_output=True, text=True, timeout=_GIT_WITHIN_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None
