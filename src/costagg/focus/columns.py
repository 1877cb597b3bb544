"""The columns of an export, in order: those of FOCUS 1.3 that apply to us, then ours, prefixed `x_`.

Source: FOCUS 1.3, Cost and Usage, https://focus.finops.org/focus-specification/v1-3/. Left out are the
conditional columns of what the platform has no part in: capacity reservations, commitment discounts,
contracts, other currencies, kinds of accounts; of the recommended ones `AvailabilityZone` and `InvoiceId`,
which nobody knows before the invoice. Pure.
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
    "BilledCost": "decimal",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "time",
    "BillingPeriodStart": "time",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "time",
    "ChargePeriodStart": "time",
    "ConsumedQuantity": "decimal",
    "ConsumedUnit": "text",
    "ContractedCost": "decimal",
    "ContractedUnitPrice": "decimal",
    "EffectiveCost": "decimal",
    "HostProviderName": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "decimal",
    "ListUnitPrice": "decimal",
    "PricingCategory": "text",
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
