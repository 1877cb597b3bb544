"""Dashboards as Grafana stores them: JSON with every panel in its place. Pure.

The same world makes the same JSON, to the byte: uids and ids follow from what a thing is, not from when it
was made, so that links last and what has not changed is not put again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from watch.grafana import queries
from watch.grafana.cells import SOURCES, Board, Cell, MetricCell, Row, TextCell, Variable
from watch.grafana.drawing import Places, draw

TAG: Final = "llm-platform"
"""On every dashboard of ours: by it they are found again."""
_COLUMNS: Final = 24
_ROW_HEIGHT: Final = 1
_ID_RANGE: Final = 2**31 - 1
_LABELS: Final = {
    "cloudwatch": "CloudWatch",
    "athena": "Athena",
    "xray": "X-Ray",
    "promql": "CloudWatch PromQL",
}
_OF_INTERVALS: Final = ("auto", "auto_min", "auto_count")
"""What the SDK writes into variables of every kind, and Grafana knows in those of time intervals alone."""
_SQL: Final = {"refId": "A", "format": 1}

Json = Mapping[str, Any]


def encode(board: Board, places: Places) -> Json:
    """The dashboard's JSON, without what Grafana adds: its number and its version."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.meaning)
        .tags(tags_of(board))
        .timezone("utc")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .timepicker(dashboard.TimePicker().refresh_intervals(["1m", "5m", "15m", "1h"]))
        .refresh(board.refresh)
        .variables(list(_variables(board)))
        .links(list(_links(board, places)))
        .build()
    )
    built.annotations = models.AnnotationContainer(list_val=[])
    built.panels = list(_panels(board, places))
    encoded: dict[str, Any] = json.loads(json.dumps(built, cls=JSONEncoder))
    for variable in encoded["templating"]["list"]:
        for name in _OF_INTERVALS:
            variable.pop(name, None)
    return encoded


def tags_of(board: Board) -> list[str]:
    """Ours, the kind, and whose it is."""
    return [TAG, board.kind] + ([f"tenant:{board.tenant_id}"] if board.tenant_id else [])


def _panels(board: Board, places: Places) -> Iterator[models.Panel | models.RowPanel]:
    ids = _Ids()
    y = 0
    for row in board.rows:
        heading = models.RowPanel(
            title=row.title,
            id_val=ids.of(f"row/{row.title}"),
            collapsed=row.folded,
            grid_pos=models.GridPos(h=_ROW_HEIGHT, w=_COLUMNS, x=0, y=y),
            repeat=row.for_each or None,
            panels=[],
        )
        y += _ROW_HEIGHT
        placed = []
        for cell, place in _placed(row, y):
            panel = draw(cell, places)
            panel.id_val = ids.of(cell.key)
            panel.grid_pos = place
            placed.append(panel)
        y = max((panel.grid_pos.y + panel.grid_pos.h for panel in placed if panel.grid_pos), default=y)
        if row.folded:
            heading.panels = placed
            yield heading
        else:
            yield heading
            yield from placed


def _placed(row: Row, y: int) -> Iterator[tuple[Cell, models.GridPos]]:
    """Cells from left to right, and on in the next line where one has no more room."""
    x = height = 0
    for cell in row.cells:
        w, h = _size(cell)
        if x + w > _COLUMNS:
            x, y, height = 0, y + height, 0
        yield cell, models.GridPos(h=h, w=w, x=x, y=y)
        x, height = x + w, max(height, h)


def _size(cell: Cell) -> tuple[int, int]:
    match cell:
        case TextCell():
            return _COLUMNS, 4
        case MetricCell(latest=True):
            return 12, max(6, 2 + len(cell.asked))
        case MetricCell():
            return 8, 8
        case _ if cell.source == "promql":
            return 8, 8
        case _:
            return _COLUMNS, 12


def _variables(board: Board) -> Iterator[Any]:
    used = {cell.source for cell in board.cells} | {"athena" for one in board.variables if one.sql}
    for source, plugin in SOURCES.items():
        if source in used:
            yield dashboard.DatasourceVariable(source).label(_LABELS[source]).type(plugin)
    yield from map(_variable, board.variables)


def _variable(variable: Variable) -> Any:
    if variable.sql:
        query = _SQL | {"rawSQL": variable.sql, "connectionArgs": queries.connection().build()}
        return (
            dashboard.QueryVariable(variable.name)
            .label(variable.label)
            .datasource(queries.data_source("athena"))
            .query(query)
            .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
            .hide(models.VariableHide.HIDE_VARIABLE)
        )
    if not variable.values:
        return dashboard.TextBoxVariable(variable.name).label(variable.label).default_value("")
    chosen = "$__all" if variable.several else variable.values[0]
    current = models.VariableOption(selected=True, text="All" if variable.several else chosen, value=chosen)
    return (
        dashboard.CustomVariable(variable.name)
        .label(variable.label)
        .values(",".join(variable.values))
        .multi(variable.several)
        .include_all(variable.several)
        .allow_custom_value(allow_custom_value=False)
        .current(current)
    )


def _links(board: Board, places: Places) -> Iterable[dashboard.DashboardLink]:
    yield (
        dashboard.DashboardLink("LLM platform")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(as_dropdown=True)
        .keep_time(keep_time=True)
    )
    if (url := places.in_console(board.view)) is not None:
        link = dashboard.DashboardLink("Console").type(models.DashboardLinkType.LINK).url(url)
        yield link.target_blank(target_blank=True)


class _Ids:
    """Numbers of panels, each from what the panel is; the rare two that meet move apart."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def of(self, key: str) -> int:
        """A number that nothing else on the dashboard has."""
        number = int.from_bytes(sha256(key.encode()).digest()[:8]) % _ID_RANGE + 1
        while number in self._taken:
            number = number % _ID_RANGE + 1
        self._taken.add(number)
        return number
