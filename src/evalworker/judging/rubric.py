"""The rubric: what a judge is asked, as a versioned file with a hash.

A published rubric does not change: another wording is another version, in a file of its own, because scores
by two wordings are not comparable. Pure but for `load_rubric`, which reads the file once at start-up.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmplatform.datafile import held_to, parse_toml, read_text
from llmplatform.evaluations import JUDGE_DIMENSIONS, MAX_SCORE, MIN_SCORE

RUBRICS: Final = Path(__file__).with_name("rubrics")
DEFAULT_RUBRIC: Final = RUBRICS / "answer-quality.v1.toml"

_SCORES: Final = MAX_SCORE - MIN_SCORE + 1
_Text = Annotated[str, Field(min_length=1)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Dimension(_Data):
    """What is asked about one dimension, and what each score stands for."""

    question: _Text
    anchors: Annotated[tuple[_Text, ...], Field(min_length=_SCORES, max_length=_SCORES)]
    """From the lowest score to the highest."""


class Rubric(_Data):
    """All that a judge is told but the material."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")
    version: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,15}$")
    role: _Text
    """Who the judge is and how it scores."""
    task: _Text
    """What it is to do, told after the material too."""
    tool_name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    """Converse's own rule for the name of a tool."""
    tool_description: _Text
    dimensions: Mapping[str, Dimension]

    @model_validator(mode="after")
    def _scores_what_is_stored(self) -> Self:
        missing = [name for name in JUDGE_DIMENSIONS if name not in self.dimensions]
        unknown = [name for name in self.dimensions if name not in JUDGE_DIMENSIONS]
        if missing or unknown:
            raise ValueError(f"dimensions: missing {missing}, unknown {unknown}")
        return self

    @cached_property
    def sha256(self) -> str:
        """Of the content, in hex: comments, order and layout of the file do not count, every word does."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return sha256(canonical.encode()).hexdigest()


def parse_rubric(text: str) -> Rubric:
    """The rubric that a TOML text spells. Raises ConfigFault that names each field at fault."""
    return held_to("rubric", Rubric, parse_toml("rubric", text))


def load_rubric(path: Path | None = None) -> Rubric:
    """The rubric in `path`, by default the one that ships. Raises ConfigFault naming file and field."""
    return parse_rubric(read_text("rubric", path or DEFAULT_RUBRIC, named_by="EVAL_RUBRIC"))
