"""A page as a response: JSON or CSV, with its ETag and the link to the next. Pure.

The ETag is of the very bytes: the same question again costs no transfer as long as nothing has changed, and
any amount that changes changes it.
"""

import base64
import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlencode

import orjson

from costagg.api.page import Page, encode_cursor
from costagg.api.query import HoursParameters
from costagg.api.table import NUMBERS
from llmplatform.spreadsheets import plain_text

Format = Literal["json", "csv"]

_TYPES: Final[Mapping[Format, str]] = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def format_of(asked: HoursParameters, accept: str) -> Format:
    """The format that is asked for: by parameter, else CSV where `Accept` prefers it, else JSON."""
    if asked.format is not None:
        return asked.format
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *options = (piece.strip().lower() for piece in part.split(";"))
        weights[kind] = _weight(options)

    def weight(kind: str) -> float:
        """Of the narrowest range that a kind is in (RFC 9110, 12.5.1)."""
        ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
        return next((weights[one] for one in ranges if one in weights), 0.0)

    return "csv" if weight("text/csv") > weight("application/json") else "json"


def reply(
    page: Page,
    asked: HoursParameters,
    *,
    about: Mapping[str, Any],
    digest: str,
    form: Format,
    if_none_match: str | None,
) -> Reply:
    """The response that holds a page; 304 where the client has it already."""
    cursor = None if page.ends_at is None else encode_cursor(digest, page.ends_at)
    body = csv_body(page) if form == "csv" else _json_body(page, {**about, **_range(asked)}, cursor)
    etag = f'"{base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:18]).decode()}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "Authorization, Accept"}
    if cursor is not None:
        headers["link"] = f'<?{urlencode(_next_query(asked, cursor))}>; rel="next"'
    if if_none_match is not None and _matches(if_none_match, etag):
        return Reply(304, headers, b"")
    return Reply(200, {**headers, "content-type": _TYPES[form]}, body)


def csv_body(page: Page) -> bytes:
    """A page as CSV (RFC 4180): a header, then the rows; what is unknown is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(page.columns)
    writer.writerows([_cell(name, row.values[name]) for name in page.columns] for row in page.rows)
    return text.getvalue().encode()


def _cell(column: str, value: str | int | None) -> str | int:
    if value is None:
        return ""
    return value if column in NUMBERS else plain_text(str(value))


def _json_body(page: Page, about: Mapping[str, Any], cursor: str | None) -> bytes:
    rows = [row.values for row in page.rows]
    return orjson.dumps({**about, "rows": rows, "totals": page.totals, "next_cursor": cursor})


def _range(asked: HoursParameters) -> dict[str, str]:
    return {
        "from": asked.first.isoformat(),
        "to": asked.end.isoformat(),
        "granularity": asked.granularity,
        "currency": "USD",
    }


def _next_query(asked: HoursParameters, cursor: str) -> Sequence[tuple[str, str]]:
    """The same query for the next page, as a reference that holds under any host and path before ours."""
    given = asked.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"cursor"})
    return [
        *(
            (name, ",".join(value) if isinstance(value, list) else str(value))
            for name, value in given.items()
        ),
        ("cursor", cursor),
    ]


def _matches(if_none_match: str, etag: str) -> bool:
    tags: Iterable[str] = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {etag, "*"} for tag in tags)


def _weight(options: Sequence[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return float(option[2:])
            except ValueError:
                return 0.0
    return 1.0
