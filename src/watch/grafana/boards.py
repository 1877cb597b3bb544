"""Which panels make which dashboard. Pure.

Five kinds: *executive* (money and quality of all tenants), *operational* (hardware and latency of each
endpoint and model, side by side), *debug* (one trace), *tenant* (one dashboard for each, in a folder of its
own) and *platform* (the platform's own health). Everything is spelled out from the catalogue and the tenants:
no query searches for series, and no variable asks CloudWatch for a list.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from llmplatform import metrics as ours
from llmplatform.aws.tables import GATEWAY_LOGS
from llmplatform.evaluations import DIMENSIONS
from llmplatform.policy import TenantPolicy
from watch.grafana import athena_queries as sql
from watch.grafana.cells import (
    Asked,
    AthenaCell,
    Board,
    Cell,
    Folder,
    LogCell,
    MetricCell,
    PromCell,
    Row,
    TextCell,
    TraceCell,
    Variable,
)
from watch.grafana.filling import for_target, for_variables, one_line_each
from watch.limits import Limits
from watch.panels import BY_KEY, panels_of
from watch.tables.readings import EVAL_DIMENSION, MODEL, TENANT
from watch.tables.targets import EndpointVariant, Model, Platform, Tenant, World

PLATFORM_FOLDER: Final = Folder("platform", "LLM platform")

OF_PLATFORM: Final[Mapping[str, tuple[str, ...]]] = {
    "All requests": (
        *("platform-requests", "platform-failed", "platform-trace-propagated", "platform-ttft"),
        *("platform-latency", "platform-overhead", "platform-tokens", "platform-tokens-per-second"),
    ),
    "Processes": ("platform-availability", "platform-policy-age", "platform-pending", "platform-dropped"),
    "Evaluation": (
        *("platform-evaluated", "platform-eval-lag", "platform-stream", "platform-iterator-age"),
        *("platform-judge-failed", "platform-sampling"),
    ),
    "Stores": ("platform-tables", "platform-tables-throttled", "platform-logs", "platform-emf-errors"),
    "Cost": (
        *("platform-cost-age", "platform-spend", "platform-observability-share"),
        *("platform-observability-budget", "platform-unpriced", "platform-reconciliation"),
        *("platform-reconciliation-overdue", "platform-dead-letters"),
    ),
}
_OF_MONEY: Final = (
    *("platform-spend", "platform-unpriced", "platform-reconciliation"),
    *("platform-cost-age", "platform-observability-share"),
)
_TREND: Final = ("tenant-spend", "tenant-budget", "tenant-completeness", "scores-mean", "scores-drop")
_ENDPOINT_ORDER: Final = (
    *("endpoint-gpu", "endpoint-gpu-memory", "endpoint-in-flight"),
    *("endpoint-tokens-per-second", "endpoint-ttft", "endpoint-latency"),
)
"""Hardware over latency; the others follow in the table's order."""


def boards(world: World, limits: Limits) -> tuple[Board, ...]:
    """All dashboards."""
    return (
        executive(world, limits),
        operational(world, limits),
        debug(world),
        platform(limits),
        *(tenant_board(target, world, limits) for target in _tenants(world)),
    )


def folder_of(policy: TenantPolicy) -> Folder:
    """A tenant's own folder."""
    return Folder(f"tenant/{policy.tenant_id}", f"LLM tenant {policy.tenant_id}")


def executive(world: World, limits: Limits) -> Board:
    """Money and quality of all tenants: who costs what, does it pay off, can the figures be trusted."""
    tenants = _tenants(world)
    budgeted = [tenant for tenant in tenants if tenant.policy.daily_budget_usd is not None]
    by_token = [tenant for tenant in tenants if tenant.policy.daily_budget_tokens is not None]
    compared = [
        one_line_each("tenant-spend", "month to date", tenants, "Spend of the month, by tenant", latest=True),
        one_line_each("tenant-spend", "today", tenants, "Spend of the day, by tenant", latest=True),
        one_line_each("tenant-budget", "dollars", budgeted, "Daily budget used, by tenant", latest=True),
        one_line_each("tenant-budget", "tokens", by_token, "Daily token budget used, by tenant", latest=True),
        one_line_each(
            "tenant-completeness", "difference", tenants, "Metrics against the ledger, by tenant", latest=True
        ),
    ]
    over_time = [one_line_each("tenant-spend", "month to date", tenants, "Spend of the month over time")]
    cells: list[Cell] = [cell for cell in compared + over_time if cell.asked]
    if tenants:
        cells.append(
            AthenaCell(
                "quality-by-tenant",
                "Quality, by tenant",
                "How good are the answers that each tenant gets?",
                sql.tenants_quality(tenant.policy.tenant_id for tenant in tenants),
                "score",
                "table",
            )
        )
    rows = [
        Row("All tenants", tuple(cells)),
        Row("Not a tenant's, and what is missing", tuple(_of_platform(_OF_MONEY, limits))),
    ]
    variables: tuple[Variable, ...] = ()
    if tenants:
        variables = (_tenant_variable(tenants, several=True), *_score_variables(world, None))
        trend = tuple(for_variables(BY_KEY[key], variables, view="/tenants/${tenant_id}") for key in _TREND)
        rows.append(Row("$tenant_id", trend, for_each="tenant_id"))
    return Board(
        "executive",
        "executive",
        "Cost and quality",
        "What each tenant costs, how good its answers are, and how complete the figures are.",
        PLATFORM_FOLDER,
        tuple(rows),
        variables,
        since="now/M",
        view="/cost",
    )


