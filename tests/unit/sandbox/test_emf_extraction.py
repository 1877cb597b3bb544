from typing import Any

import orjson
import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from sandbox.emf_extraction import MAX_EVENT_BYTES, UNITS, Datum, extract

NOW_MS = 1_795_000_000_000
DAY_MS = 24 * 3600 * 1000


def line(**changes: Any) -> dict[str, Any]:
    """One good line, with some of its directive's or metadata's members changed, or the root's."""
    directive = {
        "Namespace": "LLMPlatform/Inference",
        "Dimensions": [["tenant_id", "model_id"], ["tenant_id"]],
        "Metrics": [
            {"Name": "time_to_first_token", "Unit": "Milliseconds", "StorageResolution": 1},
            {"Name": "input_token_count", "Unit": "Count"},
        ],
    }
    directive |= {name: changes.pop(name) for name in list(changes) if name in directive}
    metadata = {"Timestamp": NOW_MS, "CloudWatchMetrics": [directive]}
    metadata |= {name: changes.pop(name) for name in list(changes) if name in metadata}
    root = {
        "tenant_id": "acme",
        "model_id": "m-1",
        "time_to_first_token": [120, 80.5],
        "input_token_count": 12,
        "_aws": metadata,
    }
    return root | changes


def outcome(root: Any) -> tuple[list[Datum], list[tuple[str, str, str]]]:
    extraction = extract(orjson.dumps(root), NOW_MS)
    assert extraction.is_emf
    return list(extraction.datums), [(r.kind, r.reason, r.where) for r in extraction.rejections]


def test_every_metric_is_extracted_under_every_dimension_set() -> None:
    datums, rejections = outcome(line())
    assert not rejections
    both = (("model_id", "m-1"), ("tenant_id", "acme"))
    namespace = "LLMPlatform/Inference"
    assert datums == [
        Datum(namespace, "time_to_first_token", both, "Milliseconds", 1, NOW_MS, (120.0, 80.5)),
        Datum(namespace, "time_to_first_token", both[1:], "Milliseconds", 1, NOW_MS, (120.0, 80.5)),
        Datum(namespace, "input_token_count", both, "Count", 60, NOW_MS, (12.0,)),
        Datum(namespace, "input_token_count", both[1:], "Count", 60, NOW_MS, (12.0,)),
    ]


@pytest.mark.parametrize("text", [b"", b"plain text", b"[1, 2]", b'{"level": "info"}', b'{"a": {"_aws": 1}}'])
def test_other_lines_are_plain(text: bytes) -> None:
    extraction = extract(text, NOW_MS)
    assert (extraction.is_emf, extraction.datums, extraction.rejections) == (False, (), ())


def test_a_line_that_was_cut_is_a_parsing_error() -> None:
    extraction = extract(orjson.dumps(line())[:-1], NOW_MS)
    assert extraction.is_emf
    assert [(r.kind, r.reason) for r in extraction.rejections] == [("parsing", "not valid JSON")]


def test_an_empty_dimension_set_is_a_metric_without_dimensions() -> None:
    datums, rejections = outcome(line(Dimensions=[[]]))
    assert not rejections
    assert {datum.dimensions for datum in datums} == {()}


def test_unit_and_resolution_have_defaults() -> None:
    datums, _ = outcome(line(Metrics=[{"Name": "input_token_count"}], Dimensions=[[]]))
    assert [(datum.unit, datum.storage_resolution_s) for datum in datums] == [("None", 60)]


def test_members_that_the_format_does_not_know_are_ignored() -> None:
    root = line(LogGroup="x")
    root["_aws"]["Extra"] = 1
    root["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Extra"] = 1
    assert len(outcome(root)[0]) == 4


def test_where_the_line_wants_to_go_is_told() -> None:
    root = line()
    root["_aws"] |= {"LogGroupName": "/a", "LogStreamName": "b"}
    extraction = extract(orjson.dumps(root), NOW_MS)
    assert (extraction.log_group, extraction.log_stream) == ("/a", "b")


CLOUDWATCH = "_aws.CloudWatchMetrics"


