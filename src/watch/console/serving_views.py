"""The pages of endpoints, models and the platform as data: which panels, and the tables beside them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from llmplatform.account_budget import ACCOUNT_BUDGET
from llmplatform.catalogue import Catalogue, Endpoint, ModelEntry
from llmplatform.policy import TenantPolicy
from llmplatform.sampling import SamplingBrake
from watch.console.panel_charts import Drawn, drawn_of
from watch.console.tables import Cell, Column, Row, Table, as_cell
from watch.console.timerange import TimeRange
from watch.console.traffic import Traffic, columns, rests_on, totals
from watch.limits import Limits
from watch.metric_queries import Figures, Wanted
from watch.panels import panels_of
from watch.tables import readings
from watch.tables.targets import EndpointVariant, Model, Platform, variants_of

_BRAKES: Final[Mapping[str, str]] = {
    "lag": "judging lags behind",
    "observability_budget": "observability's budget of the day",
    ACCOUNT_BUDGET: "the account's budget of the month",
}
"""Reasons of brakes, in words."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """A SageMaker endpoint: what all its variants share, then each variant."""

    name: str
    endpoint: Endpoint
    catalogue: Catalogue
    range_: TimeRange
    limits: Limits
    shared: Sequence[Drawn] = field(init=False)
    by_variant: Sequence[tuple[EndpointVariant, Sequence[Drawn]]] = field(init=False)

    def __post_init__(self) -> None:
        """Sort the panels: those about requests know no variants."""
        variants = list(variants_of(self.name, self.endpoint))
        panels = panels_of("endpoint")
        own = [panel for panel in panels if readings.VARIANT in panel.variables]
        shared = [panel for panel in panels if readings.VARIANT not in panel.variables]
        object.__setattr__(self, "shared", tuple(drawn_of(shared, variants[0])))
        several = len(variants) > 1
        drawn = tuple(
            (
                variant,
                tuple(
                    drawn_of(
                        own,
                        variant,
                        suffix=f"-{variant.variant_name}" if several else "",
                        title=f" of {variant.variant_name}" if several else "",
                    )
                ),
            )
            for variant in variants
        )
        object.__setattr__(self, "by_variant", drawn)

    @property
    def charts(self) -> Sequence[Drawn]:
        """All of them."""
        return (*self.shared, *(one for _, drawn in self.by_variant for one in drawn))

    @property
    def traffic(self) -> Traffic:
        """Its requests."""
        return Traffic({"endpoint_name": self.name}, self.range_)

    def wants(self) -> Iterator[Wanted]:
        """Everything that must be asked for."""
        yield from self.traffic.wants()
        for chart in self.charts:
            yield from chart.wants(self.range_)
        for entry in self._models:
            yield from _of_model(entry, self.range_).wants()

    def hardware_table(self) -> Table:
        """What it runs on, as the catalogue has it."""
        rows: list[Row] = [
            {
                "variant": variant.name,
                "instance": variant.instance_type,
                "gpus": variant.gpu_count,
                "rated": variant.rated_tokens_per_minute,
                "period": float(variant.metric_period_s),
            }
            for variant in self.endpoint.variants
        ]
        return Table(
            caption="Hardware",
            name="hardware",
            columns=(
                Column("variant", "Variant", sortable=False),
                Column("instance", "Instance type", sortable=False),
                Column("gpus", "GPUs of an instance", "number", sortable=False),
                Column("rated", "Rated tokens per minute", "number", "Of one instance.", sortable=False),
                Column("period", "Figures published every", "seconds", sortable=False),
            ),
            rows=rows,
        )

    def models_table(self, figures: Figures) -> Table:
        """The models that it serves."""
        rows = [_model_row(entry, figures, self.range_, self.limits) for entry in self._models]
        return Table(
            caption="Models that it serves",
            name="models",
            columns=(Column("model", "Model"), *columns(self.range_)),
            rows=rows,
            empty="No model of the catalogue is served by it.",
        )

    @property
    def _models(self) -> list[ModelEntry]:
        models = self.catalogue.models
        return [models[name] for name in sorted(models) if models[name].endpoint_name == self.name]


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: its panels, and who uses it."""

    entry: ModelEntry
    tenants: Sequence[TenantPolicy]
    range_: TimeRange
    now: datetime
    limits: Limits
    charts: Sequence[Drawn] = field(init=False)

    def __post_init__(self) -> None:
        """Its charts."""
        object.__setattr__(self, "charts", tuple(drawn_of(panels_of("model"), Model(self.entry))))

    @property
    def traffic(self) -> Traffic:
        """Its requests."""
        return _of_model(self.entry, self.range_)

    def wants(self) -> Iterator[Wanted]:
        """Everything that must be asked for."""
        yield from self.traffic.wants()
        for chart in self.charts:
            yield from chart.wants(self.range_)
        for policy in self._allowed:
            yield from self._of_tenant(policy).wants()

    def tenants_table(self, figures: Figures) -> Table:
        """Those that used it in this time."""
        rows: list[Row] = []
        for policy in self._allowed:
            cells = self._of_tenant(policy).cells(figures, self.limits, policy.objectives)
            if as_cell(cells["requests"]).value is not None:
                href = f"/tenants/{policy.tenant_id}?{urlencode(self.range_.query)}"
                rows.append({"tenant": Cell(policy.tenant_id, href=href), **cells})
        return Table(
            caption="Tenants that used it",
            name="tenants",
            columns=(Column("tenant", "Tenant"), *columns(self.range_)),
            rows=rows,
            totals=totals(rows, "tenant", "requests", "input_tokens", "output_tokens"),
            rests_on=rests_on(rows, self.range_),
            empty="No tenant used it in this time.",
        )

    def facts_table(self) -> Table:
        """What the catalogue says of it."""
        entry = self.entry
        endpoint = entry.endpoint_name
        told: list[tuple[str, Cell]] = [
            ("Served by", Cell(entry.endpoint_type)),
            (
                "Name there",
                Cell(
                    entry.backend_model_id,
                    href=f"/endpoints/{quote(endpoint, safe='')}?{urlencode(self.range_.query)}"
                    if endpoint
                    else None,
                ),
            ),
            ("Dialect", Cell(entry.dialect)),
            ("Price key", Cell(entry.price_key)),
            ("Falls back to", Cell(", ".join(entry.fallbacks) or "nothing")),
            ("Attempts before that", Cell(str(entry.max_attempts))),
            ("First token within", Cell(f"{entry.timeouts.first_token_s:g} s")),
            ("Whole answer within", Cell(f"{entry.timeouts.total_s:g} s")),
            ("Served until", self._end_of_life),
        ]
        return Table(
            caption="In the catalogue",
            name="facts",
            columns=(Column("what", "What", sortable=False), Column("value", "Value", sortable=False)),
            rows=[{"what": what, "value": value} for what, value in told],
        )

    @property
    def _end_of_life(self) -> Cell:
        end = self.entry.end_of_life
        if end is None:
            return Cell("no date is announced")
        left = (end - self.now.date()).days
        return Cell(
            end.isoformat(),
            state="warning" if left <= self.limits.end_of_life_days else None,
            note=f"{left} days from today",
        )

    @property
    def _allowed(self) -> list[TenantPolicy]:
        return [policy for policy in self.tenants if policy.allows_model(self.entry.model_id)]

    def _of_tenant(self, policy: TenantPolicy) -> Traffic:
        by = {
            "tenant_id": policy.tenant_id,
            "model_id": self.entry.model_id,
            "endpoint_type": self.entry.endpoint_type,
        }
        return Traffic(by, self.range_)


