"""What a Bedrock model is priced as: model ids, inference profiles and their ARNs to price keys.

A price key is the base model and the routing scope, because a geographic profile costs another price than a
global one. An application inference profile says neither: `costagg.profiles` asks Bedrock. Pure.
"""

import re
from typing import Final, Literal

RoutingScope = Literal["in-region", "geo", "global"]

_GEOGRAPHIES: Final = frozenset({"us", "eu", "apac", "jp", "au", "ca", "us-gov"})
"""Prefixes of geographic profiles. One that is missing gives a key that has no price, never a wrong price."""

_ARN: Final = re.compile(r"arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:(?P<kind>[a-z-]+)/(?P<name>[A-Za-z0-9.:-]+)")
_APPLICATION_PROFILE: Final = "application-inference-profile"

# Suffixes are a date, a version or both. A version without a date is cut only if it is the first: a second
# one (`amazon.titan-embed-text-v2:0`) is another model, at another price.
_MODEL: Final = re.compile(r"(?P<base>[a-z0-9-]+\.[A-Za-z0-9.-]+?)(-\d{8}(-v\d+)?|-v1)?(:\d+)?")


def price_key_of(model_id_or_arn: str) -> str | None:
    """The price key of a foundation model or a system inference profile, by id or ARN: `vendor.model/geo`.

    None for all else: an application inference profile, a SageMaker endpoint, a custom model.
    """
    name, kind = model_id_or_arn, None
    if model_id_or_arn.startswith("arn:"):
        arn = _ARN.fullmatch(model_id_or_arn)
        if arn is None or arn["kind"] not in {"foundation-model", "inference-profile"}:
            return None
        name, kind = arn["name"], arn["kind"]
    scope, name = routing_of(name)
    model = _MODEL.fullmatch(name)
    if model is None or (kind is not None and (kind == "foundation-model") != (scope == "in-region")):
        return None
    return f"{model['base']}/{scope}"


def is_application_profile(arn: str) -> bool:
    """Whether it is the ARN of a profile that an account made, whose model only Bedrock knows."""
    parts = _ARN.fullmatch(arn)
    return parts is not None and parts["kind"] == _APPLICATION_PROFILE


def routing_of(model_id: str) -> tuple[RoutingScope, str]:
    """How a model id or the id of an inference profile is routed, and the model's own id."""
    prefix, _, rest = model_id.partition(".")
    if prefix == "global":
        return "global", rest
    return ("geo", rest) if prefix in _GEOGRAPHIES else ("in-region", model_id)