@pytest.mark.parametrize(
    ("changes", "kind", "where"),
    [
        ({"_aws": 1}, "parsing", "_aws"),
        ({"_aws": None}, "parsing", "_aws"),
        ({"Timestamp": "now"}, "parsing", "_aws.Timestamp"),
        ({"Timestamp": None}, "parsing", "_aws.Timestamp"),
        ({"Timestamp": True}, "parsing", "_aws.Timestamp"),
        ({"Timestamp": NOW_MS - 14 * DAY_MS - 1}, "validation", "_aws.Timestamp"),
        ({"Timestamp": NOW_MS + DAY_MS // 12 + 1}, "validation", "_aws.Timestamp"),
        ({"CloudWatchMetrics": {}}, "parsing", CLOUDWATCH),
        ({"CloudWatchMetrics": [1]}, "parsing", f"{CLOUDWATCH}[0]"),
        ({"Namespace": None}, "parsing", f"{CLOUDWATCH}[0].Namespace"),
        ({"Namespace": ""}, "validation", f"{CLOUDWATCH}[0].Namespace"),
        ({"Namespace": ":a"}, "validation", f"{CLOUDWATCH}[0].Namespace"),
        ({"Namespace": "a\u00e9"}, "validation", f"{CLOUDWATCH}[0].Namespace"),
        ({"Namespace": "AWS/Bedrock"}, "validation", f"{CLOUDWATCH}[0].Namespace"),
        ({"Namespace": "n" * 256}, "validation", f"{CLOUDWATCH}[0].Namespace"),
        ({"Dimensions": None}, "parsing", f"{CLOUDWATCH}[0].Dimensions"),
        ({"Metrics": None}, "parsing", f"{CLOUDWATCH}[0].Metrics"),
        ({"Metrics": [{"Name": "input_token_count"}] * 101}, "validation", f"{CLOUDWATCH}[0].Metrics"),
    ],
)
def test_what_breaks_the_whole_directive_leaves_no_metric(
    changes: dict[str, Any], kind: str, where: str
) -> None:
    datums, rejections = outcome(line(**changes))
    assert not datums
    assert [(rejection[0], rejection[2]) for rejection in rejections] == [(kind, where)]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"Dimensions": ["tenant_id", ["tenant_id"]]}, "parsing"),
        ({"Dimensions": [[7], ["tenant_id"]]}, "parsing"),
        ({"Dimensions": [["tenant_id", "tenant_id"], ["tenant_id"]]}, "validation"),
        ({"Dimensions": [["absent"], ["tenant_id"]]}, "validation"),
        ({"Dimensions": [[f"d{n}" for n in range(31)], ["tenant_id"]]}, "validation"),
        ({"model_id": 5}, "validation"),
        ({"model_id": ""}, "validation"),
        ({"model_id": " "}, "validation"),
        ({"model_id": "m" * 1025}, "validation"),
        ({"model_id": "mod\u00e8le"}, "validation"),
    ],
)
def test_a_bad_dimension_set_leaves_the_others(changes: dict[str, Any], kind: str) -> None:
    datums, rejections = outcome(line(**changes))
    assert {datum.dimensions for datum in datums} == {(("tenant_id", "acme"),)}
    ((told, _, where),) = rejections
    assert told == kind
    assert where.startswith(f"{CLOUDWATCH}[0].Dimensions[0]")


@pytest.mark.parametrize(
    "changes",
    [
        {"time_to_first_token": "fast"},
        {"time_to_first_token": None},
        {"time_to_first_token": True},
        {"time_to_first_token": []},
        {"time_to_first_token": [1] * 101},
        {"time_to_first_token": [1, "2"]},
        {"time_to_first_token": [[1]]},
        {"time_to_first_token": 1e300},
        {"Metrics": [{"Name": "time_to_first_token", "Unit": "ms"}, {"Name": "input_token_count"}]},
        {"Metrics": [{"Name": "time_to_first_token", "StorageResolution": 5}, {"Name": "input_token_count"}]},
        {"Metrics": [{"Name": "absent"}, {"Name": "input_token_count"}]},
        {"Metrics": [{"Unit": "Count"}, {"Name": "input_token_count"}]},
    ],
)
def test_a_bad_metric_leaves_the_others_and_is_told_by_place_not_by_value(changes: dict[str, Any]) -> None:
    datums, rejections = outcome(line(**changes))
    assert {datum.name for datum in datums} == {"input_token_count"}
    ((_, _, where),) = rejections
    assert where.startswith(f"{CLOUDWATCH}[0].Metrics[0]")


@pytest.mark.parametrize(
    "changes",
    [
        {"Timestamp": NOW_MS - 14 * DAY_MS},
        {"Timestamp": NOW_MS + DAY_MS // 12},
        {"time_to_first_token": [1] * 100},
        {"model_id": "m" * 1024},
        {"Namespace": "n" * 255},
        {"Metrics": [{"Name": "input_token_count"}] * 100},
        {"Dimensions": [[f"d{n}" for n in range(30)]]} | {f"d{n}": "v" for n in range(30)},
    ],
)
def test_the_limits_themselves_are_allowed(changes: dict[str, Any]) -> None:
    datums, rejections = outcome(line(**changes))
    assert datums
    assert not rejections


def test_a_bad_directive_leaves_the_next_one() -> None:
    root = line()
    root["_aws"]["CloudWatchMetrics"].insert(0, {"Namespace": 1})
    datums, rejections = outcome(root)
    assert len(datums) == 4
    assert len(rejections) == 1


def test_an_event_over_the_limit_is_rejected_unread_and_one_at_it_is_not() -> None:
    root = line(padding="")
    room = MAX_EVENT_BYTES - len(orjson.dumps(root))
    assert len(outcome(line(padding="x" * room))[0]) == 4
    assert outcome(line(padding="x" * (room + 1))) == ([], [("validation", "event too large", "$")])


def test_units_are_those_of_the_service_model() -> None:
    shape: Any = Session().get_service_model("cloudwatch").shape_for("StandardUnit")
    assert set(shape.enum) == UNITS


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["Timestamp", "CloudWatchMetrics", "LogGroupName"]), JSON),
    st.dictionaries(st.sampled_from(["Namespace", "Dimensions", "Metrics"]), JSON),
    JSON,
)
def test_whatever_the_members_are_there_is_an_answer(
    metadata: dict[str, Any], directive: dict[str, Any], value: Any
) -> None:
    whole = {"Namespace": "n", "Dimensions": [["d"]], "Metrics": [{"Name": "m"}]} | directive
    root = {"_aws": {"Timestamp": NOW_MS, "CloudWatchMetrics": [whole]} | metadata, "m": value, "d": value}
    extraction = extract(orjson.dumps(root), NOW_MS)
    assert all(datum.values for datum in extraction.datums)


@given(st.binary())
def test_whatever_the_bytes_are_there_is_an_answer(text: bytes) -> None:
    extract(text, NOW_MS)
