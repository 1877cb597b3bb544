"""What the deployment's models are called in IAM: the ARNs that a role or an endpoint lets through.

An inference profile answers from several regions: who may use one needs its model in each of them too, and
a global profile's model is also asked for without a region (Bedrock user guide, "Prerequisites for inference
profiles" and "Global cross-Region inference").
"""

from collections.abc import Iterable, Iterator

from infra.settings import Deployment
from llmplatform.bedrock_ids import is_application_profile, routing_of
from llmplatform.catalogue import Catalogue, load_catalogue


def catalogue_of(deployment: Deployment) -> Catalogue:
    """The deployment's catalogue. Raises ConfigFault that names each field at fault."""
    return load_catalogue(deployment.files.catalogue)


def bedrock_models(catalogue: Catalogue) -> tuple[str, ...]:
    """What the catalogue's models are called by Bedrock: model ids, profile ids or ARNs."""
    models = (model for model in catalogue.models.values() if model.endpoint_type == "bedrock")
    return tuple(dict.fromkeys(model.backend_model_id for model in models))


def bedrock_arns(models: Iterable[str], deployment: Deployment) -> list[str]:
    """The ARNs behind model ids, profile ids and ARNs; of an application's own profile, the profile alone.

    Which model such a profile routes to only Bedrock knows: see `application_profiles`.
    """
    return list(dict.fromkeys(arn for model in models for arn in _arns(model, deployment)))


def application_profiles(models: Iterable[str]) -> list[str]:
    """The account's own profiles: `bedrock:InferenceProfileArn` lets the models behind them through."""
    return [model for model in models if is_application_profile(model)]


def endpoint_arns(catalogue: Catalogue, deployment: Deployment) -> list[str]:
    """The SageMaker endpoints of the catalogue, and the inference components that it names.

    Each as it is written and in lower case, which is how SageMaker writes ARNs.
    """
    names = [f"endpoint/{model.endpoint_name}" for model in catalogue.models.values() if model.endpoint_name]
    names += [
        f"inference-component/{model.inference_component}"
        for model in catalogue.models.values()
        if model.inference_component
    ]
    prefix = f"arn:aws:sagemaker:{deployment.region}:{deployment.account}"
    return [f"{prefix}:{spelt}" for name in names for spelt in dict.fromkeys((name, name.lower()))]


def _arns(model: str, deployment: Deployment) -> Iterator[str]:
    if model.startswith("arn:"):
        yield model
        return
    scope, base = routing_of(model)
    if scope == "in-region":
        yield f"arn:aws:bedrock:{deployment.region}::foundation-model/{base}"
        return
    yield f"arn:aws:bedrock:{deployment.region}:{deployment.account}:inference-profile/{model}"
    yield f"arn:aws:bedrock:*::foundation-model/{base}"
