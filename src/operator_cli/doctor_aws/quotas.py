"""Quotas that a first day of traffic meets: tokens a minute of each Bedrock model, and Fargate's processors.

Bedrock's quotas have no code that could be told from a model's id, only a name with the model's own name in
it; which one was taken is said, and where none or several fit, that it is unknown.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import aioboto3

from llmplatform.bedrock_ids import price_key_of
from operator_cli.check import Check
from operator_cli.doctor_aws.looking import Look
from operator_cli.doctor_aws.models import foundation_model

FARGATE_VCPUS: Final = "L-3032A538"
"""Fargate On-Demand vCPU resource count."""
LEAST_FARGATE_VCPUS: Final = 80
"""Production's tasks at their most, and as many again of the gateway's least while it is rolled out."""
_SCOPES: Final = {
    "geo": re.compile(r"^cross-region .*tokens per minute"),
    "global": re.compile(r"^global cross-region .*tokens per minute"),
    "in-region": re.compile(r"^on-demand .*tokens per minute"),
}
_VERSION: Final = re.compile(r" v\d+$")
_ASK: Final = "Service Quotas console, Amazon Bedrock: ask for more of "


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota of the account."""

    name: str
    value: float


def quotas_look(models: Mapping[str, str], *, tokens_per_minute: int | None) -> Look:
    """Quotas of models (Bedrock's ids by public name) and of tasks.

    `tokens_per_minute` is what the busiest minute takes of a model; without it only an empty quota fails.
    """

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        found: list[Quota] = []
        names: dict[str, str] = {}
        async with session.client("service-quotas") as quotas, session.client("bedrock") as bedrock:
            async for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock"):
                found += [Quota(one["QuotaName"], one["Value"]) for one in page["Quotas"]]
            for name, model_id in models.items():
                foundation = await foundation_model(bedrock, model_id)
                details = await bedrock.get_foundation_model(modelIdentifier=foundation)
                names[name] = details["modelDetails"].get("modelName", foundation)
            vcpus = await quotas.get_service_quota(ServiceCode="fargate", QuotaCode=FARGATE_VCPUS)
        return [
            *(
                tokens_check(name, scope_of(models[name]), names[name], found, tokens_per_minute)
                for name in sorted(models)
            ),
            vcpus_check(vcpus["Quota"]["Value"]),
        ]

    return Look(
        "quotas",
        "servicequotas:ListServiceQuotas, servicequotas:GetServiceQuota, bedrock:GetFoundationModel",
        ask,
    )


def scope_of(model_id: str) -> str:
    """Which of a model's quotas counts: `geo`, `global`, `in-region`; empty for an application profile."""
    return (price_key_of(model_id) or "/").rpartition("/")[2]


def tokens_check(
    name: str, scope: str, model_name: str, quotas: Collection[Quota], needed: int | None
) -> Check:
    """Tokens a minute of one model."""
    pattern = _SCOPES.get(scope)
    fitting = [
        quota
        for quota in quotas
        if pattern is not None and pattern.match(quota.name.lower()) and _is_of(quota.name, model_name)
    ]
    if len(fitting) != 1:
        how = "none" if not fitting else f"{len(fitting)}"
        return Check(
            "quotas",
            "warning",
            f"{name}: unknown; {how} of Bedrock's quotas is by its name that of {model_name}",
            "look for it in the Service Quotas console, Amazon Bedrock",
        )
    quota = fitting[0]
    value = Decimal(str(quota.value)).normalize()
    found = f"{name}: {value:,f} tokens a minute ({quota.name})"
    if not value:
        return Check("quotas", "failed", found, f"{_ASK}{quota.name}")
    if needed is not None and value < needed:
        return Check("quotas", "failed", f"{found}, and {needed:,} are needed", f"{_ASK}{quota.name}")
    return Check("quotas", "ok", found)


def _is_of(quota_name: str, model_name: str) -> bool:
    """Whether a quota's name ends in the model's, but for the provider before it and a version after it."""
    _, _, subject = quota_name.lower().partition(" for ")
    subject = _VERSION.sub("", subject)
    return subject == model_name.lower() or subject.endswith(f" {model_name.lower()}")


def vcpus_check(value: float) -> Check:
    """Processors on Fargate: a new account has six."""
    found = f"Fargate: {value:g} vCPUs on demand"
    if value < LEAST_FARGATE_VCPUS:
        return Check(
            "quotas",
            "warning",
            f"{found}; production at its most takes {LEAST_FARGATE_VCPUS}",
            f"aws service-quotas request-service-quota-increase --service-code fargate --quota-code "
            f"{FARGATE_VCPUS} --desired-value {LEAST_FARGATE_VCPUS}",
        )
    return Check("quotas", "ok", found)
