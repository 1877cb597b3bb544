"""Cells as queries of Grafana's data sources. Pure.

CloudWatch is asked for one series at a time, all its dimensions named (`matchExact`): no search, no metric
math and no Metrics Insights, which nothing that stands in for CloudWatch evaluates.
"""

from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import athena as athena_builder
from grafana_foundation_sdk.builders import cloudwatch as cloudwatch_builder
from grafana_foundation_sdk.builders import expr as expr_builder
from grafana_foundation_sdk.builders import prometheus as prometheus_builder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import athena, cloudwatch
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from watch.grafana.athena import DATABASE
from watch.grafana.cells import SOURCES, Asked, AthenaCell, LogCell, MetricCell, PromCell, Source, TraceCell

REGION: Final = "default"
"""The data source's own."""
_EXPRESSIONS: Final = DataSourceRef(type_val="__expr__", uid="__expr__")


class XRayQuery(variants.Dataquery):
    """A query of the X-Ray data source, for which the SDK has no type."""

    def __init__(self, trace_id: str) -> None:
        self.ref_id = "A"
        self._trace_id = trace_id

    def to_json(self) -> dict[str, object]:
        """As its plugin stores it."""
        return {
            "refId": self.ref_id,
            "datasource": data_source("xray"),
            "queryType": "getTrace",
            "query": self._trace_id,
            "region": REGION,
        }


def data_source(source: Source) -> DataSourceRef:
    """The data source that the dashboard's variable of this name chooses."""
    return DataSourceRef(type_val=SOURCES[source], uid=f"${{{source}}}")


def of_metrics(cell: MetricCell) -> list[variants.Dataquery]:
    """A query for each reading; where it is summed over GPUs, hidden behind Grafana's own division."""
    refs = _refs(cell.asked)
    queries: list[variants.Dataquery] = []
    for ref, asked in zip(refs, cell.asked, strict=True):
        queries.append(_metric(ref, asked, hidden=asked.reading.per_gpu))
        if asked.reading.per_gpu:
            divided = (
                expr_builder.TypeMath()
                .ref_id(per_gpu_ref(ref))
                .datasource(_EXPRESSIONS)
                .expression(f"${ref} / {cell.gpu_count}")
            )
            queries.append(divided.build())
    return queries


def named_refs(cell: MetricCell) -> Iterator[tuple[str, str]]:
    """What is drawn: the query's letter and what the legend calls it."""
    for ref, asked in zip(_refs(cell.asked), cell.asked, strict=True):
        yield (per_gpu_ref(ref) if asked.reading.per_gpu else ref), asked.label


def per_gpu_ref(ref: str) -> str:
    """The division of a query."""
    return f"{ref}_per_gpu"


def of_athena(cell: AthenaCell) -> variants.Dataquery:
    """The SQL, as a table or as series over time."""
    format_ = athena.FormatOptions.TABLE if cell.drawn == "table" else athena.FormatOptions.TIME_SERIES
    return (
        athena_builder.Dataquery()
        .ref_id("A")
        .datasource(data_source("athena"))
        .connection_args(connection())
        .format(format_)
        .raw_sql(cell.sql)
        .build()
    )


def connection() -> athena_builder.ConnectionArgs:
    """Our database, in the region, catalogue and workgroup of the data source."""
    return athena_builder.ConnectionArgs().database(DATABASE)


def of_promql(cell: PromCell) -> variants.Dataquery:
    """The PromQL, over time."""
    return (
        prometheus_builder.Dataquery()
        .ref_id("A")
        .datasource(data_source("promql"))
        .expr(cell.query)
        .legend_format(cell.legend)
        .range()
        .build()
    )


def of_logs(cell: LogCell) -> variants.Dataquery:
    """The query of Logs Insights."""
    return cloudwatch.CloudWatchLogsQuery(
        ref_id="A",
        id_val="",
        region=REGION,
        expression=cell.query,
        log_groups=[cloudwatch.LogGroup(name=cell.log_group, arn="")],
        log_group_names=[cell.log_group],
        stats_groups=[],
        datasource=data_source("cloudwatch"),
    )


def of_trace(cell: TraceCell) -> variants.Dataquery:
    """The trace."""
    return XRayQuery(cell.trace_id)


def _metric(ref: str, asked: Asked, *, hidden: bool) -> variants.Dataquery:
    series = asked.reading.series(asked.values)
    return (
        cloudwatch_builder.CloudWatchMetricsQuery()
        .ref_id(ref)
        .datasource(data_source("cloudwatch"))
        .query_mode(cloudwatch.CloudWatchQueryMode.METRICS)
        .metric_query_type(cloudwatch.MetricQueryType.SEARCH)
        .metric_editor_mode(cloudwatch.MetricEditorMode.BUILDER)
        .id("")
        .region(REGION)
        .namespace(series.namespace)
        .metric_name(series.name)
        .dimensions(dict(series.dimensions))
        .match_exact(match_exact=True)
        .statistic(series.statistic)
        .period("auto")
        .label(asked.label)
        .hide(hidden)
        .build()
    )


def _refs(asked: Sequence[Asked]) -> list[str]:
    """A to Z, then A1 and so on."""
    letters = len(ascii_uppercase)
    return [
        ascii_uppercase[number % letters] + (str(number // letters) if number >= letters else "")
        for number in range(len(asked))
    ]
