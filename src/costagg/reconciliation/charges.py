"""What a bill says, whatever file it came in: charges, alike ones added up. Pure."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal

from llmplatform.errors import PlatformFault

ItemKind = Literal["usage", "credits_and_discounts", "tax", "fees", "unknown"]

USAGE: Final[ItemKind] = "usage"
_KINDS: Final[dict[str, ItemKind]] = {
    "Usage": "usage",
    "DiscountedUsage": "usage",
    "SavingsPlanCoveredUsage": "usage",
    "Credit": "credits_and_discounts",
    "Refund": "credits_and_discounts",
    "Discount": "credits_and_discounts",
    "BundledDiscount": "credits_and_discounts",
    "EdpDiscount": "credits_and_discounts",
    "PrivateRateDiscount": "credits_and_discounts",
    "DistributorDiscount": "credits_and_discounts",
    "RiVolumeDiscount": "credits_and_discounts",
    "SppDiscount": "credits_and_discounts",
    "SavingsPlanNegation": "credits_and_discounts",
    "Tax": "tax",
    "Fee": "fees",
    "RIFee": "fees",
    "SavingsPlanRecurringFee": "fees",
    "SavingsPlanUpfrontFee": "fees",
}
"""CUR 2.0 dictionary, line_item_line_item_type. A savings plan's covered usage stands at its on-demand price,
its negation takes it off again."""


class BillFault(PlatformFault):
    """An export that cannot be reconciled as it is; the message says what to change."""

    code = "bill"


@dataclass(frozen=True, slots=True)
class Charge:
    """Line items of one UTC day that are alike in all but their amounts, added up."""

    day: date
    product_code: str
    usage_type: str
    """Empty where a service is compared as a whole."""
    pricing_unit: str
    region: str
    endpoint_name: str | None
    """From the resource's ARN; AWS writes it in lower case."""
    tenant_id: str | None
    """None where the bill does not tell whose it is."""
    item_type: str
    product_name: str
    """Only of what is sold through AWS Marketplace."""
    cost_usd: Decimal
    discount_usd: Decimal
    """What reserved capacity took off `cost_usd`, negative or 0: it is a discount, not another price."""
    amount: Decimal
    """In units of `pricing_unit`."""
    rows: int

    @property
    def kind(self) -> ItemKind:
        """What sort of charge it is."""
        return _KINDS.get(self.item_type, "unknown")


@dataclass(frozen=True, slots=True)
class Bill:
    """What the files say of a period."""

    charges: tuple[Charge, ...]
    rows: int
    """Line items in the period."""
    last_day: date | None
    """The last one of the period with a line item; what comes after was not billed yet."""
    notes: tuple[str, ...] = ()
    """What the export does not tell, and how to have it told."""
