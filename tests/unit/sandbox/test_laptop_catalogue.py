from llmplatform.catalogue import load_catalogue
from sandbox.laptop import CATALOGUE
from sandbox.sagemaker import VARIANT
from sandbox.seed import SEEDED


def test_the_small_model_is_not_said_to_call_tools_and_stops_when_nobody_listens() -> None:
    models = load_catalogue(CATALOGUE).models
    small = [model for name, model in models.items() if name.startswith("smollm2")]
    assert len(small) == 2
    for model in small:
        assert "tools" not in model.capabilities
        assert model.disconnect_policy == "cancel"


def test_what_seeded_tenants_may_call_is_in_the_catalogue() -> None:
    models = load_catalogue(CATALOGUE).models
    for policy in SEEDED:
        assert (policy.allowed_models or frozenset()) <= set(models)


def test_each_dedicated_model_has_hardware_under_the_variant_that_the_runtime_answers_as() -> None:
    catalogue = load_catalogue(CATALOGUE)
    served = {model.endpoint_name for model in catalogue.models.values()} - {None}
    assert served == set(catalogue.endpoints)
    assert {variant.name for one in catalogue.endpoints.values() for variant in one.variants} == {VARIANT}
