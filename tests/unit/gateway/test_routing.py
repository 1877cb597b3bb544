import pytest

from gateway.chat import ChatRequest
from gateway.routing import Route, routes
from llmplatform.catalogue import Catalogue, ModelEntry
from llmplatform.errors import ClientFault, UnknownModel, UnsupportedParameter
from llmplatform.testing import make_model, make_policy

MODELS = {
    "small": make_model("small", fallbacks=("large", "local")),
    "large": make_model("large", fallbacks=("other",)),
    "local": make_model("local", endpoint_type="sagemaker", dialect="tgi"),
    "other": make_model("other"),
}
CATALOGUE = Catalogue(models=MODELS)


class Check:
    """What a dialect says: the models in `unfit` cannot honour the request."""

    def __init__(self, *unfit: str) -> None:
        self._unfit = unfit
        self.asked: list[str] = []

    def __call__(self, request: ChatRequest, model: ModelEntry) -> None:
        assert request.messages == ()
        self.asked.append(model.model_id)
        if model.model_id in self._unfit:
            raise UnsupportedParameter("this model has no seed", param="seed")


def plan(
    *unfit: str, model: str = "small", allowed: frozenset[str] | None = None
) -> tuple[tuple[str, str], ...]:
    policy = make_policy(allowed_models=allowed)
    found: tuple[Route, ...] = routes(ChatRequest(model, ()), policy, CATALOGUE, Check(*unfit))
    return tuple((route.model.model_id, route.reason) for route in found)


def test_the_requested_model_comes_first_then_its_own_fallbacks_in_order() -> None:
    assert plan() == (("small", "requested"), ("large", "fallback"), ("local", "fallback"))
    assert plan(model="local") == (("local", "requested"),)


def test_fallbacks_that_the_tenant_may_not_use_are_left_out() -> None:
    assert plan(allowed=frozenset({"small", "local"})) == (("small", "requested"), ("local", "fallback"))


def test_fallbacks_that_cannot_honour_the_request_are_left_out() -> None:
    assert plan("large") == (("small", "requested"), ("local", "fallback"))


def test_a_forbidden_fallback_is_not_even_asked() -> None:
    check = Check()
    policy = make_policy(allowed_models=frozenset({"small"}))
    routes(ChatRequest("small", ()), policy, CATALOGUE, check)
    assert check.asked == ["small"]


@pytest.mark.parametrize("allowed", [None, frozenset({"nonesuch"})])
def test_a_model_that_is_not_in_the_catalogue_is_unknown_and_not_quoted(
    allowed: frozenset[str] | None,
) -> None:
    with pytest.raises(UnknownModel) as caught:
        plan(model="nonesuch", allowed=allowed)
    assert caught.value.param == "model"
    assert "nonesuch" not in str(caught.value)


@pytest.mark.parametrize("allowed", [frozenset({"large"}), frozenset[str]()])
def test_a_model_that_the_tenant_may_not_use_is_told_from_none_by_nothing(allowed: frozenset[str]) -> None:
    with pytest.raises(UnknownModel) as hidden:
        plan("small", allowed=allowed)
    with pytest.raises(UnknownModel) as missing:
        plan(model="nonesuch", allowed=allowed)
    assert (str(hidden.value), vars(hidden.value)) == (str(missing.value), vars(missing.value))


def test_what_the_requested_model_cannot_do_is_told_and_no_fallback_takes_its_place() -> None:
    with pytest.raises(ClientFault) as caught:
        plan("small")
    assert caught.value.param == "seed"
