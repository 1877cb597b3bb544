"""What `up` does about a process beside the gateway that does not stay up."""

import os
from pathlib import Path

import pytest

from harness.platform import eventually
from sandbox import background
from sandbox.background import EVALUATION, LOOP, Background
from sandbox.children import Child


class Heard:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, name: str, seconds: float) -> None:
        assert name.endswith("stopped")
        assert seconds >= 0

    def note(self, text: str) -> None:
        self.notes.append(text)


async def test_a_crash_loop_is_told_plainly_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.01)
    heard, children = Heard(), list[Child]()
    log = tmp_path / EVALUATION.log_name
    environment = {**os.environ, "EVAL_JUGDE": "misspelt"}
    async with Background(tmp_path, environment, heard, children, [EVALUATION]):
        await eventually(lambda: len(heard.notes) == LOOP or None, within_s=120)
        # It is tried on, and nothing more is told.
        await eventually(lambda: log.read_text().count("EVAL_JUGDE") > LOOP or None, within_s=120)
    assert children == []
    first, *_, last = heard.notes
    assert len(heard.notes) == LOOP
    assert "ended with status 2 and starts again in 0.01 s" in first
    assert "does not stay up, and answers are not evaluated" in last
    assert "EVAL_JUGDE" in last
