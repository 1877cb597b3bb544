"""Cells as Grafana's panels: kind of chart, unit, description, thresholds, legend, links. Pure.

Where there is no datapoint there is a gap: no line is drawn over it, and nothing is taken for zero.
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self, assert_never

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import common as commons
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import text as texts

from watch.grafana import queries
from watch.grafana.cells import (
    AthenaCell,
    Cell,
    Line,
    LogCell,
    MetricCell,
    PromCell,
    Source,
    TextCell,
    TraceCell,
    uid_of,
)
from watch.tables.panel import Panel, Shown

UNITS: Final[dict[Shown, str]] = {
    "requests": "short",
    "tokens": "short",
    "share": "percentunit",
    "ms": "ms",
    "s": "s",
    "usd": "currencyUSD",
    "percent": "percent",
    "tokens/s": "suffix: tokens/s",
    "score": "none",
    "state": "bool_yes_no",
    "bytes": "bytes",
    "units": "short",
    "days": "d",
}
"""Grafana's names of units."""
_SCALED: Final = {("ms", 0.001): "µs"}
"""Units of what the table of panels scales: Grafana writes 1,500 µs as 1.50 ms by itself."""
UNKNOWN: Final = "–"

_WHEN: Final = "from=${__from:date:iso}&to=${__to:date:iso}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where links lead."""

    console: str | None
    """Address of the console; without one there are no links to it."""

    def in_console(self, view: str) -> str | None:
        """A page of the console, at the time that the dashboard shows."""
        if self.console is None:
            return None
        joined = "&" if "?" in view else "?"
        return f"{self.console.rstrip('/')}{view}{joined}{_WHEN}"


class _Builder(Protocol):
    """What the SDK's builders of panels have in common, as far as it is used here."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def targets(self, targets: list[builder.Builder[variants.Dataquery]]) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def links(self, links: list[builder.Builder[models.DashboardLink]]) -> Self: ...
    def build(self) -> models.Panel: ...


class _Built(builder.Builder[variants.Dataquery]):
    """A query that is made already, where the SDK wants one to be."""

    def __init__(self, query: variants.Dataquery) -> None:
        self._query = query

    def build(self) -> variants.Dataquery:
        """The query."""
        return self._query


def draw(cell: Cell, places: Places) -> models.Panel:
    """The panel, without a place on the dashboard and without an id."""
    match cell:
        case MetricCell():
            return _metrics(cell, places)
        case AthenaCell():
            return _athena(cell)
        case PromCell():
            drawn = _lines(cell.unit)
            return _finished(drawn, cell.title, cell.question, [queries.of_promql(cell)], "promql")
        case TraceCell():
            traces = dashboard.Panel().type("traces")
            return _finished(traces, cell.title, cell.question, [queries.of_trace(cell)], "xray")
        case LogCell():
            logs = (
                dashboard.Panel()
                .type("logs")
                .options(
                    {
                        "showTime": True,
                        "wrapLogMessage": True,
                        "prettifyLogMessage": True,
                        "sortOrder": "Ascending",
                    }
                )
            )
            return _finished(logs, cell.title, cell.question, [queries.of_logs(cell)], "cloudwatch")
        case TextCell():
            shown = cell.text.replace("${console}", (places.console or "").rstrip("/"))
            written = text.Panel().title(cell.title).description(cell.question)
            return written.mode(texts.TextMode.MARKDOWN).content(shown).build()
        case _:
            assert_never(cell)


def describe(panel: Panel, lines: tuple[Line, ...]) -> str:
    """The question that a panel answers, what its series mean, and where its thresholds come from."""
    metrics = {reading.metric.name: reading.metric for reading in panel.readings}
    told = [panel.question, *(f"`{name}`: {metric.meaning}" for name, metric in metrics.items())]
    if panel.sparse:
        told.append("Published only when there is something: no data is good news.")
    if lines:
        told.append("Dashed: " + ", ".join(f"{line.value:g} ({line.meaning})" for line in lines) + ".")
    return "\n\n".join(told)


def unit_of(panel: Panel) -> str:
    """Grafana's unit of what CloudWatch returns. Raises ValueError for a scale that no unit says."""
    if panel.scale == 1:
        return UNITS[panel.shown]
    try:
        return _SCALED[panel.shown, panel.scale]
    except KeyError:
        raise ValueError(f"{panel.key}: Grafana has no unit for {panel.scale} {panel.shown}") from None


