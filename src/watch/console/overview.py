"""The overview as data: what it asks for of platform, tenants, models and endpoints, and its tables. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from llmplatform import metrics as ours
from llmplatform.catalogue import Catalogue
from llmplatform.policy import TenantPolicy
from watch.alarming.alarm_states import AlarmState
from watch.console.panel_charts import Drawn, whole_of
from watch.console.tables import Cell, Column, Row, State, Table
from watch.console.timerange import TimeRange
from watch.console.traffic import Gauge, Traffic, budget_state, columns, rests_on, totals
from watch.limits import Limits
from watch.metric_queries import Figures, Wanted
from watch.panels import BY_KEY
from watch.quality import Detector, Quality, Standing, quality_of
from watch.tables import native
from watch.tables.readings import Series, read
from watch.tables.targets import EndpointVariant, Model, Platform, variants_of

_CHARTS: Final = ("platform-requests", "platform-failed", "platform-ttft")
DETECTOR_STATES: Final[Mapping[Detector, State]] = {
    "fallen": "critical",
    "steady": "ok",
    "warming up": "muted",
}
_OTHER_SPEND: Final = ("_unused", "_platform")


@dataclass(frozen=True, slots=True)
class Overview:
    """What the overview shows, before and after it was read."""

    tenants: Sequence[TenantPolicy]
    catalogue: Catalogue
    range_: TimeRange
    now: datetime
    limits: Limits
    charts: Sequence[Drawn] = field(init=False)

    def __post_init__(self) -> None:
        """The platform's charts."""
        drawn = tuple(Drawn(BY_KEY[key], Platform(), key) for key in _CHARTS)
        object.__setattr__(self, "charts", drawn)

    @property
    def all_traffic(self) -> Traffic:
        """Requests of everybody."""
        return Traffic({"component": ours.GATEWAY}, self.range_)

    def wants(self) -> Iterator[Wanted]:
        """Everything that must be asked for."""
        for chart in self.charts:
            yield from chart.wants(self.range_)
        yield from self.all_traffic.wants()
        for tenant_id in (*(policy.tenant_id for policy in self.tenants), *_OTHER_SPEND):
            yield from self._spend(tenant_id).wants()
        for policy in self.tenants:
            yield from self._of_tenant(policy).wants()
            for gauge in self._budgets(policy).values():
                yield from gauge.wants()
        for model in self._models:
            yield from self._of_model(model).wants()
            yield from self._model_spend(model).wants()
        for name, variants in self._endpoints:
            yield from Traffic({"endpoint_name": name}, self.range_).wants()
            yield from self._unused(name).wants()
            for variant in variants:
                yield from (Wanted(series, whole_of(self.range_)) for series in _gpu_series(variant))

    def tenants_table(
        self, figures: Figures, standing: Standing | None, ringing: Sequence[AlarmState] | None
    ) -> Table:
        """One row a tenant."""
        rows: list[Row] = []
        for policy in self.tenants:
            budgets = self._budgets(policy)
            statuses = None if standing is None else standing.by_tenant.get(policy.tenant_id)
            rows.append(
                {
                    "tenant": Cell(
                        policy.tenant_id,
                        href=self._page(f"/tenants/{policy.tenant_id}"),
                        title=policy.display_name,
                    ),
                    "ringing": _ringing_cell(policy.tenant_id, ringing),
                    **self._of_tenant(policy).cells(figures, self.limits, policy.objectives),
                    "spend": self._spend(policy.tenant_id).cell(figures),
                    **{key: self._budget_cell(gauge, figures) for key, gauge in budgets.items()},
                    **quality_cells(None if statuses is None else quality_of(statuses)),
                }
            )
        return Table(
            caption="Tenants",
            name="tenants",
            columns=(
                Column("tenant", "Tenant"),
                Column("ringing", "Ringing", "number", "Alarms that ring for people now."),
                *columns(
                    self.range_,
                    Column("quality", "Score", "score", "Mean of the judged dimensions, 1 to 5."),
                    Column("detector", "Detector", "text", "Whether scores have fallen, beyond chance."),
                    Column("spend", "Spend today", "usd", "Since 00:00 UTC, as far as the cost job knows."),
                    Column("budget", "Budget used", "percent", "Of the day's dollars."),
                    Column("token_budget", "Tokens used", "percent", "Of the day's budget of tokens."),
                ),
            ),
            rows=rows,
            totals=totals(rows, "tenant", "ringing", "requests", "input_tokens", "output_tokens", "spend"),
            rests_on=rests_on(rows, self.range_),
            empty="There are no tenants yet: `llm-platform tenant add` makes one.",
        )

    def models_table(self, figures: Figures) -> Table:
        """One row a model."""
        rows: list[Row] = [
            {
                "model": Cell(model.entry.model_id, href=self._page(model.view)),
                "kind": model.entry.endpoint_type,
                **self._of_model(model).cells(figures, self.limits),
                "spend": self._model_spend(model).cell(figures),
                "end_of_life": _end_of_life(model, self.now, self.limits),
            }
            for model in self._models
        ]
        return Table(
            caption="Models",
            name="models",
            columns=(
                Column("model", "Model"),
                Column("kind", "Served by"),
                *columns(
                    self.range_,
                    Column("spend", "Spend today", "usd"),
                    Column("end_of_life", "Days left", "number", "Until the provider stops serving it."),
                ),
            ),
            rows=rows,
            totals=totals(rows, "model", "requests", "input_tokens", "output_tokens", "spend"),
            rests_on=rests_on(rows, self.range_),
        )

    def endpoints_table(self, figures: Figures) -> Table:
        """One row a SageMaker endpoint; of its variants the busiest counts."""
        rows: list[Row] = []
        for name, variants in self._endpoints:
            gpu, memory = (self._worst(variants, at, figures) for at in (0, 1))
            rows.append(
                {
                    "endpoint": Cell(name, href=self._page(f"/endpoints/{quote(name, safe='')}")),
                    "hardware": ", ".join(_hardware(variant) for variant in variants),
                    **Traffic({"endpoint_name": name}, self.range_).cells(figures, self.limits),
                    "gpu": Cell(gpu, state=self._gpu_state(gpu)),
                    "gpu_memory": Cell(memory, state=self._gpu_state(memory)),
                    "unused": self._unused(name).cell(figures),
                }
            )
        return Table(
            caption="Endpoints",
            name="endpoints",
            columns=(
                Column("endpoint", "Endpoint"),
                Column("hardware", "Hardware"),
                *columns(
                    self.range_,
                    Column("gpu", "GPU", "percent", "Mean utilisation of one GPU of the busiest variant."),
                    Column("gpu_memory", "GPU memory", "percent", "Mean of one GPU of the fullest variant."),
                    Column(
                        "unused", "Unused today", "percent", "Part of the instances' cost that nobody used."
                    ),
                ),
            ),
            rows=rows,
            totals=totals(rows, "endpoint", "requests", "input_tokens", "output_tokens"),
            rests_on=rests_on(rows, self.range_),
            empty="No endpoints in the catalogue.",
        )

    def spend_today(self, figures: Figures) -> float | None:
        """Of all tenants, of what nobody used and of the platform itself; None where nothing is known."""
        of = (*(policy.tenant_id for policy in self.tenants), *_OTHER_SPEND)
        known = [value for one in of if (value := self._spend(one).value(figures)) is not None]
        return sum(known) if known else None

    @property
    def _models(self) -> list[Model]:
        return [Model(entry) for _, entry in sorted(self.catalogue.models.items())]

    @property
    def _endpoints(self) -> list[tuple[str, list[EndpointVariant]]]:
        return [
            (name, list(variants_of(name, endpoint)))
            for name, endpoint in sorted(self.catalogue.endpoints.items())
        ]

    def _of_tenant(self, policy: TenantPolicy) -> Traffic:
        return Traffic({"tenant_id": policy.tenant_id}, self.range_)

    def _of_model(self, model: Model) -> Traffic:
        return Traffic(
            {"model_id": model.entry.model_id, "endpoint_type": model.entry.endpoint_type}, self.range_
        )

    def _spend(self, tenant_id: str) -> Gauge:
        return Gauge(ours.COST_TODAY_USD, {"tenant_id": tenant_id}, self.now)

    def _model_spend(self, model: Model) -> Gauge:
        by = {"model_id": model.entry.model_id, "endpoint_type": model.entry.endpoint_type}
        return Gauge(ours.COST_TODAY_USD, by, self.now)

    def _unused(self, name: str) -> Gauge:
        return Gauge(ours.UNUSED_CAPACITY_PERCENT, {"endpoint_name": name}, self.now)

    def _budgets(self, policy: TenantPolicy) -> dict[str, Gauge]:
        return budgets(policy, self.now)

    def _budget_cell(self, gauge: Gauge, figures: Figures) -> Cell:
        return gauge.cell(figures, budget_state(gauge.value(figures), self.limits))

    def _gpu_state(self, percent: float | None) -> State | None:
        return "warning" if percent is not None and percent > self.limits.gpu_percent else None

    def _worst(self, variants: Sequence[EndpointVariant], at: int, figures: Figures) -> float | None:
        known = [
            value / variant.gpu_count
            for variant in variants
            if variant.gpu_count
            and (value := figures.of(_gpu_series(variant)[at], whole_of(self.range_)).only) is not None
        ]
        return max(known, default=None)

    def _page(self, path: str) -> str:
        return f"{path}?{urlencode(self.range_.query)}"


