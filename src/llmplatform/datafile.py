"""Data files of the platform: TOML held to a model, with faults that name the file, the field and the fix.

Pure but for `read_text`, which reads a file once at start-up.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from llmplatform.errors import ConfigFault

ModelT = TypeVar("ModelT", bound=BaseModel)


def parse_toml(what: str, text: str, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """What a TOML text says. Raises ConfigFault."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFault(f"{what}: not valid TOML: {error}") from error


def held_to(what: str, model: type[ModelT], raw: Mapping[str, Any]) -> ModelT:
    """The model that a document spells. Raises ConfigFault that names each field at fault."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigFault(f"{what}: {problems}") from error


def read_text(what: str, path: Path, *, named_by: str) -> str:
    """A file's text. Raises ConfigFault that says which variable names the file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigFault(f"{what} {path} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigFault(
            f"{what} {path} cannot be read ({error.strerror}); {named_by} names the file"
        ) from error
