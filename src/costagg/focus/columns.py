"""The columns of an export, in order: all of FOCUS 1.3's, then ours, prefixed `x_`.

Source: FOCUS 1.3, dataset Cost and Usage, https://focus.finops.org/focus-specification/v1-3/. Columns of what
the platform has no part in (capacity reservations, commitment discounts, contracts) are there and null, so
that a file fits a table made for the specification. Pure.
"""

from typing import Final, Literal

Kind = Literal["text", "decimal", "time"]

VERSION: Final = "1.3"

FOCUS_COLUMNS: Final[dict[str, Kind]] = {
    "AllocatedMethodDetails": "text",
    "AllocatedMethodId": "text",
    "AllocatedResourceId": "text",
    "AllocatedResourceName": "text",
    "AllocatedTags": "text",
    "AvailabilityZone": "text",
    "BilledCost": "decimal",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingAccountType": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "time",
    "BillingPeriodStart": "time",
    "CapacityReservationId": "text",
    "CapacityReservationStatus": "text",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "time",
    "ChargePeriodStart": "time",
    "CommitmentDiscountCategory": "text",
    "CommitmentDiscountId": "text",
    "CommitmentDiscountName": "text",
    "CommitmentDiscountQuantity": "decimal",
    "CommitmentDiscountStatus": "text",
    "CommitmentDiscountType": "text",
    "CommitmentDiscountUnit": "text",
    "ConsumedQuantity": "decimal",
    "ConsumedUnit": "text",
    "ContractApplied": "text",
    "ContractedCost": "decimal",
    "ContractedUnitPrice": "decimal",
    "EffectiveCost": "decimal",
    "HostProviderName": "text",
    "InvoiceId": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "decimal",
    "ListUnitPrice": "decimal",
    "PricingCategory": "text",
    "PricingCurrency": "text",
    "PricingCurrencyContractedUnitPrice": "decimal",
    "PricingCurrencyEffectiveCost": "decimal",
    "PricingCurrencyListUnitPrice": "decimal",
    "PricingQuantity": "decimal",
    "PricingUnit": "text",
    "ProviderName": "text",
    "PublisherName": "text",
    "RegionId": "text",
    "RegionName": "text",
    "ResourceId": "text",
    "ResourceName": "text",
    "ResourceType": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceProviderName": "text",
    "ServiceSubcategory": "text",
    "SkuId": "text",
    "SkuMeter": "text",
    "SkuPriceDetails": "text",
    "SkuPriceId": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "SubAccountType": "text",
    "Tags": "text",
}

OUR_COLUMNS: Final[dict[str, Kind]] = {
    "x_AllocationMethod": "text",
    "x_CompletenessState": "text",
    "x_ComputedFrom": "text",
    "x_EndpointType": "text",
    "x_Layer": "text",
    "x_ModelId": "text",
    "x_PriceVersion": "text",
    "x_ServiceTier": "text",
    "x_SplitOriginCost": "decimal",
    "x_SplitOriginId": "text",
    "x_TenantId": "text",
    "x_UsageSource": "text",
}

COLUMNS: Final = FOCUS_COLUMNS | OUR_COLUMNS

ADDED_IN_1_3: Final = (
    "AllocatedMethodDetails",
    "AllocatedMethodId",
    "AllocatedResourceId",
    "AllocatedResourceName",
    "AllocatedTags",
    "HostProviderName",
    "ServiceProviderName",
)
