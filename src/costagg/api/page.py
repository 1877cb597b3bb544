"""A page of rows, and the cursor that the next one begins after. Pure.

A cursor holds the position of the last row and what it was asked for: rows that come or go elsewhere move no
page, and a cursor of another query is refused. It grants nothing: whose rows are read is decided by the
path and the key, each time anew.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from costagg.api.table import Position, Row
from llmplatform.errors import MalformedRequest

AFTER_OWNER: Final = "~"
"""As the second part of a position: after all rows of an owner, whatever their period."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered."""

    columns: tuple[str, ...]
    rows: Sequence[Row]
    ends_at: Position | None
    """Where the next page goes on; None after the last."""
    totals: Mapping[str, Any] | None = None


def page_of(
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *,
    limit: int,
    totals: Mapping[str, Any] | None = None,
) -> Page:
    """The page that sorted rows begin; one more than it holds tells that there is a next."""
    shown = rows[:limit]
    return Page(columns, shown, shown[-1].position if len(rows) > limit else None, totals)


def encode_cursor(digest: str, position: Position) -> str:
    """The text that names a position among the rows of a query."""
    told = json.dumps([digest, *position], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def decode_cursor(digest: str, cursor: str | None) -> Position:
    """The position that a cursor names; without one, that before all rows.

    Raises MalformedRequest for what is no cursor and for one of another query.
    """
    if cursor is None:
        return ()
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        told = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError, binascii.Error):
        told = None
    if not isinstance(told, list) or not told or not all(isinstance(part, str) for part in told):
        raise MalformedRequest("cursor: not one of ours; give `next_cursor` as it was", param="cursor")
    if told[0] != digest:
        raise MalformedRequest(
            "cursor: of another query; only limit and format may differ from page to page", param="cursor"
        )
    return tuple(told[1:])
