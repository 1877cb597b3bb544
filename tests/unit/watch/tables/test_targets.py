"""What there is to watch, by what names, and where it is shown."""

import pytest

from llmplatform.catalogue import Catalogue, Endpoint, ModelEntry, Variant
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from watch.tables.readings import BACKEND_MODEL, ENDPOINT, MODEL, TENANT, VARIANT
from watch.tables.targets import SCOPES, EndpointVariant, Judge, Model, Scores, Tenant, World


def entry(model_id: str, *, bedrock: bool = True) -> ModelEntry:
    return ModelEntry(
        model_id=model_id,
        endpoint_type="bedrock" if bedrock else "sagemaker",
        backend_model_id="amazon.nova-micro-v1:0" if bedrock else "llama",
        dialect="converse" if bedrock else "openai_chat",
        price_key="some/price",
    )


WORLD = World(
    catalogue=Catalogue(
        models={"small": entry("small"), "large": entry("large", bedrock=False)},
        endpoints={
            "llama": Endpoint(
                variants=(
                    Variant(name="blue", instance_type="ml.g5.12xlarge", gpu_count=4),
                    Variant(name="green", instance_type="ml.g5.xlarge", gpu_count=1),
                )
            )
        },
    ),
    tenants=(TenantPolicy(tenant_id=TenantId("globex")), TenantPolicy(tenant_id=TenantId("acme"))),
    scores=(Scores("globex", "small", "relevance"), Scores("acme", "small", "relevance")),
    judges=("b", "a"),
)


def test_everything_is_found_in_order() -> None:
    names = [target.name for scope in SCOPES for target in WORLD.targets(scope)]
    assert names == [
        "platform",
        "tenant/acme",
        "tenant/globex",
        "endpoint/llama/blue",
        "endpoint/llama/green",
        "model/large",
        "model/small",
        "scores/acme/small/relevance",
        "scores/globex/small/relevance",
        "judge/a",
        "judge/b",
    ]


def test_a_target_is_of_the_scope_that_it_is_found_by() -> None:
    assert all(target.scope == scope for scope in SCOPES for target in WORLD.targets(scope))


def test_each_variant_of_an_endpoint_has_its_own_gpus() -> None:
    variants = [target for target in WORLD.targets("endpoint") if isinstance(target, EndpointVariant)]
    assert [variant.gpu_count for variant in variants] == [4, 1]
    assert variants[1].variables == {ENDPOINT: "llama", VARIANT: "green"}


def test_only_a_model_of_bedrock_has_a_name_there() -> None:
    assert Model(entry("small")).variables[BACKEND_MODEL] == "amazon.nova-micro-v1:0"
    assert BACKEND_MODEL not in Model(entry("large", bedrock=False)).variables


def test_scores_are_those_of_a_tenant_a_model_and_a_dimension() -> None:
    scores = Scores("acme", "small", "relevance")
    assert (scores.variables[TENANT], scores.variables[MODEL]) == ("acme", "small")


@pytest.mark.parametrize(
    ("target", "view"),
    [
        (Tenant(TenantPolicy(tenant_id=TenantId("acme"))), "/tenants/acme"),
        (Model(entry("meta/llama-3:8b")), "/models/meta%2Fllama-3%3A8b"),
        (EndpointVariant("llama", "blue", "ml.g5.xlarge", 1), "/endpoints/llama"),
        (Scores("acme", "a/b&c", "relevance"), "/evaluations/acme?model=a%2Fb%26c&dimension=relevance"),
        (Judge("9ed3d4edfed76d71"), "/evaluations"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_target_has_a_page_whatever_its_name(target: Tenant | Model, view: str) -> None:
    assert target.view == view
