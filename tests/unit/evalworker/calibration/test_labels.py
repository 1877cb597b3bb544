import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalworker.calibration.labels import LabelFile, LabelsFault, parse_labels

GOOD = (
    "item_id,relevance:alice,relevance:bob,coherence,prompt,completion,reference,contexts\n"
    'a,4,5,3,"why, then?","for\nthis",since,"[""one"", ""two""]"\n'
    "b,,2,,p,c,,[1] is a footnote\n"
)


def problems(text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(LabelsFault) as caught:
        parse_labels(text.encode() if isinstance(text, str) else text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def read(text: str) -> LabelFile:
    return parse_labels(text.encode())


def test_items_labels_raters_and_content_are_read() -> None:
    labels = read(GOOD)
    first, second = labels.items
    assert first.labels == {"relevance": (4, 5), "coherence": (3,)}
    assert (first.prompt, first.completion, first.reference) == ("why, then?", "for\nthis", "since")
    assert first.contexts == ("one", "two")
    assert first.completion_chars == 8
    assert second.labels == {"relevance": (2,)}
    assert second.contexts == ("[1] is a footnote",)
    assert second.reference is None
    assert labels.raters == {
        "relevance": 2,
        "coherence": 1,
        "factual_fidelity": 0,
        "absence_of_hallucination": 0,
    }
    assert labels.blank_cells["relevance"] == 1
    assert labels.has_content


def test_no_text_is_in_what_an_item_shows_of_itself() -> None:
    assert "why" not in repr(read(GOOD))
    assert "since" not in repr(read(GOOD))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_byte_order_mark_and_other_separators_are_fine(delimiter: str) -> None:
    text = "request_id,relevance\nr1,4\n".replace(",", delimiter)
    labels = parse_labels(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert labels.items[0].request_id == "r1"
    assert labels.items[0].labels == {"relevance": (4,)}
    assert not labels.has_content


def test_a_length_can_be_given_where_the_answer_is_not() -> None:
    labels = read("request_id,relevance,completion_chars\nr1,4,120\nr2,4,\n")
    assert [item.completion_chars for item in labels.items] == [120, None]


@pytest.mark.parametrize(
    "label", ["0", "6", "4.0", "3.5", "-1", "four", "1e0", "nan", "٤", "a secret prompt"]
)
def test_a_bad_label_names_line_and_column_and_is_not_quoted(label: str) -> None:
    (problem,) = problems(f"item_id,prompt,completion,relevance\na,p,c,4\nb,p,c,{label}\n")
    assert problem == (
        "line 3, column `relevance`: not a whole number from 1 to 5; leave it empty if not rated"
    )


def test_lines_are_counted_through_cells_with_line_breaks() -> None:
    (problem,) = problems('item_id,prompt,completion,relevance\na,"1\n2\n3",c,4\n\nb,p,c,9\n')
    assert problem.startswith("line 6,")


def test_all_problems_come_at_once() -> None:
    found = problems("item_id,prompt,completion,relevance,coherence\na,p,c,9,9\na,,c,1,1\nb,p,c,1\n")
    assert found == (
        "line 2, column `relevance`: not a whole number from 1 to 5; leave it empty if not rated",
        "line 2, column `coherence`: not a whole number from 1 to 5; leave it empty if not rated",
        "line 3, column `prompt`: empty; fill it, or remove the row",
        "line 3, column `item_id`: the id of line 2 again; remove one",
        "line 4: 4 cells under 5 columns; quote cells that hold the separator or a line break",
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("prompt,completion,relevance", "line 1: a column `item_id` or `request_id` is needed"),
        ("item_id,prompt,relevance", "line 1: a column `completion` is needed beside `prompt`"),
        ("item_id,relevance", "line 1: columns `prompt` and `completion` are needed"),
        ("request_id,relevance,relevance", "line 1, column 3: its name is there twice; remove one"),
        ("request_id,relevence,coherence", "line 1, column 2: is `relevance` meant? Spell it so"),
        ("request_id,Relevance:alice", "line 1, column 2: is `relevance` meant? Spell it so"),
        ("request_id,score", "line 1: a column of labels is needed: relevance, coherence,"),
    ],
)
def test_a_header_that_cannot_be_used_says_what_to_change(header: str, expected: str) -> None:
    found = problems(f"{header}\n{','.join('x' * (header.count(',') + 1))}\n")
    assert any(problem.startswith(expected) for problem in found)


def test_columns_that_mean_nothing_here_are_ignored_by_position_and_counted() -> None:
    labels = read("request_id,my remarks,relevance,\nr1,what a prompt!,4,\n")
    assert labels.ignored_columns == (2, 4)


def test_a_row_of_a_file_without_content_needs_its_request_id() -> None:
    assert problems("item_id,request_id,relevance\na,,4\n") == (
        "line 2, column `request_id`: empty; fill it, or remove the row",
    )


def test_what_is_no_table_is_refused_with_a_fix() -> None:
    assert problems("") == ("line 1: a row of column names is needed, and a row for each item",)
    assert problems("item_id,relevance\n")[0].startswith("line 1: a row of column names")
    assert problems(b"request_id,relevance\nr,4\n" + b"caf\xe9,4\n") == (
        "line 3: not UTF-8; save the file as 'CSV UTF-8'",
    )
    assert problems('request_id,relevance\n"r,4\n')[0].startswith("line 2: not CSV")
    assert problems("request_id,relevance\nr" + "x" * 140_000 + ",4\n")[0].startswith("line 2: not CSV")


def problems_or_none(data: bytes) -> tuple[str, ...] | None:
    try:
        parse_labels(data)
    except LabelsFault as fault:
        return fault.problems
    return None


@given(st.one_of(st.text(max_size=200).map(str.encode), st.binary(max_size=200)), st.booleans())
def test_any_bytes_are_read_or_refused_by_line(data: bytes, with_header: bool) -> None:  # noqa: FBT001
    found = problems_or_none(b"request_id,relevance\n" + data if with_header else data)
    assert found is None or all(problem.startswith("line ") for problem in found)
