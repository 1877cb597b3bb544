"""Rubrics: what a file must hold, and that published ones do not change."""

from pathlib import Path

import pytest

from evalworker.judging.rubric import DEFAULT_RUBRIC, RUBRICS, load_rubric, parse_rubric
from llmplatform.errors import ConfigFault
from llmplatform.evaluations import JUDGE_DIMENSIONS

PUBLISHED = {
    "answer-quality.v1.toml": "b55c8ed3b037f182a0f5755883eae2c45a712dc08333f6faa7771eec8c988f06",
}
"""SHA-256 of each rubric that ships. A rubric whose hash changes needs a new version in a new file."""

TEXT = DEFAULT_RUBRIC.read_text()


def test_a_published_rubric_does_not_change_without_a_new_version() -> None:
    assert {path.name: load_rubric(path).sha256 for path in RUBRICS.glob("*.toml")} == PUBLISHED


def test_a_rubric_is_in_the_file_that_its_id_and_version_name() -> None:
    for path in RUBRICS.glob("*.toml"):
        rubric = load_rubric(path)
        assert path.name == f"{rubric.id}.v{rubric.version}.toml"


def test_the_hash_is_of_the_words_and_not_of_the_file() -> None:
    rubric = parse_rubric(TEXT)
    assert parse_rubric("# another comment\n" + TEXT).sha256 == rubric.sha256
    head, relevance, coherence, *rest = TEXT.split("[dimensions.")
    moved = "[dimensions.".join([head, coherence, relevance, *rest])
    assert parse_rubric(moved).sha256 == rubric.sha256
    assert parse_rubric(TEXT.replace("Misses the question", "Misses a question")).sha256 != rubric.sha256
    assert parse_rubric(TEXT.replace('version = "1"', 'version = "2"')).sha256 != rubric.sha256


def test_the_rubric_that_ships_has_an_anchor_for_each_score_of_each_dimension() -> None:
    rubric = load_rubric()
    assert set(rubric.dimensions) == set(JUDGE_DIMENSIONS)
    assert {len(dimension.anchors) for dimension in rubric.dimensions.values()} == {5}


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("id =", "id", "TOML"),
        ('id = "answer-quality"', 'id = "Answer Quality"', "id"),
        ('version = "1"', 'version = ""', "version"),
        ('tool_name = "record_scores"', 'tool_name = "record scores"', "tool_name"),
        ("[dimensions.coherence]", "[dimensions.charm]", "charm"),
        ('    "Misses the question entirely.",\n', "", "dimensions.relevance.anchors"),
        ('    "Misses the question entirely.",\n', '    " ",\n', "dimensions.relevance.anchors.0"),
        ("tool_name", "tool_title", "tool_title"),
    ],
)
def test_a_rubric_with_a_mistake_names_the_field(before: str, after: str, names: str) -> None:
    with pytest.raises(ConfigFault, match=names.replace(".", r"\.")):
        parse_rubric(TEXT.replace(before, after))


def test_an_operators_own_rubric_is_read_from_where_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(TEXT.replace('id = "answer-quality"', 'id = "own"'))
    assert load_rubric(own).id == "own"
    with pytest.raises(ConfigFault, match=r"none\.toml"):
        load_rubric(tmp_path / "none.toml")
    own.write_bytes(b"\xff")
    with pytest.raises(ConfigFault, match="not UTF-8 text"):
        load_rubric(own)
