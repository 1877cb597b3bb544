"""What documents name is there: files they link to, commands and options of `llm-platform`, make targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from operator_cli.__main__ import app
from operator_cli.evals import TenantByDefault

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
# A command in a block begins its line; in a sentence it stands between backticks.
COMMAND = re.compile(r"(?:^|`|\$ )(?:\.venv/bin/)?llm-platform ([^`\n#|]*)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)(--[a-z][a-z0-9-]*)")
MAKE = re.compile(r"`make ([a-z-]+)")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.fixture(scope="module")
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_file_that_is_linked_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    missing = [found[1] for found in LINK.finditer(text) if not (path.parent / found[1]).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_command_that_is_named_is_one(path: Path, targets: set[str]) -> None:
    text = path.read_text(encoding="utf-8")
    wrong = [problem for found in COMMAND.finditer(text) for problem in problems(found[1])]
    wrong += [f"make {name}" for name in MAKE.findall(text) if name not in targets]
    assert wrong == []


def problems(words: str) -> Iterator[str]:
    """What is wrong with a command as it is written; of alternatives (`a | b`) the first counts."""
    command = get_command(app)
    for word in words.split():
        if not isinstance(command, TyperGroup) or not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        if word not in command.commands:
            if not isinstance(command, TenantByDefault):
                yield f"llm-platform {words.strip()}: no command {word}"
                return
            word = "tenant"  # noqa: PLW2901 -- as the group itself reads it
        command = command.commands[word]
    known = {"--help", *(name for one in command.params for name in (*one.opts, *one.secondary_opts))}
    for option in OPTION.findall(words):
        if option not in known:
            yield f"llm-platform {words.strip()}: no option {option}"