def _metrics(cell: MetricCell, places: Places) -> models.Panel:
    panel = cell.panel
    drawn: bargauge.Panel | statetimeline.Panel | timeseries.Panel
    if cell.latest:
        drawn = _bars(panel)
    elif panel.drawn == "state":
        drawn = _states()
    else:
        drawn = _lines(unit_of(panel), stacked=panel.drawn == "stacked")
        if panel.shown in {"share", "percent"}:
            drawn = drawn.axis_soft_max(1 if panel.shown == "share" else 100)
        if cell.lines:
            drawn = drawn.thresholds(_thresholds(cell.lines)).thresholds_style(
                common.GraphThresholdsStyleConfig().mode(commons.GraphThresholdsStyleMode.DASHED)
            )
    for ref, label in queries.named_refs(cell):
        drawn = drawn.override_by_query(ref, [models.DynamicConfigValue("displayName", label)])
    view = places.in_console(cell.view) if cell.view else None
    return _finished(
        drawn,
        cell.title or panel.title,
        describe(panel, cell.lines),
        queries.of_metrics(cell),
        "cloudwatch",
        view=view,
    )


def _lines(unit: str, *, stacked: bool = False) -> timeseries.Panel:
    drawn = (
        timeseries.Panel()
        .unit(unit)
        .axis_soft_min(0)
        .line_width(2 if not stacked else 1)
        .fill_opacity(40 if stacked else 0)
        .show_points(commons.VisibilityMode.AUTO)
        .point_size(4)
        .span_nulls(span_nulls=False)
        .insert_nulls(insert_nulls=False)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(commons.TooltipDisplayMode.MULTI))
        .no_value(UNKNOWN)
    )
    if stacked:
        drawn = drawn.stacking(common.StackingConfig().mode(commons.StackingMode.NORMAL))
    return drawn


def _states() -> statetimeline.Panel:
    """0 and 1 as bands, with what they mean."""
    return (
        statetimeline.Panel()
        .unit(UNITS["state"])
        .min(0)
        .max(1)
        .thresholds(_thresholds((Line(1, ""),)))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .legend(_legend())
        .no_value(UNKNOWN)
    )


def _bars(panel: Panel) -> bargauge.Panel:
    """The newest value of each."""
    newest = common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)
    return (
        bargauge.Panel()
        .unit(unit_of(panel))
        .min(0)
        .orientation(commons.VizOrientation.HORIZONTAL)
        .display_mode(commons.BarGaugeDisplayMode.BASIC)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .reduce_options(newest)
        .no_value(UNKNOWN)
    )


def _athena(cell: AthenaCell) -> models.Panel:
    drawn: table.Panel | timeseries.Panel
    if cell.drawn == "bars":
        drawn = (
            _lines(UNITS[cell.shown], stacked=True)
            .draw_style(commons.GraphDrawStyle.BARS)
            .fill_opacity(80)
            .display_name("${__field.labels.score} by ${__field.labels.epoch}")
        )
    else:
        drawn = table.Panel().unit(UNITS[cell.shown]).no_value(UNKNOWN)
        drawn = drawn.override_by_name("total_latency_ms", [models.DynamicConfigValue("unit", "ms")])
        drawn = drawn.override_by_name("judge_cost_usd", [models.DynamicConfigValue("unit", "currencyUSD")])
        if cell.traces:
            trace = f"/d/{uid_of('dashboard/debug')}?var-trace_id=${{__value.raw}}&{_WHEN}"
            link = {"title": "This trace", "url": trace}
            drawn = drawn.override_by_name("trace_id", [models.DynamicConfigValue("links", [link])])
    return _finished(drawn, cell.title, cell.question, [queries.of_athena(cell)], "athena")


def _finished(
    drawn: _Builder,
    title: str,
    description: str,
    asked: list[variants.Dataquery],
    source: Source,
    *,
    view: str | None = None,
) -> models.Panel:
    drawn = (
        drawn.title(title)
        .description(description)
        .datasource(queries.data_source(source))
        .targets([_Built(query) for query in asked])
    )
    if view is not None:
        link = dashboard.DashboardLink("In the console").type(models.DashboardLinkType.LINK).url(view)
        drawn = drawn.links([link.target_blank(target_blank=True)])
    return drawn.build()


def _thresholds(lines: tuple[Line, ...]) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(color="green", value=None)]
    steps += [
        models.Threshold(color="red", value=line.value) for line in sorted(lines, key=lambda line: line.value)
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(commons.LegendDisplayMode.LIST)
        .placement(commons.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs([])
    )
