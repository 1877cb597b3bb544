"""What one request's tokens cost, class by class and call by call, at the prices of its day. Pure.

An estimate of one request: what a tenant is billed, hour by hour, is the cost job's. A model on instances is
paid by the hour, so its tokens have no price of their own, and that is said. Unknown stays unknown.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Final, get_args

from llmplatform.invocation import Attempt
from llmplatform.ledger import LedgerRow
from llmplatform.prices import PriceTable, TokenClass, billed_tokens
from llmplatform.usage import NO_USAGE, UsageSource

BY_THE_HOUR: Final = "paid by its instances' hours: see Cost"
NOT_COUNTED: Final = "the model told no count"
NO_PRICE: Final = "no price of it on that day"
NOBODY_BILLS: Final = "nobody bills it: the call was refused, or never got through"

_ALWAYS_BILLED: Final = ("input", "output")
_CLASSES: Final[tuple[TokenClass, ...]] = get_args(TokenClass)


@dataclass(frozen=True, slots=True)
class PricedLine:
    """Tokens of one class in one call. None is unknown."""

    attempt: int
    """Which call, from 1."""
    token_class: TokenClass
    tokens: int | None
    source: UsageSource
    price_key: str
    usd_per_million: Decimal | None = None
    effective_from: date | None = None
    amount_usd: Decimal | None = None
    why_unknown: str | None = None


@dataclass(frozen=True, slots=True)
class RequestCost:
    """All lines of a request. `amount_usd` is None as soon as one of them is unknown."""

    lines: tuple[PricedLine, ...]
    amount_usd: Decimal | None
    known_usd: Decimal
    why_unknown: str | None = None


def cost_of_request(row: LedgerRow, prices: PriceTable, region: str) -> RequestCost:
    """What a request cost; nothing where no model was called."""
    lines = tuple(
        line
        for number, attempt in enumerate(row.attempts, start=1)
        for line in _lines(number, attempt, row, prices, region)
    )
    known = sum((line.amount_usd for line in lines if line.amount_usd is not None), Decimal(0))
    why = next((line.why_unknown for line in lines if line.amount_usd is None), None)
    return RequestCost(lines, known if why is None else None, known, why)


def _lines(
    number: int, attempt: Attempt, row: LedgerRow, prices: PriceTable, region: str
) -> Iterator[PricedLine]:
    day = row.completed_at.astimezone(UTC).date()
    billed = billed_tokens(attempt.usage)
    free = attempt.usage == NO_USAGE and attempt.usage_source is UsageSource.UNKNOWN
    for token_class in _CLASSES:
        tokens = billed.get(token_class)
        if tokens is None and token_class not in _ALWAYS_BILLED:
            continue
        if free:
            # See `Attempt.usage`: of a call that may be billed, something is always told.
            yield PricedLine(
                number,
                token_class,
                None,
                attempt.usage_source,
                attempt.price_key,
                amount_usd=Decimal(0),
                why_unknown=NOBODY_BILLS,
            )
            continue
        price = prices.price_of(
            attempt.price_key, token_class, at=day, region=region, service_tier=attempt.service_tier
        )
        amount = None if price is None or tokens is None else price.of(tokens)
        if amount is None and tokens == 0:
            amount = Decimal(0)
        yield PricedLine(
            number,
            token_class,
            tokens,
            attempt.usage_source,
            attempt.price_key,
            None if price is None else price.usd_per_million_tokens,
            None if price is None else price.row.effective_from,
            amount,
            None if amount is not None else _why(attempt, tokens, priced=price is not None),
        )


def _why(attempt: Attempt, tokens: int | None, *, priced: bool) -> str:
    if not priced and attempt.endpoint_type == "sagemaker":
        return BY_THE_HOUR
    return NO_PRICE if tokens is not None else NOT_COUNTED
