"""A tenant's page as data: its panels, its models, how its scores stand, what it was promised. Pure.

Models are told of by the tenant's own figures alone: what others do with a model is not its to see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from urllib.parse import quote, urlencode

from llmplatform import metrics as ours
from llmplatform.catalogue import Catalogue, ModelEntry
from llmplatform.policy import ContentMode, TenantPolicy
from watch.console.overview import DETECTOR_STATES, budgets, quality_cells
from watch.console.panel_charts import Drawn, drawn_of
from watch.console.tables import Cell, Column, Row, Table, as_cell
from watch.console.timerange import TimeRange
from watch.console.traffic import Gauge, Traffic, budget_state, columns, rests_on, totals
from watch.limits import Limits
from watch.metric_queries import Figures, Wanted
from watch.panels import panels_of
from watch.quality import Quality, Statuses, current, detector_of, mean_now
from watch.tables.targets import Tenant

_CONTENT: dict[ContentMode, str] = {
    ContentMode.FULL: "sampled whole",
    ContentMode.TRUNCATED: "sampled, cut to a length",
    ContentMode.HASH_ONLY: "never leaves the request path: only its hash",
}


@dataclass(frozen=True, slots=True)
class TenantView:
    """What a tenant's page shows, before and after it was read."""

    policy: TenantPolicy
    catalogue: Catalogue
    range_: TimeRange
    now: datetime
    limits: Limits
    charts: Sequence[Drawn] = field(init=False)

    def __post_init__(self) -> None:
        """Its charts."""
        object.__setattr__(self, "charts", tuple(drawn_of(panels_of("tenant"), Tenant(self.policy))))

    @property
    def traffic(self) -> Traffic:
        """All its requests."""
        return Traffic(self._by, self.range_)

    @property
    def month(self) -> Gauge:
        """What it has cost since the month began."""
        return Gauge(ours.COST_MONTH_TO_DATE_USD, self._by, self.now)

    @property
    def spend(self) -> Gauge:
        """What it has cost today."""
        return Gauge(ours.COST_TODAY_USD, self._by, self.now)

    def wants(self) -> Iterator[Wanted]:
        """Everything that must be asked for."""
        for chart in self.charts:
            yield from chart.wants(self.range_)
        yield from self.traffic.wants()
        for gauge in (self.spend, self.month, *budgets(self.policy, self.now).values()):
            yield from gauge.wants()
        for model in self._models:
            yield from self._of_model(model).wants()

    def cells(self, figures: Figures, quality: Quality | None) -> dict[str, Cell]:
        """The figures at the top."""
        known = {"budget": Cell(None), "token_budget": Cell(None)}
        for key, gauge in budgets(self.policy, self.now).items():
            known[key] = gauge.cell(figures, budget_state(gauge.value(figures), self.limits))
        return {
            **self.traffic.cells(figures, self.limits, self.policy.objectives),
            **known,
            **quality_cells(quality),
            "spend": self.spend.cell(figures),
            "month": self.month.cell(figures),
        }

    def models_table(self, figures: Figures, *, links: bool) -> Table:
        """One row a model that it used in this time."""
        rows: list[Row] = []
        for model in self._models:
            cells = self._of_model(model).cells(figures, self.limits, self.policy.objectives)
            if as_cell(cells["requests"]).value is None:
                continue
            href = f"/models/{quote(model.model_id, safe='')}?{urlencode(self.range_.query)}"
            rows.append(
                {
                    "model": Cell(model.model_id, href=href if links else None),
                    "kind": model.endpoint_type,
                    **cells,
                }
            )
        return Table(
            caption="Models that it used",
            name="models",
            columns=(Column("model", "Model"), Column("kind", "Served by"), *columns(self.range_)),
            rows=rows,
            totals=totals(rows, "model", "requests", "input_tokens", "output_tokens"),
            rests_on=rests_on(rows, self.range_),
            empty="It used no model in this time.",
        )

    def policy_table(self, sampling_factor: float) -> Table:
        """What it may do, and what it was promised."""
        policy, objectives = self.policy, self.policy.objectives
        allowed = policy.allowed_models
        told: list[tuple[str, Cell]] = [
            ("Content", Cell(policy.content_mode.value, note=_CONTENT[policy.content_mode])),
            ("Content in the content log", Cell(policy.may_log_content)),
            ("TTFT p50 objective", Cell(f"{objectives.ttft_p50_ms:,} ms")),
            ("TTFT p99 objective", Cell(f"{objectives.ttft_p99_ms:,} ms")),
            ("Total latency p99 objective", Cell(f"{objectives.total_latency_p99_ms:,} ms")),
            ("Daily budget", _budget(policy.daily_budget_usd, "$", "")),
            ("Daily budget of tokens", _budget(policy.daily_budget_tokens, "", " tokens")),
            ("Sampled for evaluation", _sampled(policy.eval_sample_rate, sampling_factor)),
            ("Models", Cell("all" if allowed is None else ", ".join(sorted(allowed)) or "none")),
            ("Requests in flight, per gateway task", Cell(f"at most {policy.max_in_flight:,}")),
            ("Key for content at rest", Cell("its own" if policy.kms_key else "the platform's")),
        ]
        return Table(
            caption="Policy",
            name="policy",
            columns=(
                Column("what", "What", sortable=False),
                Column("value", "In force", sortable=False),
            ),
            rows=[{"what": what, "value": value} for what, value in told],
        )

    @property
    def _by(self) -> dict[str, str]:
        return {"tenant_id": self.policy.tenant_id}

    @property
    def _models(self) -> list[ModelEntry]:
        models = self.catalogue.models
        return [models[name] for name in sorted(models) if self.policy.allows_model(name)]

    def _of_model(self, model: ModelEntry) -> Traffic:
        by = {**self._by, "model_id": model.model_id, "endpoint_type": model.endpoint_type}
        return Traffic(by, self.range_)


