"""A world to draw dashboards of: two tenants, one with budgets, both kinds of models, four GPUs and none."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from llmplatform.catalogue import parse_catalogue
from llmplatform.testing import make_policy
from watch.tables.targets import World

CATALOGUE: Final = """
[models.small]
endpoint_type = "bedrock"
backend_model_id = "vendor.small-v1:0"
dialect = "converse"
price_key = "sandbox/scripted"

[models."vendor/large:1"]
endpoint_type = "sagemaker"
backend_model_id = "large"
dialect = "openai_chat"
price_key = "sandbox/scripted"

[[endpoints.large.variants]]
name = "AllTraffic"
instance_type = "ml.g5.12xlarge"
gpu_count = 4

[[endpoints.tiny.variants]]
name = "AllTraffic"
instance_type = "ml.c7i.xlarge"
gpu_count = 0
"""
ACME: Final = make_policy("acme", daily_budget_usd=Decimal(5), daily_budget_tokens=1_000_000)
GLOBEX: Final = make_policy("globex", allowed_models=frozenset({"small"}))
WORLD: Final = World(parse_catalogue(CATALOGUE, folder=Path("/nowhere")), (ACME, GLOBEX))


def panels_in(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The panels of a dashboard's JSON, those of folded rows too, without the rows' headings."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def metric_queries_in(dashboard: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each query of a CloudWatch metric, after its panel."""
    for panel in panels_in(dashboard):
        for target in panel.get("targets", ()):
            if target.get("queryMode") == "Metrics":
                yield panel, target
