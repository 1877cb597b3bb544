"""Panels of the table as cells: their variables filled in, their thresholds resolved. Pure."""

from collections.abc import Callable, Iterable, Mapping

from watch.grafana.cells import Asked, Line, MetricCell, Variable
from watch.limits import Limits
from watch.panels import BY_KEY
from watch.tables.panel import Panel
from watch.tables.targets import EndpointVariant, Target


def for_target(
    panel: Panel, target: Target, limits: Limits, *, keep: Callable[[Asked], bool] = lambda _: True
) -> MetricCell:
    """The panel for one target, with its thresholds."""
    gpu_count = target.gpu_count if isinstance(target, EndpointVariant) else 0
    return MetricCell(
        f"{panel.key}/{target.name}",
        panel,
        tuple(filter(keep, _asked(panel, target.variables))),
        tuple(_lines(panel, target, limits, gpu_count)),
        gpu_count=gpu_count,
        view=target.view,
    )


def for_variables(
    panel: Panel, variables: Iterable[Variable], *, fixed: Mapping[str, str] | None = None, view: str
) -> MetricCell:
    """The panel for what a reader of the dashboard chooses: each variable stands for itself."""
    values = {f"${variable.name}": f"${{{variable.name}}}" for variable in variables} | dict(fixed or {})
    return MetricCell(panel.key, panel, _asked(panel, values), view=view)


def one_line_each(
    key: str, label: str, targets: Iterable[Target], title: str, *, latest: bool = False
) -> MetricCell:
    """One reading of a panel for many targets, each told by its name."""
    panel = BY_KEY[key]
    (reading,) = (reading for reading in panel.readings if reading.label == label)
    asked = tuple(
        Asked(reading, target.variables, target.name.partition("/")[2] or target.name) for target in targets
    )
    drawn = "latest" if latest else "lines"
    return MetricCell(f"{key}/{label}/{drawn}", panel, asked, title=title, latest=latest)


def _asked(panel: Panel, values: Mapping[str, str]) -> tuple[Asked, ...]:
    return tuple(
        Asked(reading, {name: values[name] for name in reading.variables}, reading.label)
        for reading in panel.readings
    )


def _lines(panel: Panel, target: Target, limits: Limits, gpu_count: int) -> Iterable[Line]:
    """Thresholds in the unit that is shown; those of what is summed over GPUs are for one of them."""
    per_gpu = any(reading.per_gpu for reading in panel.readings)
    for threshold in panel.thresholds:
        value = threshold.value(target, limits)
        if value is not None:
            shown = value * panel.scale / (gpu_count if per_gpu else 1)
            yield Line(shown, threshold.setting or threshold.source)
