"""Which models may answer a request, in which order, and why. Pure: it looks at the catalogue and the policy.

Whether a backend is ill at this moment is asked when its turn comes (`circuit`), not here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.chat import ChatRequest
from llmplatform.catalogue import Catalogue, ModelEntry
from llmplatform.errors import UnknownModel, UnsupportedParameter
from llmplatform.policy import TenantPolicy


@dataclass(frozen=True, slots=True)
class Route:
    """One model that may answer."""

    model: ModelEntry
    reason: str
    """`requested` or `fallback`."""


def routes(
    request: ChatRequest,
    policy: TenantPolicy,
    catalogue: Catalogue,
    check: Callable[[ChatRequest, ModelEntry], None],
) -> tuple[Route, ...]:
    """The requested model and those of its fallbacks that the tenant may use and that can honour the request.

    `check` raises UnsupportedParameter where a model cannot. Raises UnknownModel, or that
    UnsupportedParameter, for the requested model itself; a fallback that does not fit is left out.
    """
    model = catalogue.models.get(request.model)
    if model is None or not policy.allows_model(model.model_id):
        raise UnknownModel
    check(request, model)
    found = [Route(model, "requested")]
    for name in model.fallbacks:
        fallback = catalogue.models[name]
        if not policy.allows_model(name):
            continue
        try:
            check(request, fallback)
        except UnsupportedParameter:
            continue
        found.append(Route(fallback, "fallback"))
    return tuple(found)
