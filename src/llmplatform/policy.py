"""What a tenant may do and wants done with its content: one frozen value, resolved once per request.

The document's home is Parameter Store, `/llm-platform/{tenant_id}/policy`, with `eval_sample_rate` beside
it; who reads and caches it is in `llmplatform.aws.parameters`.
"""

import json
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId

DEFAULT_EVAL_SAMPLE_RATE = 0.05
DEFAULT_PROMPT_CHARS = 2_000
DEFAULT_COMPLETION_CHARS = 8_000


class ContentMode(StrEnum):
    """How much of prompts and completions may leave the request path."""

    FULL = "full"
    """Sampled whole, up to the stream's record limit."""
    TRUNCATED = "truncated"
    """Sampled, cut to `max_prompt_chars` and `max_completion_chars`."""
    HASH_ONLY = "hash_only"
    """Never: only the SHA-256 of the prompt, for correlation."""


class Objectives(BaseModel):
    """Service-level objectives, in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttft_p50_ms: int = Field(default=800, gt=0)
    ttft_p99_ms: int = Field(default=4_000, gt=0)
    total_latency_p99_ms: int = Field(default=60_000, gt=0)


class TenantPolicy(BaseModel):
    """A tenant's policy. Unknown fields are refused, so that a misspelt one is not silently the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: TenantId
    display_name: str = ""
    content_mode: ContentMode = ContentMode.TRUNCATED
    log_content: bool = False
    """Opt-in to content in the content log group (7 days). Without effect under `hash_only`."""
    max_prompt_chars: int = Field(default=DEFAULT_PROMPT_CHARS, ge=0, le=400_000)
    max_completion_chars: int = Field(default=DEFAULT_COMPLETION_CHARS, ge=0, le=400_000)
    eval_sample_rate: float = Field(default=DEFAULT_EVAL_SAMPLE_RATE, ge=0, le=1)
    """Lives in a parameter of its own, as the design doc has it; joined in when the policy is read."""
    allowed_models: frozenset[str] | None = None
    """Public model names; None allows all of the catalogue."""
    objectives: Objectives = Objectives()
    daily_budget_usd: Decimal | None = Field(default=None, ge=0)
    daily_budget_tokens: int | None = Field(default=None, ge=0)
    judge_daily_budget_usd: Decimal | None = Field(default=None, ge=0)
    """What judging this tenant's answers may cost a UTC day; None leaves it to the worker's own setting."""
    max_in_flight: int = Field(default=64, ge=1)
    """Requests of this tenant at once, per gateway task."""
    kms_key: str | None = None
    """ARN or alias of the tenant's own key, for content at rest."""

    def allows_model(self, model_id: str) -> bool:
        """Whether the tenant may call `model_id`, a public name."""
        return self.allowed_models is None or model_id in self.allowed_models

    @property
    def may_log_content(self) -> bool:
        """Whether prompt and completion may go to the content log group."""
        return self.log_content and self.content_mode is not ContentMode.HASH_ONLY


def parse_policy(tenant: TenantId, document: str, eval_sample_rate: str | None = None) -> TenantPolicy:
    """The policy that a JSON document and the sample rate's parameter spell.

    Raises ConfigFault that names the tenant and each field at fault, and quotes no value.
    """
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ConfigFault(f"policy of tenant {tenant}: not valid JSON") from error
    if not isinstance(fields, dict):
        raise ConfigFault(f"policy of tenant {tenant}: not a JSON object")
    if fields.setdefault("tenant_id", tenant) != tenant:
        raise ConfigFault(f"policy of tenant {tenant}: tenant_id names another tenant")
    if eval_sample_rate is not None:
        fields["eval_sample_rate"] = eval_sample_rate
    try:
        return TenantPolicy.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigFault(f"policy of tenant {tenant}: {problems}") from error
