"""What cost needs of the ledger, decoded straight from DynamoDB's JSON; every other attribute is skipped.

A page of rows goes from bytes to typed values in one call in C, numbers and moments included. What a row is
in full is `llmplatform.ledger`'s; reading pages is `ledger_reader`'s. Pure.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError, field
from msgspec.json import Decoder

from llmplatform.catalogue import EndpointType
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import Origin
from llmplatform.usage import TokenUsage

ATTRIBUTES: Final = ("request_id", "origin", "received_at", "sampled", "usage", "attempts")
"""Of a row. The tenant and the hour are in the key that was asked for."""

_MOST_TOKENS: Final = 2**53
_MOST_MS: Final = 1e12

Key = dict[str, dict[str, str]]


class Text(Struct, gc=False):
    """A string."""

    value: str = field(name="S")


class Count(Struct, gc=False):
    """A count: never negative, so that no cost is."""

    value: Annotated[int, Meta(ge=0, le=_MOST_TOKENS)] = field(name="N")


class Milliseconds(Struct, gc=False):
    """A duration."""

    value: Annotated[float, Meta(ge=0, le=_MOST_MS)] = field(name="N")


class Moment(Struct, gc=False):
    """An aware moment."""

    value: Annotated[datetime, Meta(tz=True)] = field(name="S")


class Truth(Struct, gc=False):
    """Yes or no."""

    value: bool = field(name="BOOL")


class OriginText(Struct, gc=False):
    """Whose request it was: one of a newer kind cannot be attributed, and is refused."""

    value: Origin = field(name="S")


class EndpointTypeText(Struct, gc=False):
    """What kind of backend was called: nobody knows how one of a newer kind is billed, and it is refused."""

    value: EndpointType = field(name="S")


class Figures(Struct, gc=False):
    """Token figures as far as they are known."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_1h_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class FiguresMap(Struct, gc=False):
    """A map of token figures."""

    value: Figures = field(name="M")

    @property
    def usage(self) -> TokenUsage:
        """The figures as everybody else knows them."""
        figures = self.value
        return TokenUsage(
            None if figures.input_tokens is None else figures.input_tokens.value,
            None if figures.output_tokens is None else figures.output_tokens.value,
            None if figures.cache_read_tokens is None else figures.cache_read_tokens.value,
            None if figures.cache_write_tokens is None else figures.cache_write_tokens.value,
            None if figures.cache_write_1h_tokens is None else figures.cache_write_1h_tokens.value,
            None if figures.reasoning_tokens is None else figures.reasoning_tokens.value,
        )


class WireAttempt(Struct, gc=False):
    """One call to one backend."""

    endpoint_type: EndpointTypeText
    model_id: Text
    backend_model_id: Text
    price_key: Text
    started_ms: Milliseconds
    duration_ms: Milliseconds
    usage: FiguresMap
    usage_source: Text
    endpoint_name: Text | None = None
    service_tier: Text | None = None


class AttemptMap(Struct, gc=False):
    """A map that is an attempt."""

    value: WireAttempt = field(name="M")


class AttemptList(Struct, gc=False):
    """All attempts of a request."""

    value: list[AttemptMap] = field(name="L")


class WireRow(Struct, gc=False):
    """One request."""

    request_id: Text
    origin: OriginText
    received_at: Moment
    sampled: Truth
    usage: FiguresMap
    attempts: AttemptList


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A page of an answer to Query."""

    rows: list[WireRow]
    """In order of their request ids."""
    undecodable: int
    """Rows that are none."""
    last_key: Key | None
    """Where the next page begins; None on the last one."""


class _Page(Struct):
    items: list[WireRow] = field(name="Items")
    last_key: Key | None = field(name="LastEvaluatedKey", default=None)


class _UnreadPage(Struct):
    items: list[Raw] = field(name="Items")
    last_key: Key | None = field(name="LastEvaluatedKey", default=None)


# Not strict, since DynamoDB writes numbers as text.
_page: Final = Decoder(_Page, strict=False)
_unread_page: Final = Decoder(_UnreadPage)
_row: Final = Decoder(WireRow, strict=False)


def decode_page(body: bytes) -> LedgerPage:
    """The page that a body holds; rows that are none are counted and left out.

    Raises TelemetryFault that quotes nothing when it is no page at all.
    """
    try:
        page = _page.decode(body)
    except ValidationError:
        return _decode_one_by_one(body)
    except DecodeError:
        raise TelemetryFault("not a page of the ledger") from None
    return LedgerPage(page.items, 0, page.last_key)


def _decode_one_by_one(body: bytes) -> LedgerPage:
    try:
        page = _unread_page.decode(body)
    except DecodeError:
        raise TelemetryFault("not a page of the ledger") from None
    rows = []
    for item in page.items:
        try:
            rows.append(_row.decode(item))
        except DecodeError:
            continue
    return LedgerPage(rows, len(page.items) - len(rows), page.last_key)
