"""The model catalogue: public name to backend, dialect, tokenizer, price key, fallbacks and timeouts.

Data, not code: `models.toml` beside this file, or the file that `LLM_PLATFORM_CATALOGUE` names. Gateway,
worker, cost job, watch and infrastructure read the same one. Pure but for `load_catalogue`, which reads
the file once at start-up.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmplatform.datafile import held_to, parse_toml, read_text

EndpointType = Literal["bedrock", "sagemaker"]
DialectName = Literal["converse", "openai_chat", "lmi", "tgi"]
DisconnectPolicy = Literal["drain", "cancel"]

DEFAULT_CATALOGUE = Path(__file__).with_name("models.toml")

_NAME: Final = r"^[!-~]{1,256}$"
"""What becomes a dimension of a metric and a part of a key."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Timeouts(_Data):
    """Four timeouts in seconds, each on its own."""

    connect_s: float = Field(default=2.0, gt=0)
    first_token_s: float = Field(default=60.0, gt=0)
    """From sending the request to the first event of the reply."""
    idle_s: float = Field(default=120.0, gt=0)
    """Between two events; long, because models think in silence."""
    total_s: float = Field(default=900.0, gt=0)


class Tokenizer(_Data):
    """How to count a model's tokens here. A backend's own count always wins; see `usage.UsageSource`."""

    kind: Literal["tiktoken", "huggingface", "estimate"] = "estimate"
    name: str | None = None
    """For tiktoken: the encoding, `o200k_base`."""
    path: Path | None = None
    """For huggingface: a folder with `tokenizer.json` and, for chat templates, `tokenizer_config.json`.

    For tiktoken: the rank file. A relative path starts at the catalogue's folder.
    """
    bytes_per_token: float = Field(default=3.2, gt=0)
    """For estimates. 3.2 was an upper bound on prose, code, JSON and CJK (measured 1.07 to 1.69)."""

    @model_validator(mode="after")
    def _needs(self) -> Self:
        if self.kind == "huggingface" and self.path is None:
            raise ValueError("a huggingface tokenizer needs `path`: the folder with its tokenizer.json")
        if self.kind == "tiktoken" and self.name is None:
            raise ValueError("a tiktoken tokenizer needs `name`: the encoding, such as o200k_base")
        return self


Capability = Literal["tools", "vision", "json_schema", "reasoning", "seed", "penalties", "prompt_cache"]


class ModelEntry(_Data):
    """One public model name and what answers behind it."""

    model_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")
    """The public name; filled in from the table's key."""
    endpoint_type: EndpointType
    backend_model_id: str = Field(pattern=_NAME)
    """Bedrock: model id, inference-profile id or ARN. SageMaker: endpoint name."""
    dialect: DialectName
    price_key: str = Field(pattern=_NAME)
    tokenizer: Tokenizer = Tokenizer()
    timeouts: Timeouts = Timeouts()
    capabilities: frozenset[Capability] = frozenset()
    streaming: bool = True
    """False for backends that cannot stream (SageMaker serverless): the reply arrives in one piece."""
    fallbacks: tuple[str, ...] = ()
    """Public names to try, in order, when this one fails before its first byte."""
    max_attempts: Annotated[int, Field(ge=1, le=5)] = 2
    """Tries at this model, before its fallbacks."""
    on_disconnect: DisconnectPolicy | None = None
    """None means the backend's default: drain for Bedrock, cancel for SageMaker."""
    max_output_tokens: int | None = Field(default=None, ge=1)
    """What is asked for when the client sets no limit; Bedrock reserves quota for an unset one."""
    inference_component: str | None = Field(default=None, max_length=63)
    target_model: str | None = None
    """SageMaker multi-model endpoints: the model artefact."""
    additional_request_fields: Mapping[str, object] = {}
    """Fields that the operator adds to every body of this model, in the dialect's own words."""
    service_tier: str | None = None
    end_of_life: date | None = None
    """When the provider stops serving it; calls then fail as an invalid model id."""

    @property
    def disconnect_policy(self) -> DisconnectPolicy:
        """What to do with the backend's stream when the client has left."""
        return self.on_disconnect or ("drain" if self.endpoint_type == "bedrock" else "cancel")

    @property
    def endpoint_name(self) -> str | None:
        """The SageMaker endpoint, None for Bedrock."""
        return self.backend_model_id if self.endpoint_type == "sagemaker" else None

    @model_validator(mode="after")
    def _dialect_fits(self) -> Self:
        if (self.endpoint_type == "bedrock") != (self.dialect == "converse"):
            raise ValueError(
                f"dialect {self.dialect!r} does not go with endpoint_type {self.endpoint_type!r}"
            )
        return self


class Variant(_Data):
    """One production variant of a SageMaker endpoint."""

    name: str
    instance_type: str
    gpu_count: int = Field(ge=0)
    rated_tokens_per_minute: int | None = Field(default=None, ge=1)
    """What one instance can do; see docs/cost-allocation.md."""
    metric_period_s: Literal[10, 30, 60, 120, 180, 240, 300] = 60
    """How often an instance publishes figures: the endpoint config's `MetricPublishFrequencyInSeconds`."""


class Endpoint(_Data):
    """A SageMaker endpoint's hardware: what GPU figures and instance hours are read against."""

    variants: tuple[Variant, ...] = Field(min_length=1)


class Catalogue(_Data):
    """All models, by public name, and the endpoints that serve the dedicated ones."""

    models: Mapping[str, ModelEntry]
    endpoints: Mapping[str, Endpoint] = {}

    @model_validator(mode="after")
    def _references_hold(self) -> Self:
        for name, model in self.models.items():
            for fallback in model.fallbacks:
                if fallback not in self.models:
                    raise ValueError(
                        f"models.{name}.fallbacks names {fallback!r}, which is not in the catalogue"
                    )
                if fallback == name:
                    raise ValueError(f"models.{name}.fallbacks names itself")
        return self


def parse_catalogue(text: str, *, folder: Path) -> Catalogue:
    """The catalogue that a TOML text spells; relative tokenizer paths start at `folder`.

    Raises ConfigFault that names each field at fault.
    """
    raw = parse_toml("catalogue", text)
    models = raw.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        if isinstance(model, dict):
            model["model_id"] = name
            tokenizer = model.get("tokenizer")
            if isinstance(tokenizer, dict) and isinstance(tokenizer.get("path"), str):
                tokenizer["path"] = folder / tokenizer["path"]
    return held_to("catalogue", Catalogue, raw)


def load_catalogue(path: Path | None = None) -> Catalogue:
    """The catalogue in `path`, by default the one that ships with the platform."""
    path = path or DEFAULT_CATALOGUE
    return parse_catalogue(
        read_text("catalogue", path, named_by="LLM_PLATFORM_CATALOGUE"), folder=path.parent
    )
