"""Which model is behind an application inference profile: asked of Bedrock's control plane, once each.

A call through such a profile names an ARN that says neither model nor routing: without asking there is no
price for it. What cannot be told stays unknown and becomes an unpriced line: no price is ever guessed.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from costagg.usage import CallKey, Calls, HourUsage
from llmplatform.bedrock_ids import RoutingScope, is_application_profile, price_key_of
from llmplatform.prices import PriceTable

if TYPE_CHECKING:
    from types_aiobotocore_bedrock import BedrockClient

logger = logging.getLogger(__name__)

_BEDROCK: Final = "bedrock"
_IN_REGION: Final = "in-region"


class ProfileResolver:
    """Price keys of application inference profiles, each asked for once in the life of the process.

    What a profile routes to cannot be changed. One that nobody could tell is not asked for again either: a
    later run does, as long as its hours are open.
    """

    def __init__(self, bedrock: "BedrockClient") -> None:
        self._bedrock = bedrock
        self._price_keys: dict[str, str | None] = {}

    async def price_key(self, model_id_or_arn: str) -> str | None:
        """The price key of any Bedrock model id or ARN; None where nobody can tell."""
        if not is_application_profile(model_id_or_arn):
            return price_key_of(model_id_or_arn)
        if model_id_or_arn not in self._price_keys:
            self._price_keys[model_id_or_arn] = await self._ask(model_id_or_arn)
        return self._price_keys[model_id_or_arn]

    async def _ask(self, arn: str) -> str | None:
        try:
            answer = await self._bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
            models = [model["modelArn"] for model in answer["models"]]
        except (BotoCoreError, ClientError, KeyError) as error:
            logger.warning("inference profile %s is not priced: %s", arn, error)
            return None
        price_key = price_key_of_models(models)
        if price_key is None:
            logger.warning("inference profile %s is not priced: its models are %s", arn, models)
        return price_key


def price_key_of_models(model_arns: Sequence[str]) -> str | None:
    """The price key of a profile that routes to these models.

    Bedrock does not say what a profile was copied from, but where it routes to: a foundation model's copy to
    one region, a geographic profile's to several, a global profile's also to an ARN without a region. None if
    they are not all of one model.
    """
    keys = {price_key_of(arn) for arn in model_arns}
    if len(keys) != 1 or (key := keys.pop()) is None or not key.endswith(f"/{_IN_REGION}"):
        return None
    regions = {arn.split(":")[3] for arn in model_arns}
    scope: RoutingScope = "global" if "" in regions else "geo" if len(regions) > 1 else _IN_REGION
    return f"{key.removesuffix(_IN_REGION)}{scope}"


async def resolved(usage: HourUsage, prices: PriceTable, resolver: ProfileResolver) -> HourUsage:
    """The same usage, with price keys that are known for calls whose backend model tells them.

    Only calls of Bedrock by an ARN whose price key has no price are looked at: of a plain id, the catalogue's
    price key may be a private price that is misspelt, and no list price is put in its place. What nobody can
    tell stays as it is, and becomes an unpriced line.
    """
    calls: dict[CallKey, Calls] = {}
    for key, some in usage.calls.items():
        known = key
        by_arn = key.endpoint_type == _BEDROCK and key.backend_model_id.startswith("arn:")
        if by_arn and not prices.knows(key.price_key):
            found = await resolver.price_key(key.backend_model_id)
            known = key if found is None else replace(key, price_key=found)
        _add(calls.setdefault(known, Calls()), some)
    return replace(usage, calls=calls)


def _add(total: Calls, some: Calls) -> None:
    total.requests += some.requests
    for into, counts in ((total.tokens, some.tokens), (total.uncounted, some.uncounted)):
        for token_class, count in counts.items():
            into[token_class] = into.get(token_class, 0) + count