def budgets(policy: TenantPolicy, now: datetime) -> dict[str, Gauge]:
    """What is used of the budgets that a tenant has."""
    by = {"tenant_id": policy.tenant_id}
    found: dict[str, Gauge] = {}
    if policy.daily_budget_usd is not None:
        found["budget"] = Gauge(ours.BUDGET_USED_PERCENT, by, now)
    if policy.daily_budget_tokens is not None:
        found["token_budget"] = Gauge(ours.TOKEN_BUDGET_USED_PERCENT, by, now)
    return found


def quality_cells(quality: Quality | None) -> dict[str, Cell]:
    """The mean score and the detector's word; unknown where it cannot be read."""
    if quality is None or quality.detector is None:
        return {"quality": Cell(None), "detector": Cell(None)}
    told = f"{quality.fallen} of {quality.series} fallen" if quality.fallen else quality.detector
    return {
        "quality": Cell(quality.mean),
        "detector": Cell(told, state=DETECTOR_STATES[quality.detector]),
    }


def _ringing_cell(tenant_id: str, ringing: Sequence[AlarmState] | None) -> Cell:
    if ringing is None:
        return Cell(None)
    own = [alarm for alarm in ringing if alarm.tenant_id == tenant_id]
    if not own:
        return Cell(0)
    critical = any(alarm.severity == "critical" for alarm in own)
    query = urlencode({"state": "ALARM", "name": f"/{tenant_id}/"})
    return Cell(len(own), href=f"/alarms?{query}", state="critical" if critical else "warning")


def _gpu_series(variant: EndpointVariant) -> tuple[Series, ...]:
    """Utilisation and memory, summed over an instance's GPUs; none of what has none."""
    if not variant.gpu_count:
        return ()
    by = {"EndpointName": variant.endpoint_name, "VariantName": variant.variant_name}
    return tuple(
        read(metric, "Average", **by).series({})
        for metric in (native.GPU_UTILIZATION, native.GPU_MEMORY_UTILIZATION)
    )


def _hardware(variant: EndpointVariant) -> str:
    gpus = f", {variant.gpu_count} GPU{'s' if variant.gpu_count > 1 else ''}" if variant.gpu_count else ""
    return f"{variant.instance_type}{gpus}"


def _end_of_life(model: Model, now: datetime, limits: Limits) -> Cell:
    end = model.entry.end_of_life
    if end is None:
        return Cell(None, title="no date is announced")
    left = (end - now.date()).days
    return Cell(left, state="warning" if left <= limits.end_of_life_days else None)
