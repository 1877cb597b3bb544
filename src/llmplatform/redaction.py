"""What may be said about a thing that might hold somebody's words.

A fault's type and code may be logged, its text may not unless we wrote it; a vendor's label may, if it has
the shape of a label. Pure. Where content is *meant* to go (samples, content logs) is decided by policy.
"""

import errno
import re
from functools import lru_cache
from typing import Final

from llmplatform.errors import PlatformFault

REDACTED: Final = "_redacted"

_LABEL = re.compile(r"[A-Za-z0-9_.:/#-]{1,128}")
_MAX_CAUSES: Final = 5


@lru_cache(maxsize=4096)
def safe_label(text: str) -> str:
    """`text` where it has the shape of an identifier, else `_redacted`.

    For what a backend names (error types, stop reasons, request ids): a container may put anything there,
    the prompt included.
    """
    return text if _LABEL.fullmatch(text) else REDACTED


def describe_fault(error: BaseException) -> str:
    """The types and codes of an exception and its causes, outermost first, and nothing that it quotes.

    `BackendUnreachable[backend_unreachable] < ConnectionResetError[ECONNRESET]`
    """
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < _MAX_CAUSES:
        parts.append(_one(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return " < ".join(parts)


def _one(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, PlatformFault):
        return f"{name}[{error.code}]"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}[{errno.errorcode.get(error.errno, error.errno)}]"
    return name
