"""What panels and alarms are about: the platform, a tenant, an endpoint's variant, a model, scores, a judge.

A target knows the values of the variables in readings, its name in the name of an alarm, and where the
console shows it. Which there are is `World`, put together from policies, the catalogue and what is published.
Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote

from llmplatform.catalogue import Catalogue, Endpoint, ModelEntry
from llmplatform.policy import TenantPolicy
from watch.tables import readings

Scope = Literal["platform", "tenant", "endpoint", "model", "scores", "judge"]
SCOPES: Final[tuple[Scope, ...]] = ("platform", "tenant", "endpoint", "model", "scores", "judge")


@dataclass(frozen=True, slots=True)
class Platform:
    """All of it."""

    scope: Scope = field(default="platform", init=False)
    name: str = field(default="platform", init=False)
    view: str = field(default="/platform", init=False)

    @property
    def variables(self) -> Mapping[str, str]:
        """None."""
        return {}


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, with what its policy promises it."""

    policy: TenantPolicy
    scope: Scope = field(default="tenant", init=False)

    @property
    def name(self) -> str:
        """In an alarm's name."""
        return f"tenant/{self.policy.tenant_id}"

    @property
    def view(self) -> str:
        """Its page in the console."""
        return f"/tenants/{self.policy.tenant_id}"

    @property
    def variables(self) -> Mapping[str, str]:
        """Its id."""
        return {readings.TENANT: self.policy.tenant_id}


@dataclass(frozen=True, slots=True)
class EndpointVariant:
    """A SageMaker endpoint's variant, with its hardware."""

    endpoint_name: str
    variant_name: str
    instance_type: str
    gpu_count: int
    scope: Scope = field(default="endpoint", init=False)

    @property
    def name(self) -> str:
        """In an alarm's name."""
        return f"endpoint/{self.endpoint_name}/{self.variant_name}"

    @property
    def view(self) -> str:
        """Its page in the console."""
        return f"/endpoints/{quote(self.endpoint_name, safe='')}"

    @property
    def variables(self) -> Mapping[str, str]:
        """Endpoint and variant."""
        return {readings.ENDPOINT: self.endpoint_name, readings.VARIANT: self.variant_name}


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue, by its public name."""

    entry: ModelEntry
    scope: Scope = field(default="model", init=False)

    @property
    def name(self) -> str:
        """In an alarm's name."""
        return f"model/{self.entry.model_id}"

    @property
    def view(self) -> str:
        """Its page in the console."""
        return f"/models/{quote(self.entry.model_id, safe='')}"

    @property
    def variables(self) -> Mapping[str, str]:
        """Public name, kind of endpoint, and for Bedrock the name there."""
        entry = self.entry
        values = {readings.MODEL: entry.model_id, readings.ENDPOINT_TYPE: entry.endpoint_type}
        if entry.endpoint_type == "bedrock":
            values[readings.BACKEND_MODEL] = entry.backend_model_id
        return values


@dataclass(frozen=True, slots=True, order=True)
class Scores:
    """Scores of a tenant's answers by one model in one dimension."""

    tenant_id: str
    model_id: str
    eval_dimension: str
    scope: Scope = field(default="scores", init=False)

    @property
    def name(self) -> str:
        """In an alarm's name."""
        return f"scores/{self.tenant_id}/{self.model_id}/{self.eval_dimension}"

    @property
    def view(self) -> str:
        """Its page in the console."""
        return (
            f"/evaluations/{self.tenant_id}?model={quote(self.model_id, safe='')}"
            f"&dimension={self.eval_dimension}"
        )

    @property
    def variables(self) -> Mapping[str, str]:
        """Tenant, model and dimension."""
        return {
            readings.TENANT: self.tenant_id,
            readings.MODEL: self.model_id,
            readings.EVAL_DIMENSION: self.eval_dimension,
        }


@dataclass(frozen=True, slots=True, order=True)
class Judge:
    """A judge that reports: model, rubric, prompt and parser in one identity."""

    identity: str
    scope: Scope = field(default="judge", init=False)

    @property
    def name(self) -> str:
        """In an alarm's name."""
        return f"judge/{self.identity}"

    @property
    def view(self) -> str:
        """Its page in the console."""
        return "/evaluations"

    @property
    def variables(self) -> Mapping[str, str]:
        """Its identity."""
        return {readings.JUDGE: self.identity}


Target = Platform | Tenant | EndpointVariant | Model | Scores | Judge


@dataclass(frozen=True, slots=True)
class World:
    """Everything that there is to watch."""

    catalogue: Catalogue
    tenants: tuple[TenantPolicy, ...] = ()
    scores: tuple[Scores, ...] = ()
    judges: tuple[str, ...] = ()

    def targets(self, scope: Scope) -> Iterator[Target]:
        """All of one kind, in order."""
        match scope:
            case "platform":
                yield Platform()
            case "tenant":
                yield from map(Tenant, sorted(self.tenants, key=lambda policy: policy.tenant_id))
            case "endpoint":
                for name, endpoint in sorted(self.catalogue.endpoints.items()):
                    yield from variants_of(name, endpoint)
            case "model":
                yield from (Model(entry) for _, entry in sorted(self.catalogue.models.items()))
            case "scores":
                yield from sorted(self.scores)
            case "judge":
                yield from map(Judge, sorted(self.judges))


def variants_of(name: str, endpoint: Endpoint) -> Iterator[EndpointVariant]:
    """The variants of an endpoint of the catalogue."""
    for variant in endpoint.variants:
        yield EndpointVariant(name, variant.name, variant.instance_type, variant.gpu_count)
