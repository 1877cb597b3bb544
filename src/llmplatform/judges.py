"""Models that can judge: dated data from `judges.toml` beside this file, or from the file that is named.

Pure but for `load_judge_models`, which reads the file once at start-up.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmplatform.datafile import held_to, parse_toml, read_text
from llmplatform.errors import ConfigFault

DEFAULT_JUDGES: Final = Path(__file__).with_name("judges.toml")


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class JudgeModel(_Data):
    """One model on Bedrock, and what a call to it may hold."""

    model_id: str = Field(min_length=1, max_length=2048)
    """Model id, inference-profile id or ARN."""
    price_key: str = Field(min_length=1)
    takes_temperature: bool = True
    """Whether `temperature` 0 may be asked for; some models refuse the field."""
    tool_choice: Literal["tool", "any"] = "tool"
    max_tokens: int = Field(default=1024, ge=256, le=8192)
    """For the reply: four reasons and scores are about 300."""
    end_of_life: date | None = None
    """When the provider stops serving it; calls then fail as an invalid model id."""
    source: str = Field(min_length=1)
    retrieved_on: date


class JudgeModels(_Data):
    """The models by name, and which one judges when none is named."""

    default: str
    judges: Mapping[str, JudgeModel]

    @model_validator(mode="after")
    def _default_is_there(self) -> Self:
        if self.default not in self.judges:
            raise ValueError(f"default names {self.default!r}, which is not among the judges")
        return self

    def named(self, name: str | None = None) -> JudgeModel:
        """A model by its name here. Raises ConfigFault that lists the names."""
        try:
            return self.judges[name or self.default]
        except KeyError:
            names = ", ".join(sorted(self.judges))
            raise ConfigFault(f"no judge is named {name!r}; there are {names}") from None


def parse_judge_models(text: str) -> JudgeModels:
    """The models that a TOML text spells. Raises ConfigFault that names each field at fault."""
    return held_to("judges", JudgeModels, parse_toml("judges", text))


def load_judge_models(path: Path | None = None) -> JudgeModels:
    """The models in `path`, by default those that ship with the platform."""
    return parse_judge_models(read_text("judges", path or DEFAULT_JUDGES, named_by="EVAL_JUDGES"))