def platform_charts() -> list[Drawn]:
    """The panels of the platform itself."""
    return drawn_of(panels_of("platform"), Platform())


def brakes_table(brakes: Mapping[str, SamplingBrake], now: datetime) -> Table:
    """Who holds every tenant's sample rate down now, how far and until when."""
    rows: list[Row] = [
        {
            "reason": Cell(_BRAKES.get(reason, reason)),
            "factor": Cell(brake.factor, state="warning"),
            "writer": brake.writer or None,
            "until": brake.expires_at,
        }
        for reason, brake in sorted(brakes.items(), key=lambda one: one[1].factor)
        if now < brake.expires_at and brake.factor < 1
    ]
    return Table(
        caption="Brakes on sampling",
        name="brakes",
        columns=(
            Column("reason", "Because of", sortable=False),
            Column("factor", "Held down to", "ratio", "Of every tenant's own rate.", sortable=False),
            Column("writer", "Set by", sortable=False),
            Column(
                "until", "Until", "time", "Its writer sets it anew as long as it is needed.", sortable=False
            ),
        ),
        rows=rows,
        empty="Nobody holds sampling down: each tenant's own rate applies.",
    )


def models_list(catalogue: Catalogue, range_: TimeRange) -> Table:
    """Every model of the catalogue."""
    query = urlencode(range_.query)
    rows: list[Row] = [
        {
            "model": Cell(entry.model_id, href=f"/models/{quote(entry.model_id, safe='')}?{query}"),
            "kind": entry.endpoint_type,
            "backend": entry.backend_model_id,
            "price_key": entry.price_key,
            "fallbacks": ", ".join(entry.fallbacks) or None,
            "end_of_life": entry.end_of_life.isoformat() if entry.end_of_life else None,
        }
        for entry in catalogue.models.values()
    ]
    return Table(
        caption="Models",
        hide_caption=True,
        columns=(
            Column("model", "Model"),
            Column("kind", "Served by"),
            Column("backend", "Name there"),
            Column("price_key", "Price key"),
            Column("fallbacks", "Falls back to"),
            Column("end_of_life", "Served until"),
        ),
        rows=rows,
    )


def endpoints_list(catalogue: Catalogue, range_: TimeRange) -> Table:
    """Every variant of every endpoint of the catalogue."""
    query = urlencode(range_.query)
    rows: list[Row] = [
        {
            "endpoint": Cell(name, href=f"/endpoints/{quote(name, safe='')}?{query}"),
            "variant": variant.name,
            "instance": variant.instance_type,
            "gpus": variant.gpu_count,
            "rated": variant.rated_tokens_per_minute,
        }
        for name, endpoint in catalogue.endpoints.items()
        for variant in endpoint.variants
    ]
    return Table(
        caption="Endpoints",
        hide_caption=True,
        columns=(
            Column("endpoint", "Endpoint"),
            Column("variant", "Variant"),
            Column("instance", "Instance type"),
            Column("gpus", "GPUs", "number"),
            Column("rated", "Rated tokens per minute", "number"),
        ),
        rows=rows,
        empty="No endpoints in the catalogue.",
    )


def _of_model(entry: ModelEntry, range_: TimeRange) -> Traffic:
    return Traffic({"model_id": entry.model_id, "endpoint_type": entry.endpoint_type}, range_)


def _model_row(entry: ModelEntry, figures: Figures, range_: TimeRange, limits: Limits) -> Row:
    href = f"/models/{quote(entry.model_id, safe='')}?{urlencode(range_.query)}"
    return {"model": Cell(entry.model_id, href=href), **_of_model(entry, range_).cells(figures, limits)}
