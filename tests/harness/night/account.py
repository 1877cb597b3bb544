"""Who and what there is in the account of the night: tenants, models, an endpoint, a judge."""

from decimal import Decimal
from typing import Final

from llmplatform.evaluations import Judge
from llmplatform.ids import TenantId
from llmplatform.policy import TenantPolicy
from sandbox.seed import SEEDED

ACME: Final = TenantId("acme")
GLOBEX: Final = TenantId("globex-health")
INITECH: Final = TenantId("initech-bank")
UMBRELLA: Final = TenantId("umbrella-labs")

HAIKU: Final = "claude-haiku-4-5"
SONNET: Final = "claude-sonnet-4-6"
LLAMA: Final = "llama-3-8b-support"
NOVA: Final = "nova-2-pro"
"""Has no price."""
ENDPOINT: Final = "llama-3-8b-support"
VARIANT: Final = "AllTraffic"
GPUS: Final = 4
JUDGE: Final = Judge("a3f1c2d4e5b60718", "us.anthropic.claude-sonnet-4-6", "answer-quality", "3")

CATALOGUE: Final = """
[models.claude-haiku-4-5]
endpoint_type = "bedrock"
backend_model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
dialect = "converse"
price_key = "anthropic.claude-haiku-4-5/geo"

[models.claude-sonnet-4-6]
endpoint_type = "bedrock"
backend_model_id = "us.anthropic.claude-sonnet-4-6"
dialect = "converse"
price_key = "anthropic.claude-sonnet-4-6/geo"

[models.nova-2-pro]
endpoint_type = "bedrock"
backend_model_id = "us.amazon.nova-2-pro-v1:0"
dialect = "converse"
price_key = "amazon.nova-2-pro/geo"

[models.llama-3-8b-support]
endpoint_type = "sagemaker"
backend_model_id = "llama-3-8b-support"
dialect = "openai_chat"
price_key = "sagemaker/llama-3-8b-support"
fallbacks = ["claude-haiku-4-5"]

[endpoints.llama-3-8b-support]
variants = [{ name = "AllTraffic", instance_type = "ml.g5.12xlarge", gpu_count = 4 }]
"""


def policies() -> tuple[TenantPolicy, ...]:
    """The laptop's tenants with the budgets of this story, and one that came this morning."""
    acme, globex, initech = SEEDED
    return (
        acme.model_copy(update={"daily_budget_usd": Decimal(150), "eval_sample_rate": 0.5}),
        globex.model_copy(update={"daily_budget_usd": Decimal(40), "allowed_models": None}),
        initech,
        TenantPolicy(tenant_id=UMBRELLA, display_name="Umbrella Labs", daily_budget_usd=Decimal(10)),
    )
