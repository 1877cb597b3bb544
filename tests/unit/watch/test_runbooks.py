"""A page for each alarm, and nothing on it that is not so: thresholds, links, commands, settings, tests."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import typer.main
from typer.core import TyperGroup

from harness.runbook_lines import lines_of, pages, severity_of
from operator_cli.__main__ import app
from watch.limits import PREFIX, Limits
from watch.requests.filters import Filters
from watch.tables.rules import SEVERITIES

ROOT = Path(__file__).parents[3]
RUNBOOKS = ROOT / "docs/runbooks"
PAGES = pages()
PROGRAM = typer.main.get_group(app)
NOT_OF_AN_ALARM = {"README", "cost", "evaluation"}
"""The index, and what people ask that no alarm tells."""

HEADINGS = ["What it means", "Look first", "Make it quiet", "How it was tested"]
VIEWS = re.compile(
    r"/(?:(?:tenants|endpoints|models|traces|evaluations)/\{[a-z_]+\}"
    r"|requests(?:\?[^ ]*)?|cost|alarms|platform)?"
)
COMMANDS = ("llm-platform ", "aws ", "metric ", "bill ", "calls ", "curl ", "python -m ")
ASKED_OF_REQUESTS = {"tenant", "model", "outcome", "error", "origin", "slow", "slow_ms", "score", "dimension"}

every_page = pytest.mark.parametrize("page", PAGES)
every_document = pytest.mark.parametrize("name", sorted(path.stem for path in RUNBOOKS.glob("*.md")))


def text_of(name: str) -> str:
    return (RUNBOOKS / f"{name}.md").read_text()


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def spans(text: str) -> list[str]:
    """What stands in code spans, each on one line."""
    without_blocks = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", without_blocks)]


def anchors(text: str) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands_in(text: str) -> Iterator[list[str]]:
    """The commands of the operator's program that a text names, as words."""
    for span in spans(text):
        if span.startswith("llm-platform "):
            yield shlex.split(span.split(" | ")[0])[1:]


def test_every_alarm_has_a_page_and_every_page_an_alarm() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(PAGES) | NOT_OF_AN_ALARM


@every_page
def test_a_page_has_a_title_and_its_four_parts_in_order(page: str) -> None:
    text = text_of(page)
    assert re.match(r"# \S.+\n\n- `", text)
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == HEADINGS
    assert all(section(text, heading).strip() for heading in HEADINGS)


@every_page
def test_a_page_is_read_within_a_minute(page: str) -> None:
    assert 20 <= text_of(page).count("\n") <= 60


@every_page
def test_severity_and_threshold_are_those_of_the_table(page: str) -> None:
    top = text_of(page).split("\n## ")[0].split("\n", 2)[2].strip()
    assert top == lines_of(PAGES[page])


@every_page
def test_there_are_three_things_to_look_at_and_each_is_a_view_or_a_command(page: str) -> None:
    things = re.split(r"^\d\. ", section(text_of(page), "Look first"), flags=re.MULTILINE)[1:]
    assert len(things) == 3
    for thing in things:
        assert any(VIEWS.fullmatch(span) or span.startswith(COMMANDS) for span in spans(thing)), thing


@every_document
def test_a_view_that_is_named_is_one_that_the_console_has(name: str) -> None:
    for span in spans(text_of(name)):
        if re.match(r"/(?:tenants|endpoints|models|traces|evaluations|requests|cost|alarms)\b", span):
            assert VIEWS.fullmatch(span), span
            asked = dict(parse_qsl(span.partition("?")[2]))
            assert asked.keys() <= ASKED_OF_REQUESTS
            Filters.asked({name: value.strip("{}") for name, value in asked.items()})


@every_document
def test_every_link_of_ours_resolves(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_of(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (RUNBOOKS / path).resolve() if path else RUNBOOKS / f"{name}.md"
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


@pytest.mark.parametrize("document", ["README.md", "docs/evaluation.md", "docs/cost.md"])
def test_whoever_links_to_the_runbooks_finds_them(document: str) -> None:
    file = ROOT / document
    linked = re.findall(r"\]\(([^)#]*runbooks/[^)#]*)", file.read_text())
    assert linked
    assert all((file.parent / link).is_file() for link in linked)


@every_document
def test_every_variable_of_alarms_exists(name: str) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Limits.model_fields}
    assert set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+[A-Z0-9]", text_of(name))) <= known


@every_document
def test_every_command_exists_with_the_options_that_it_is_given(name: str) -> None:
    for words in commands_in(text_of(name)):
        check(PROGRAM, words)


def check(command: Any, words: list[str]) -> None:
    """Follow the words down to the command that they name, and look its options up."""
    while isinstance(command, TyperGroup) and words:
        found = command.commands.get(words[0])
        if found is None:
            default = command.commands.get("tenant")  # `llm-platform evals TENANT`
            assert default is not None, words
            command = default
            break
        command, words = found, words[1:]
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    asked = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert asked <= options, (command.name, asked - options)


@every_page
def test_the_tests_that_a_page_names_are_there(page: str) -> None:
    tested = section(text_of(page), "How it was tested")
    files = [span for span in spans(tested) if span.startswith("tests/")]
    assert files
    there = "".join((ROOT / file).read_text() for file in files)
    for test in (span for span in spans(tested) if span.startswith("test_")):
        assert f"def {test}(" in there, test


def test_the_index_has_every_page_under_its_severity() -> None:
    parts = dict(zip(SEVERITIES, re.split(r"^## ", text_of("README"), flags=re.MULTILINE)[1:4], strict=True))
    for severity, part in parts.items():
        assert part.lower().startswith(severity)
        listed = {link.removesuffix(".md") for link in re.findall(r"\]\(([a-z0-9-]+\.md)\)", part)}
        assert listed == {page for page, rules in PAGES.items() if severity_of(rules) == severity}
