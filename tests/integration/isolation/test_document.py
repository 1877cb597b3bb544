"""docs/isolation.md tells what is tried, as the sweep has it, and no process with an API is forgotten."""

import re
from pathlib import Path

import pytest

from integration.isolation.document import BELOW, DOCUMENT, ROOT, written

LISTENING = re.compile(
    r"^\s*(?:import|from) (?:uvicorn|http\.server|socketserver|wsgiref|llmplatform\.process\.serving)\b"
    r"|^\s*from aiohttp import .*\bweb\b"
    r"|\.(?:start_server|create_server|listen)\(",
    re.MULTILINE,
)
"""What a process listens with."""
WITH_ROUTES = {
    "gateway.http.protocol",
    "gateway.http.server",
    "costagg.api.server",
    "watch.console.server",
    "llmplatform.process.serving",
}
"""The servers whose routes the sweep knows."""
STAND_INS = ("sandbox.", "operator_cli.drill.receiver")
"""For others' services."""


def test_the_tables_of_the_document_are_those_of_the_sweep() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert written(text) == text, "run: PYTHONPATH=tests python -m integration.isolation.document"


@pytest.mark.parametrize("test", [test for _, test in BELOW])
def test_every_test_that_the_document_names_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_nobody_listens_but_those_whose_routes_are_known() -> None:
    listening = {module for module, path in _modules() if LISTENING.search(path.read_text(encoding="utf-8"))}
    assert {module for module in listening if not module.startswith(STAND_INS)} == WITH_ROUTES


def _modules() -> list[tuple[str, Path]]:
    source = ROOT / "src"
    found = sorted(source.rglob("*.py"))
    return [(".".join(path.relative_to(source).with_suffix("").parts), path) for path in found]
