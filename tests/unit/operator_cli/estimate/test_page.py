"""docs/capacity.md says what the command says at the design's scale."""

from functools import cache
from pathlib import Path

import pytest

from harness.estimates import DESIGN, FACTS, FIVE_MODELS, asked, pricing
from operator_cli.estimate.estimating import Estimate, Size, estimate
from operator_cli.estimate.limits import fillings
from operator_cli.estimate.parts import month_of
from operator_cli.estimate.telling import percent, percent_between, times
from operator_cli.estimate.workload import Growth

PAGE = (Path(__file__).parents[4] / "docs" / "capacity.md").read_text()
ROWS = {
    "reads of Parameter Store": "reads of Parameter Store",
    "evaluation workers for each shard": "evaluation workers",
    "into the stream, new and on demand": "into the stream",
    "the cost job's hourly run": "cost job, one run",
    "tasks behind the load balancer": "behind the load balancer",
    "`request-ledger`, table or index": "request-ledger",
    "Bedrock, Nova Pro": "Bedrock, amazon.nova-pro/geo",
    "Bedrock, Claude Haiku 4.5 with the judge": "Bedrock, anthropic.claude-haiku-4-5/geo",
}
"""Limits by their names on the page, and here."""


def row(begins: str) -> list[str]:
    """The cells of the one row of a table that begins so."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {begins} |"))
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


@cache
def found(models: str = FIVE_MODELS) -> Estimate:
    each = min(3, models.count(",") + 1)
    return estimate(asked(1, 10, 100, 1_000, models=models, models_per_tenant=each), pricing())


@cache
def full_at(growth: Growth) -> dict[str, str]:
    filled = fillings((DESIGN,), DESIGN, growth, FACTS, pricing())
    return {each.limits[0].name: times(each.full_at) for each in filled if each.full_at is not None}


@pytest.mark.parametrize(
    ("begins", "models"),
    [
        ("Claude Sonnet 4.6 alone", "claude-sonnet-4-6"),
        ("five models in equal parts, Sonnet 4.6 to Nova Lite", FIVE_MODELS),
        ("Claude Haiku 4.5 alone", "claude-haiku-4-5"),
    ],
)
def test_shares_are_those_of_the_command(begins: str, models: str) -> None:
    share = found(models).sizes[0].share
    assert share is not None
    assert row(begins)[1:] == [percent(share.likely), percent_between(share)]


def test_levers_are_those_of_the_command() -> None:
    for lever in found().levers:
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{lever.what}`"))
        assert line.endswith(f"| {percent(lever.share.likely)} |")


@pytest.mark.parametrize("begins", ROWS)
def test_limits_are_full_where_the_command_says(begins: str) -> None:
    name = ROWS[begins]
    assert row(begins)[3:] == [full_at("tenants")[name], full_at("traffic")[name]]


def test_sums_are_those_of_the_command() -> None:
    def told(cell: str) -> float:
        number = cell.removesuffix(" M")
        return float(number.replace(",", "")) * (1_000_000 if number != cell else 1)

    for begins, layer in (("**observing, likely**", "observing"), ("**serving, likely**", "serving")):
        for cell, size in zip(row(begins)[1:], found().sizes, strict=True):
            assert told(cell) == pytest.approx(float(of(size, layer)), rel=0.01)


def of(size: Size, layer: str) -> float:
    return float(month_of(part for part in size.parts if part.layer == layer).likely)


def test_alarms_are_as_many_as_the_command_counts() -> None:
    (alarms,) = (part for part in found().sizes[0].parts if part.name == "alarms")
    assert float(row("alarms")[2].replace(",", "")) == pytest.approx(float(alarms.quantity.likely), rel=0.01)
