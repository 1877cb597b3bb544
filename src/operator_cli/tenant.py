"""`llm-platform tenant ...`: who may call, with which policy and which keys."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.table import Table

from llmplatform import ids
from llmplatform.apikeys import KeyRecord
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.tenants import StoredTenant, Tenants
from operator_cli import policy_options as options
from operator_cli.connection import connect_aws
from operator_cli.console import ERR, OUT, CommandFailed, print_table

ResultT = TypeVar("ResultT")

tenants = typer.Typer(
    no_args_is_help=True,
    help="Add, list, show, update and remove tenants; rotate and revoke their keys.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

MAX_GRACE_H: Final = 8_760.0
"""A year: a key that is to work longer is not being rotated."""


def _tenant(text: str) -> TenantId:
    tenant = ids.tenant_id(text)
    if tenant is None:
        raise typer.BadParameter("a tenant id is 1 to 48 lower-case letters, digits and dashes")
    return tenant


def _grace(hours: float) -> float:
    if not 0 <= hours <= MAX_GRACE_H:  # also for what is no number
        raise typer.BadParameter(f"give 0 to {MAX_GRACE_H:g} hours (a year)")
    return hours


TenantArgument = Annotated[
    str,
    typer.Argument(metavar="TENANT", callback=_tenant, help="Lower-case letters, digits and dashes."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same for programs.")]


@tenants.command()
def add(
    tenant: TenantArgument,
    *,
    display_name: options.DisplayName = None,
    content_mode: options.Content = None,
    log_content: options.LogContent = None,
    eval_sample_rate: options.EvalSampleRate = None,
    allow_model: options.AllowModel = None,
    daily_budget_usd: options.DailyBudgetUsd = None,
    daily_budget_tokens: options.DailyBudgetTokens = None,
    judge_daily_budget_usd: options.JudgeDailyBudgetUsd = None,
    max_in_flight: options.MaxInFlight = None,
    ttft_p50_ms: options.TtftP50Ms = None,
    ttft_p99_ms: options.TtftP99Ms = None,
    total_latency_p99_ms: options.TotalLatencyP99Ms = None,
    kms_key: options.KmsKey = None,
    own_key: Annotated[
        bool, typer.Option("--own-key", help="Make a KMS key for its content, deleted when it is erased.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a tenant and print its first key, which is shown this once.

    Without --allow-model, all models may be called.

    Example: llm-platform tenant add initech --content-mode full --own-key --allow-model smollm2-135m
    """
    if own_key and kms_key is not None:
        raise typer.BadParameter("give this or --kms-key", param_hint="--own-key")
    policy = options.new_policy(
        TenantId(tenant),
        {
            "display_name": display_name,
            "content_mode": content_mode,
            "log_content": log_content,
            "eval_sample_rate": eval_sample_rate,
            "allowed_models": allow_model or None,
            "daily_budget_usd": daily_budget_usd,
            "daily_budget_tokens": daily_budget_tokens,
            "judge_daily_budget_usd": judge_daily_budget_usd,
            "max_in_flight": max_in_flight,
            "ttft_p50_ms": ttft_p50_ms,
            "ttft_p99_ms": ttft_p99_ms,
            "total_latency_p99_ms": total_latency_p99_ms,
            "kms_key": kms_key,
        },
    )
    region = connect_aws()
    options.check_models(policy)
    if own_key:
        from operator_cli.tenant_add import add_with_own_key  # noqa: PLC0415  # a second less for --help

        key = add_with_own_key(policy, region)
    else:
        key = _run(lambda store: store.create(policy), region)
    _show_key(tenant, key, as_json=as_json)
    _keep_alarms(tenant, region)


