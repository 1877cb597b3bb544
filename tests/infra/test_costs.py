"""What stands there costs: counted from the templates, and told by the document."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.costs import DOCUMENT, PART, standing, table
from infra.document import replaced
from llmplatform.fixed_costs import Service

Of = Callable[[Stack], Template]
Resources = Mapping[str, Mapping[str, Any]]


def templates(platform: Platform, template: Of) -> Iterable[Resources]:
    stacks = (
        platform.data,
        platform.network,
        platform.identity,
        platform.gateway,
        platform.evaluation,
        platform.cost,
        platform.watch,
    )
    return [template(stack).to_json().get("Resources", {}) for stack in stacks]


def test_the_document_tells_what_the_templates_come_to(dev: Platform, prod: Platform, template: Of) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    made = table({"dev": templates(dev, template), "prod": templates(prod, template)}, "us-east-1")
    assert replaced(text, PART, made) == text, "python -m infra.costs writes it again"


def test_production_has_what_it_was_told_to_have(prod: Platform, template: Of) -> None:
    there = standing(templates(prod, template))
    assert there.zones == 3
    assert Service("gateway", tasks=3, vcpu=Decimal(2), memory_gb=Decimal(4)) in there.services
    assert (there.load_balancers, there.web_acls, there.streams) == (1, 1, 1)
    assert there.keys == 7


def test_a_part_that_a_document_does_not_have_is_named() -> None:
    assert replaced("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb", "x", "new") == (
        "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb"
    )
    with pytest.raises(ValueError, match="y:begin"):
        replaced("text", "y", "new")
