"""An estimate as people and programs get it: complete, with sources, and nothing unknown shown as zero."""

import json
from decimal import Decimal
from functools import cache
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from harness.estimates import asked, pricing
from operator_cli.estimate.estimating import Estimate, estimate
from operator_cli.estimate.facts import facts_of
from operator_cli.estimate.figures import FIGURES, Range
from operator_cli.estimate.telling import full, percent_between, short, times, usd, usd_between
from operator_cli.estimate.view import shown


@cache
def found(models: str = "claude-sonnet-4-6,nova-lite,llama-3-8b-support") -> Estimate:
    return estimate(asked(1, 10, 100, 1_000, models=models), pricing())


def told(*, sources: bool = False) -> str:
    file = StringIO()
    Console(file=file, width=160, no_color=True, highlight=False).print(shown(found(), sources=sources))
    return file.getvalue()


def line_with(text: str, of: str) -> str:
    return next(line for line in of.splitlines() if text in line)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0"),
        ("7", "7"),
        ("0.742", "0.74"),
        ("4583", "4.58k"),
        ("61000000", "61.0M"),
        ("1300000000", "1.30B"),
    ],
)
def test_numbers_have_three_digits(number: str, text: str) -> None:
    assert short(Decimal(number)) == text


def test_what_is_unknown_is_said_to_be() -> None:
    assert usd(None) == full(None) == percent_between(None) == "unknown"


def test_a_range_of_one_number_is_that_number() -> None:
    assert usd_between(Range.exactly(5)) == "$5"
    assert usd_between(Range(Decimal(1), Decimal(2), Decimal(3))) == "$1–$3"


@pytest.mark.parametrize(("fullness", "text"), [("0.1", "10 %"), ("9.5", "950 %"), ("12", "12×")])
def test_a_limit_far_over_is_told_in_multiples(fullness: str, text: str) -> None:
    assert full(Decimal(fullness)) == text


@pytest.mark.parametrize(("factor", "text"), [("1", "1×"), ("4.56", "4.6×"), ("1000", "1,000×")])
def test_sizes_are_multiples(factor: str, text: str) -> None:
    assert times(Decimal(factor)) == text


def test_it_fits_into_a_hundred_and_sixty_columns() -> None:
    assert max(map(len, told().splitlines())) <= 160
    assert "…" not in told()


def test_it_is_called_an_estimate() -> None:
    assert "nothing here was measured on an account" in told()


def test_a_part_without_a_price_is_unknown_at_every_size_and_named() -> None:
    assert line_with("stream, after its first day, GB", told()).count("unknown") == 4
    assert "Not known, and in no sum: stream, after its first day, llama-3-8b-support." in told()


def test_each_size_has_its_share() -> None:
    assert line_with("most likely", told().partition("Observing's share")[2]).count("%") == 4


def test_what_is_full_is_told_with_what_to_do() -> None:
    assert "any size" in line_with("all tasks, vCPU", told())
    assert "WATCH_BANDS=false" in told()
    assert "nobody knows" in told()


def test_sources_are_told_when_they_are_asked_for() -> None:
    with_sources = told(sources=True)
    assert "make bench" not in told()
    for figure in FIGURES.values():
        assert figure.source.split()[0] in with_sources
    assert "privatelink" in with_sources


def test_programs_get_everything_exactly() -> None:
    facts: dict[str, Any] = json.loads(json.dumps(facts_of(found())))
    assert facts["estimated"] is True
    assert [size["factor"] for size in facts["sizes"]] == ["1", "10", "100", "1000"]
    parts = {part["name"]: part for part in facts["sizes"][0]["parts"]}
    assert parts["stream, after its first day"]["usd_per_month"] is None
    assert Decimal(parts["custom metrics"]["usd_per_month"]["likely"]) > 0
    assert all(part["source"] for part in parts.values())
    assert facts["sizes"][0]["unknown"] == ["stream, after its first day", "llama-3-8b-support"]
    assert set(facts["figures"]) == set(FIGURES)
    assert all(limit["source"] and limit["change"] for limit in facts["limits"])