@tenants.command()
def update(
    tenant: TenantArgument,
    *,
    display_name: options.DisplayName = None,
    content_mode: options.Content = None,
    log_content: options.LogContent = None,
    no_log_content: Annotated[bool, typer.Option("--no-log-content", help="Opt out of them.")] = False,
    eval_sample_rate: options.EvalSampleRate = None,
    allow_model: options.AllowModel = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Let all models be called.")] = False,
    daily_budget_usd: options.DailyBudgetUsd = None,
    no_daily_budget_usd: Annotated[
        bool, typer.Option("--no-daily-budget-usd", help="Take the budget in US dollars away.")
    ] = False,
    daily_budget_tokens: options.DailyBudgetTokens = None,
    no_daily_budget_tokens: Annotated[
        bool, typer.Option("--no-daily-budget-tokens", help="Take the budget in tokens away.")
    ] = False,
    judge_daily_budget_usd: options.JudgeDailyBudgetUsd = None,
    no_judge_daily_budget_usd: Annotated[
        bool,
        typer.Option("--no-judge-daily-budget-usd", help="Leave the judge's budget to the worker's own."),
    ] = False,
    max_in_flight: options.MaxInFlight = None,
    ttft_p50_ms: options.TtftP50Ms = None,
    ttft_p99_ms: options.TtftP99Ms = None,
    total_latency_p99_ms: options.TotalLatencyP99Ms = None,
    kms_key: options.KmsKey = None,
    no_kms_key: Annotated[bool, typer.Option("--no-kms-key", help="Take the tenant's own key away.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change a tenant's policy: only what is given. Gateways follow within a minute.

    Models given with --allow-model take the place of those allowed before.

    Example: llm-platform tenant update acme --eval-sample-rate 0.1 --no-daily-budget-usd
    """
    given = {
        "display_name": display_name,
        "content_mode": content_mode,
        "log_content": log_content,
        "eval_sample_rate": eval_sample_rate,
        "allowed_models": allow_model or None,
        "daily_budget_usd": daily_budget_usd,
        "daily_budget_tokens": daily_budget_tokens,
        "judge_daily_budget_usd": judge_daily_budget_usd,
        "max_in_flight": max_in_flight,
        "ttft_p50_ms": ttft_p50_ms,
        "ttft_p99_ms": ttft_p99_ms,
        "total_latency_p99_ms": total_latency_p99_ms,
        "kms_key": kms_key,
    }
    clearing = {
        "log_content": no_log_content,
        "allowed_models": all_models,
        "daily_budget_usd": no_daily_budget_usd,
        "daily_budget_tokens": no_daily_budget_tokens,
        "judge_daily_budget_usd": no_judge_daily_budget_usd,
        "kms_key": no_kms_key,
    }
    cleared = [field for field, asked in clearing.items() if asked]
    if not cleared and all(value is None for value in given.values()):
        raise typer.BadParameter("nothing is to be changed: give an option of the policy")
    options.new_policy(TenantId(tenant), given)  # what cannot be is told before anything is asked
    region = connect_aws()
    before = _run(lambda store: store.get(TenantId(tenant)), region).policy
    if before is None:
        raise CommandFailed(f"the policy of tenant {tenant} does not parse; correct its parameter first")
    after = options.policy_with(before, given, cleared)
    if allow_model:
        options.check_models(after)
    _run(lambda store: store.put_policy(after), region)
    was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
    if was != now:
        _keep_alarms(tenant, region)
    if as_json:
        print(json.dumps({"tenant_id": tenant, "policy": now}, indent=2))
        return
    changed = [name for name in now if _readable(was[name]) != _readable(now[name])]
    for name in changed:
        OUT.print(f"{name:22} {_readable(was[name])} → {_readable(now[name])}", markup=False)
    ERR.print(f"[dim]{'gateways follow within a minute' if changed else 'that is how it was'}[/dim]")


@tenants.command()
def remove(
    tenant: TenantArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a tenant: its policy and its keys. Its ledger rows stay until their time to live ends."""
    region = connect_aws()
    stored = _run(lambda store: store.get(TenantId(tenant)), region)
    if not yes:
        typer.confirm(f"Remove tenant {tenant} with its policy and {len(stored.keys)} keys?", abort=True)
    _run(lambda store: store.remove(TenantId(tenant)), region)
    OUT.print(f"tenant {tenant} is removed; gateways refuse its keys within a minute")
    ERR.print(f"[dim]its ledger rows stay until their TTL, {REQUEST_LEDGER.retention_days} days[/dim]")
    _keep_alarms(tenant, region)


@tenants.command()
def erase(
    tenant: TenantArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a tenant: delete its key and its content, and prove that nothing of it can be read.

    Its KMS key is deleted in 7 days, the least that KMS takes, and cannot be used from now on.
    """
    from operator_cli.tenant_erase import run_erase  # noqa: PLC0415  # a second less for --help

    region = connect_aws()
    try:
        run_erase(TenantId(tenant), region, yes=yes, as_json=as_json)
    finally:  # an erasure that could not be proven has taken the tenant away all the same
        if TenantId(tenant) not in {known.tenant_id for known in _run(lambda store: store.list(), region)}:
            _keep_alarms(tenant, region)


@tenants.command("list")
def list_(*, as_json: JsonOption = False) -> None:
    """List all tenants."""
    found = _run(lambda store: store.list())
    if as_json:
        print(json.dumps([_facts(stored) for stored in found], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("tenant", "name", "content", "sampled", "models", "in flight", "keys"):
        table.add_column(column, no_wrap=True)
    for stored in found:
        policy = stored.policy
        if policy is None:
            table.add_row(stored.tenant_id, f"[red]{stored.problem}[/red]")
            continue
        models = "all" if policy.allowed_models is None else str(len(policy.allowed_models))
        table.add_row(
            stored.tenant_id,
            policy.display_name,
            policy.content_mode,
            f"{policy.eval_sample_rate:g}",
            models,
            str(policy.max_in_flight),
            str(len(stored.keys)),
        )
    print_table(table)


@tenants.command()
def show(tenant: TenantArgument, *, as_json: JsonOption = False) -> None:
    """Show a tenant's policy and its keys' ids."""
    stored = _run(lambda store: store.get(TenantId(tenant)))
    facts = _facts(stored)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    if stored.problem is not None:
        raise CommandFailed(f"{stored.problem}; gateways go on with the last good documents")
    for name, value in facts["policy"].items():
        OUT.print(f"{name:22} {_readable(value)}", markup=False)
    for key in stored.keys:
        until = "for good" if key.expires_at is None else f"until {_minute(key.expires_at)}"
        OUT.print(f"{'key':22} {key.id}  since {_minute(key.created_at)}, {until}", markup=False)


@tenants.command("rotate-key")
def rotate_key(
    tenant: TenantArgument,
    *,
    grace_h: Annotated[
        float,
        typer.Option(
            callback=_grace, help="Hours for which the keys of before still work, to 8760; 0 ends them now."
        ),
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Give a tenant a new key, shown this once, and let its other keys expire.

    Example: llm-platform tenant rotate-key acme --grace-h 1
    """
    grace = timedelta(hours=grace_h)
    key = _run(lambda store: store.add_key(TenantId(tenant), retire_others_after=grace))
    _show_key(tenant, key, as_json=as_json)
    if not as_json:
        ended = "stop working within a minute" if not grace_h else f"expire in {grace_h:g} h"
        ERR.print(f"[dim]the tenant's other keys {ended}[/dim]")


@tenants.command("revoke-key")
def revoke_key(
    tenant: TenantArgument,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `tenant show` lists it.")],
) -> None:
    """Take a key from a tenant; gateways refuse it within a minute."""
    _run(lambda store: store.revoke_key(TenantId(tenant), key_id))
    OUT.print(f"key {key_id} of tenant {tenant} is revoked; gateways refuse it within a minute")


def _keep_alarms(tenant: str, region: str) -> None:
    """Make the tenant's alarms what they should be. What fails is said, and undoes nothing."""
    from operator_cli.watch_tenant import keep_alarms  # noqa: PLC0415  # a second less for --help

    keep_alarms(tenant, region)


def _run(work: Callable[[Tenants], Awaitable[ResultT]], region: str | None = None) -> ResultT:
    from llmplatform.aws.sessions import aws_session  # noqa: PLC0415  # a second less for --help

    region = region or connect_aws()

    async def with_store() -> ResultT:
        async with aws_session(region).client("ssm") as ssm:
            return await work(Tenants(ssm, SystemClock()))

    return asyncio.run(with_store())


def _facts(stored: StoredTenant) -> dict[str, Any]:
    return {
        "tenant_id": stored.tenant_id,
        "policy": None if stored.policy is None else stored.policy.model_dump(mode="json"),
        "problem": stored.problem,
        "keys": [_key_facts(key) for key in stored.keys],
    }


def _key_facts(key: KeyRecord) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"sha256"})


def _show_key(tenant: str, key: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"tenant_id": tenant, "api_key": key}))
        return
    print(key)
    ERR.print("[dim]shown this once: only its hash is stored[/dim]")


def _readable(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return ", ".join(sorted(value)) if isinstance(value, list) else str(value)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"