def operational(world: World, limits: Limits) -> Board:
    """Hardware and latency of each endpoint and model under one crosshair."""
    endpoints = [target for target in world.targets("endpoint") if isinstance(target, EndpointVariant)]
    models = [target for target in world.targets("model") if isinstance(target, Model)]
    rows = [
        *(
            Row(
                f"Endpoint {target.endpoint_name} ({target.variant_name}, {target.instance_type})",
                tuple(_of_endpoint(target, limits)),
                folded=number > 0,
            )
            for number, target in enumerate(endpoints)
        ),
        *(
            Row(f"Model {target.entry.model_id}", tuple(_of_model(target, limits)), folded=number > 0)
            for number, target in enumerate(models)
        ),
    ]
    return Board(
        "operational",
        "operational",
        "Endpoints and models",
        "Hardware and latency of each endpoint and model, under one crosshair.",
        PLATFORM_FOLDER,
        tuple(rows),
        refresh="1m",
    )


def debug(world: World) -> Board:
    """One trace, as far as Grafana can join it."""
    links = TextCell(
        "links",
        "The whole of it",
        "Where is what Grafana cannot join?",
        "The ledger's row, its cost by class, retries with their reasons and the judge's reasons are on the "
        "[console's page of this trace](${console}/traces/${trace_id}). [Other requests at that time]"
        "(${console}/requests?q=${trace_id}&from=${__from:date:iso}&to=${__to:date:iso}).",
    )
    cells: list[Cell] = [
        links,
        TraceCell(
            "xray",
            "Spans",
            "Where did the time go, and what was called?",
            "${xray_trace_id}",
        ),
        LogCell(
            "log-line",
            "Log line",
            "What did the gateway write down of it?",
            GATEWAY_LOGS.name,
            "fields @timestamp, @message\n| filter @message like /${trace_id}/\n"
            "| sort @timestamp asc\n| limit 20",
        ),
    ]
    tenants = _tenants(world)
    if tenants:
        cells.append(
            AthenaCell(
                "trace-scores",
                "Scores",
                "How good was the answer, and who says so?",
                sql.scores_of_trace(tenant.policy.tenant_id for tenant in tenants),
                "score",
                "table",
            )
        )
    return Board(
        "debug",
        "debug",
        "One trace",
        "One request by its trace id: spans, log line and scores. Spans are kept for some requests only, a "
        "log line for all; widen the time range if nothing is found.",
        PLATFORM_FOLDER,
        (Row("Trace ${trace_id}", tuple(cells)),),
        (
            Variable("trace_id", "Trace id"),
            Variable("xray_trace_id", "Trace id in X-Ray", sql=sql.xray_trace_id()),
        ),
        since="now-24h",
        view="/traces/${trace_id}",
    )


def platform(limits: Limits) -> Board:
    """The platform's own health."""
    return Board(
        "platform",
        "platform",
        "The platform itself",
        "Whether the platform works, keeps up and loses nothing.",
        PLATFORM_FOLDER,
        tuple(Row(title, tuple(_of_platform(keys, limits))) for title, keys in OF_PLATFORM.items()),
        refresh="1m",
    )


