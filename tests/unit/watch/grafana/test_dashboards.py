"""What every dashboard must be, whatever is on it."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.watched import ACME, GLOBEX, WORLD, metric_queries_in, panels_in
from llmplatform.catalogue import load_catalogue
from llmplatform.metrics import METRICS
from watch.grafana.boards import OF_PLATFORM, boards, folder_of
from watch.grafana.cells import Board, MetricCell, is_ours
from watch.grafana.dashboards import TAG, encode
from watch.grafana.drawing import Places, unit_of
from watch.limits import Limits
from watch.panels import BY_KEY, PANELS, panels_of
from watch.tables.native import NATIVE_METRICS
from watch.tables.readings import Reading, is_statistic
from watch.tables.targets import World

CONSOLE = "https://watch.example.com"
BOARDS = boards(WORLD, Limits())
SANDBOX = World(load_catalogue(Path(__file__).parents[4] / "src/sandbox/models.toml"), (ACME,))
WITHOUT_VALUES = {"logs", "text", "traces"}


@pytest.fixture(params=BOARDS, ids=lambda board: board.key, name="board")
def each_board(request: pytest.FixtureRequest) -> Board:
    board: Board = request.param
    return board


@pytest.fixture(name="dashboard")
def each_dashboard(board: Board) -> Mapping[str, Any]:
    return encode(board, Places(CONSOLE))


def named(kind: str) -> Mapping[str, Any]:
    return encode(next(board for board in BOARDS if board.kind == kind), Places(CONSOLE))


def panel_of(dashboard: Mapping[str, Any], title: str) -> Mapping[str, Any]:
    return next(panel for panel in panels_in(dashboard) if panel["title"] == title)


def texts_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for one in value.values():
                yield from texts_in(one)
        case list():
            for one in value:
                yield from texts_in(one)


def test_there_is_one_of_each_kind_and_one_a_tenant() -> None:
    kinds = Counter(board.kind for board in BOARDS)
    assert kinds == {"executive": 1, "operational": 1, "debug": 1, "platform": 1, "tenant": 2}
    assert len({board.uid for board in BOARDS}) == len(BOARDS)
    assert all(is_ours(board.uid) and len(board.uid) <= 40 for board in BOARDS)


def test_the_same_world_makes_the_same_bytes(board: Board) -> None:
    again = next(one for one in boards(WORLD, Limits()) if one.key == board.key)
    assert json.dumps(encode(board, Places(None))) == json.dumps(encode(again, Places(None)))


def test_ids_are_unique_and_no_two_panels_lie_on_each_other(dashboard: Mapping[str, Any]) -> None:
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    panels = list(panels_in(dashboard))
    ids = [panel["id"] for panel in rows + panels]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in rows + panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        tiles = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not tiles & taken, panel["title"]
        taken |= tiles


def test_a_panel_keeps_its_id_when_another_tenant_comes() -> None:
    alone = encode(boards(World(WORLD.catalogue, (ACME,)), Limits())[0], Places(None))
    both = encode(BOARDS[0], Places(None))
    ids = {panel["title"]: panel["id"] for panel in panels_in(alone)}
    assert ids == {panel["title"]: panel["id"] for panel in panels_in(both)}


def test_every_panel_says_what_it_answers_and_in_what_unit(dashboard: Mapping[str, Any]) -> None:
    for panel in panels_in(dashboard):
        assert panel["title"]
        assert panel["description"].split("\n")[0].endswith("?"), panel["title"]
        if panel["type"] not in WITHOUT_VALUES:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_no_variable_is_undefined(dashboard: Mapping[str, Any]) -> None:
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {name for text in texts_in(dashboard) for name in re.findall(r"\$\{?([a-z]\w*)", text)}
    assert used <= defined


def test_every_variable_is_used_and_none_asks_cloudwatch(board: Board, dashboard: Mapping[str, Any]) -> None:
    for variable in dashboard["templating"]["list"]:
        rest = {
            **dashboard,
            "templating": {"list": [v for v in dashboard["templating"]["list"] if v != variable]},
        }
        assert f"{{{variable['name']}}}" in json.dumps(rest) or f"${variable['name']}" in json.dumps(rest)
        if variable["type"] == "query":
            assert variable["datasource"]["type"] == "grafana-athena-datasource"
    assert {variable.name for variable in board.variables} <= {
        variable["name"] for variable in dashboard["templating"]["list"]
    }


def test_every_metric_query_names_one_series_that_is_published(dashboard: Mapping[str, Any]) -> None:
    tables = {**METRICS, **NATIVE_METRICS}
    for _, query in metric_queries_in(dashboard):
        metric = tables[query["namespace"], query["metricName"]]
        assert set(query["dimensions"]) in map(set, metric.dimension_sets)
        assert query["matchExact"] is True
        assert (query["metricQueryType"], query["metricEditorMode"]) == (0, 0)
        assert (query["period"], query["region"]) == ("auto", "default")
        assert is_statistic(query["statistic"])
        assert "expression" not in query
        assert "sqlExpression" not in query


def test_a_missing_datapoint_is_a_gap(dashboard: Mapping[str, Any]) -> None:
    for panel in panels_in(dashboard):
        if panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False
            assert panel["fieldConfig"]["defaults"]["noValue"] == "–"
        assert "transformations" not in panel


def test_one_crosshair_utc_and_nobody_edits(dashboard: Mapping[str, Any]) -> None:
    assert dashboard["graphTooltip"] in {1, 2}
    assert dashboard["timezone"] == "utc"
    assert dashboard["editable"] is False
    assert TAG in dashboard["tags"]
    assert dashboard["schemaVersion"] >= 41
    assert not {"id", "version"} & set(dashboard)


def test_links_to_the_console_carry_the_time_that_is_shown(
    board: Board, dashboard: Mapping[str, Any]
) -> None:
    urls = [link["url"] for panel in panels_in(dashboard) for link in panel.get("links", ())]
    urls += [link["url"] for link in dashboard["links"] if "url" in link]
    assert urls
    for url in urls:
        assert url.startswith(f"{CONSOLE}/")
        assert "from=${__from:date:iso}&to=${__to:date:iso}" in url
        assert url.count("?") == 1
    assert CONSOLE not in json.dumps(encode(board, Places(None)))


def test_a_value_summed_over_gpus_is_shown_for_one_of_them() -> None:
    gpu = panel_of(named("operational"), "GPU utilisation, per GPU")
    shown = [target for target in gpu["targets"] if not target.get("hide")]
    assert [target["expression"] for target in shown] == ["$A / 4", "$B / 4"]
    assert all(target["datasource"]["uid"] == "__expr__" for target in shown)
    steps = gpu["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 90], "not 360: that is what the alarm is held against"


def test_an_endpoint_without_gpus_has_no_panels_of_them() -> None:
    rows = {row["title"]: row["panels"] for row in named("operational")["panels"] if row["type"] == "row"}
    (folded,) = (panels for title, panels in rows.items() if "tiny" in title)
    assert folded
    assert not [panel["title"] for panel in folded if "GPU" in panel["title"]]


def test_only_the_first_rows_ask_before_they_are_opened() -> None:
    folded = [row["collapsed"] for row in named("operational")["panels"] if row["type"] == "row"]
    assert folded == [False, True, False, True]


def test_microseconds_are_written_as_such_and_not_computed_with() -> None:
    panel = panel_of(named("operational"), "SageMaker's own latency")
    assert panel["fieldConfig"]["defaults"]["unit"] == "µs"
    with pytest.raises(ValueError, match="no unit for"):
        unit_of(next(panel for panel in PANELS if panel.scale != 1).__class__(**_scaled(0.25)))


def _scaled(scale: float) -> dict[str, Any]:
    panel = BY_KEY["endpoint-model-latency"]
    names = ("key", "scope", "title", "question", "shown", "readings")
    return {name: getattr(panel, name) for name in names} | {"scale": scale}


def test_every_panel_of_the_table_is_on_a_dashboard() -> None:
    drawn = {cell.panel.key for board in BOARDS for cell in board.cells if isinstance(cell, MetricCell)}
    assert drawn == set(BY_KEY)
    of_platform = [key for keys in OF_PLATFORM.values() for key in keys]
    assert sorted(of_platform) == sorted(panel.key for panel in panels_of("platform"))


def test_models_are_drawn_with_what_their_kind_has() -> None:
    rows = {row["title"]: row for row in named("operational")["panels"] if row["type"] == "row"}
    large = json.dumps(rows["Model vendor/large:1"])
    assert "AWS/Bedrock" not in large
    assert "AWS/Bedrock" in json.dumps(named("operational"))


def test_a_tenants_dashboard_asks_for_that_tenant_alone() -> None:
    for policy, other in ((ACME, GLOBEX), (GLOBEX, ACME)):
        board = next(board for board in BOARDS if board.tenant_id == policy.tenant_id)
        dashboard = encode(board, Places(CONSOLE))
        assert other.tenant_id not in json.dumps(dashboard)
        for _, query in metric_queries_in(dashboard):
            assert query["dimensions"]["tenant_id"] == policy.tenant_id
        assert "tenant_id" not in {variable["name"] for variable in dashboard["templating"]["list"]}
        assert (board.folder, board.folder.uid) == (folder_of(policy), folder_of(policy).uid)
        assert f"tenant:{policy.tenant_id}" in dashboard["tags"]


def test_a_tenant_is_offered_the_models_that_it_may_use() -> None:
    board = next(board for board in BOARDS if board.tenant_id == "globex")
    models = next(variable for variable in board.variables if variable.name == "model_id")
    assert models.values == ("small",)


def test_a_budget_that_nobody_set_has_no_line() -> None:
    titles = {
        board.tenant_id: {panel["title"] for panel in panels_in(encode(board, Places(None)))}
        for board in BOARDS
        if board.tenant_id
    }
    assert "Daily budget used" in titles["acme"]
    assert "Daily budget used" not in titles["globex"]


def test_a_world_without_tenants_has_dashboards_all_the_same() -> None:
    empty = boards(World(WORLD.catalogue), Limits())
    assert [board.kind for board in empty] == ["executive", "operational", "debug", "platform"]
    for board in empty:
        assert list(panels_in(encode(board, Places(CONSOLE))))


def test_the_laptops_own_catalogue_can_be_drawn() -> None:
    for board in boards(SANDBOX, Limits()):
        assert list(panels_in(encode(board, Places(CONSOLE))))


def test_a_query_is_at_most_the_letters_that_grafana_takes() -> None:
    many = World(WORLD.catalogue, tuple(_tenants(60)))
    executive = encode(boards(many, Limits())[0], Places(None))
    for panel in panels_in(executive):
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)


def _tenants(number: int) -> Iterator[Any]:
    for at in range(number):
        yield ACME.model_copy(update={"tenant_id": f"t-{at:03}"})


def test_a_reading_is_never_drawn_twice_in_one_panel(board: Board) -> None:
    for cell in board.cells:
        if isinstance(cell, MetricCell):
            asked: list[tuple[Reading, str]] = [(one.reading, one.label) for one in cell.asked]
            assert len(set(asked)) == len(asked)
