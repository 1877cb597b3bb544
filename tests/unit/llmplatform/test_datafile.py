"""Data files: what is wrong is told by file, field and fix."""

from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from llmplatform.datafile import held_to, parse_toml, read_text
from llmplatform.errors import ConfigFault


class Shelf(BaseModel):
    height_cm: int = Field(gt=0)


def test_a_good_document_becomes_its_model() -> None:
    assert held_to("shelf", Shelf, parse_toml("shelf", "height_cm = 40")) == Shelf(height_cm=40)


def test_what_is_no_toml_is_told_with_its_place() -> None:
    with pytest.raises(ConfigFault, match=r"shelf: not valid TOML: "):
        parse_toml("shelf", "height_cm = ")


def test_a_field_at_fault_is_named() -> None:
    with pytest.raises(ConfigFault, match="shelf: height_cm: "):
        held_to("shelf", Shelf, {"height_cm": 0})


def test_a_file_that_cannot_be_read_is_told_with_the_variable_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigFault, match=r"cannot be read \(No such file or directory\); SHELF names the file"
    ):
        read_text("shelf", tmp_path / "none.toml", named_by="SHELF")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigFault, match="not UTF-8"):
        read_text("shelf", tmp_path / "bytes.toml", named_by="SHELF")