def tenant_board(target: Tenant, world: World, limits: Limits) -> Board:
    """All about one tenant, for its own people: the tenant is written into every query."""
    policy = target.policy
    models = _score_variables(world, policy)
    answers = (
        AthenaCell(
            "distribution",
            "Scores by day and epoch",
            "How are the scores spread, and did the judge change?",
            sql.distribution(policy.tenant_id),
            "requests",
            "bars",
        ),
        AthenaCell(
            "worst",
            "Worst answers",
            "Which answers should somebody read?",
            sql.worst_answers(policy.tenant_id),
            "score",
            "table",
            traces=True,
        ),
    )
    quality: tuple[Cell, ...] = tuple(
        for_variables(panel, models, fixed={TENANT: policy.tenant_id}, view=target.view)
        for panel in panels_of("scores")
    )
    return Board(
        f"tenant/{policy.tenant_id}",
        "tenant",
        f"Tenant {policy.tenant_id}",
        f"Traffic, latency, cost and quality of {policy.tenant_id}.",
        folder_of(policy),
        (
            Row("Requests and cost", tuple(_of_tenant(target, limits))),
            Row("Quality of $model_id: $eval_dimension", quality + answers),
        ),
        models,
        since="now-24h",
        refresh="5m",
        view=target.view,
        tenant_id=policy.tenant_id,
    )


def _tenants(world: World) -> list[Tenant]:
    return [target for target in world.targets("tenant") if isinstance(target, Tenant)]


def _tenant_variable(tenants: list[Tenant], *, several: bool) -> Variable:
    return Variable(
        TENANT.removeprefix("$"),
        "Tenant",
        tuple(target.policy.tenant_id for target in tenants),
        several=several,
    )


def _score_variables(world: World, policy: TenantPolicy | None) -> tuple[Variable, ...]:
    """Model and dimension; the models are those that the tenant may use."""
    models = (name for name in sorted(world.catalogue.models) if policy is None or policy.allows_model(name))
    return (
        Variable(MODEL.removeprefix("$"), "Model", tuple(models)),
        Variable(EVAL_DIMENSION.removeprefix("$"), "Dimension", DIMENSIONS),
    )


def _of_platform(keys: tuple[str, ...], limits: Limits) -> Iterator[MetricCell]:
    return (for_target(BY_KEY[key], Platform(), limits) for key in keys)


def _of_tenant(target: Tenant, limits: Limits) -> Iterator[MetricCell]:
    budgets = {
        ours.BUDGET_USED_PERCENT: target.policy.daily_budget_usd,
        ours.BUDGET_PROJECTED_PERCENT: target.policy.daily_budget_usd,
        ours.TOKEN_BUDGET_USED_PERCENT: target.policy.daily_budget_tokens,
        ours.TOKEN_BUDGET_PROJECTED_PERCENT: target.policy.daily_budget_tokens,
    }

    def is_there(asked: Asked) -> bool:
        """A budget that nobody set has no series."""
        return budgets.get(asked.reading.metric, 1) is not None

    cells = (for_target(panel, target, limits, keep=is_there) for panel in panels_of("tenant"))
    return (cell for cell in cells if cell.asked)


def _of_endpoint(target: EndpointVariant, limits: Limits) -> Iterator[Cell]:
    others = (panel.key for panel in panels_of("endpoint") if panel.key not in _ENDPOINT_ORDER)
    for panel in (BY_KEY[key] for key in (*_ENDPOINT_ORDER, *others)):
        if target.gpu_count or not any(reading.per_gpu for reading in panel.readings):
            yield for_target(panel, target, limits)
    if target.gpu_count:
        yield from _detailed(target)


def _detailed(target: EndpointVariant) -> Iterator[PromCell]:
    """What no classic metric has: OpenTelemetry metrics of SageMaker's detailed observability."""
    labels = (
        f'"aws.sagemaker.endpoint.name"="{target.endpoint_name}",'
        f'"aws.sagemaker.variant.name"="{target.variant_name}"'
    )
    yield PromCell(
        f"gpu-temperature/{target.name}",
        "GPU temperature",
        "Are the GPUs slowing down for heat?",
        f"DCGM_FI_DEV_GPU_TEMP{{{labels}}}",
        "{{@resource.host.id}} GPU {{gpu}}",
        "celsius",
    )
    yield PromCell(
        f"batch/{target.name}",
        "Requests in a batch",
        "How many requests does a container of vLLM work on at once?",
        f"vllm:num_requests_running{{{labels}}}",
        "{{@resource.host.id}}",
        "short",
    )


def _of_model(target: Model, limits: Limits) -> Iterator[MetricCell]:
    for panel in panels_of("model"):
        if panel.needs in {"", target.entry.endpoint_type}:
            yield for_target(panel, target, limits)
