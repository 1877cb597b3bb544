"""What stands there costs: counted from the templates, and told by the document."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.costs import DOCUMENT, PART, standing, table
from infra.document import replaced
from llmplatform.fixed_costs import Service

All = Callable[[Platform], Mapping[str, Template]]
Resources = Mapping[str, Mapping[str, Any]]


def resources(platform: Platform, templates: All) -> list[Resources]:
    return [template.to_json().get("Resources", {}) for template in templates(platform).values()]


def test_the_document_tells_what_the_templates_come_to(dev: Platform, prod: Platform, templates: All) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    made = table({"dev": resources(dev, templates), "prod": resources(prod, templates)}, "us-east-1")
    assert replaced(text, PART, made) == text, "python -m infra.costs writes it again"


def test_production_has_what_it_was_told_to_have(prod: Platform, templates: All) -> None:
    there = standing(resources(prod, templates))
    assert there.zones == 3
    assert Service("gateway", tasks=3, vcpu=Decimal(2), memory_gb=Decimal(4)) in there.services
    assert (there.load_balancers, there.web_acls, there.streams) == (1, 1, 1)
    assert (there.keys, there.secrets, there.hosted_zones) == (7, 2, 1)


def test_a_way_in_is_paid_for_whichever_it_is(dev: Platform, prod: Platform, templates: All) -> None:
    ways = [standing(resources(each, templates)) for each in (dev, prod)]
    open_to_the_internet, internal = [(one.public_addresses, one.transit_gateway_attachments) for one in ways]
    assert open_to_the_internet == (2, 0)
    assert internal == (0, 1)


def test_a_part_that_a_document_does_not_have_is_named() -> None:
    assert replaced("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb", "x", "new") == (
        "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb"
    )
    with pytest.raises(ValueError, match="y:begin"):
        replaced("text", "y", "new")