def scores_table(tenant_id: str, statuses: Statuses, query: str) -> Table:
    """How its scores stand, one row a model and dimension of those that are judged now."""
    rows: list[Row] = []
    for status in current(statuses):
        series = status.series
        detector = detector_of(status)
        about = urlencode({"model": series.model_id, "dimension": series.dimension})
        rows.append(
            {
                "model": series.model_id,
                "dimension": Cell(
                    series.dimension, href=f"/evaluations/{tenant_id}?{about}{f'&{query}' if query else ''}"
                ),
                "mean": mean_now(status),
                "baseline": status.baseline_mean,
                "drop": Cell(status.drop_percent, state="critical" if status.dropped else None),
                "samples": status.baseline_samples,
                "detector": Cell(
                    detector,
                    state=DETECTOR_STATES[detector],
                    note=f"since {status.fall.onset:%Y-%m-%d %H:%M} UTC" if status.fall else None,
                ),
                "latest": status.latest,
            }
        )
    return Table(
        caption="Scores",
        name="scores",
        columns=(
            Column("model", "Model"),
            Column("dimension", "Dimension"),
            Column("mean", "Score now", "score", "Weighted mean of the latest scores."),
            Column("baseline", "Baseline", "score", "Mean of what came before."),
            Column("drop", "Below baseline", "percent"),
            Column("samples", "Answers in the baseline", "number"),
            Column("detector", "Detector"),
            Column("latest", "Latest score", "time"),
        ),
        rows=rows,
        empty="No answer has been scored yet.",
    )


def _budget(budget: Decimal | int | None, before: str, after: str) -> Cell:
    return Cell("none") if budget is None else Cell(f"{before}{budget:,}{after}")


def _sampled(rate: float, factor: float) -> Cell:
    told = f"{rate * 100:.3g} %"
    if factor >= 1:
        return Cell(told)
    return Cell(told, state="warning", note=f"held down to {rate * factor * 100:.3g} % by the sampling brake")
