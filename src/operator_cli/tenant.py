"""`llm-platform tenant ...`: who may call, with which policy and which keys."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.table import Table

from llmplatform import ids
from llmplatform.apikeys import KeyRecord
from llmplatform.clock import SystemClock
from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, TenantPolicy
from llmplatform.tenants import StoredTenant, Tenants
from operator_cli.connection import connect_aws
from operator_cli.console import ERR, OUT, CommandFailed

ResultT = TypeVar("ResultT")

tenants = typer.Typer(
    no_args_is_help=True,
    help="Add, list and show tenants; rotate and revoke their keys.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

TenantArgument = Annotated[
    str, typer.Argument(metavar="TENANT", help="Lower-case letters, digits and dashes.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same for programs.")]


@tenants.command()
def add(
    tenant: TenantArgument,
    *,
    display_name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    content_mode: Annotated[
        ContentMode | None, typer.Option(help="How much of the content may leave the request path.")
    ] = None,
    log_content: Annotated[bool | None, typer.Option("--log-content", help="Opt in to content logs.")] = None,
    eval_sample_rate: Annotated[
        float | None, typer.Option(help="Share of requests to evaluate, 0 to 1.")
    ] = None,
    allow_model: Annotated[
        list[str] | None, typer.Option(help="A model that may be called; repeat it. Without it, all may.")
    ] = None,
    daily_budget_usd: Annotated[str | None, typer.Option(help="US dollars a day.")] = None,
    daily_budget_tokens: Annotated[int | None, typer.Option(help="Tokens a day.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(help="Requests at once, per gateway task.")] = None,
    ttft_p50_ms: Annotated[int | None, typer.Option(help="Objective for the first token, median.")] = None,
    ttft_p99_ms: Annotated[int | None, typer.Option(help="Objective for the first token, p99.")] = None,
    total_latency_p99_ms: Annotated[int | None, typer.Option(help="Objective for the whole, p99.")] = None,
    kms_key: Annotated[str | None, typer.Option(help="ARN or alias of the tenant's own key.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a tenant and print its first key, which is shown this once.

    Example: llm-platform tenant add initech --content-mode hash_only --allow-model smollm2-135m
    """
    objectives = {
        "ttft_p50_ms": ttft_p50_ms,
        "ttft_p99_ms": ttft_p99_ms,
        "total_latency_p99_ms": total_latency_p99_ms,
    }
    policy = _policy(
        tenant,
        display_name=display_name,
        content_mode=content_mode,
        log_content=log_content,
        eval_sample_rate=eval_sample_rate,
        allowed_models=allow_model or None,
        daily_budget_usd=daily_budget_usd,
        daily_budget_tokens=daily_budget_tokens,
        max_in_flight=max_in_flight,
        objectives={name: value for name, value in objectives.items() if value is not None} or None,
        kms_key=kms_key,
    )
    _show_key(tenant, _run(lambda store: store.create(policy)), as_json=as_json)


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
    OUT.print(table)


@tenants.command()
def show(tenant: TenantArgument, *, as_json: JsonOption = False) -> None:
    """Show a tenant's policy and its keys' ids."""
    stored = _run(lambda store: store.get(_tenant_id(tenant)))
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
        float, typer.Option(help="Hours for which the keys of before still work; 0 ends them now.", min=0)
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Give a tenant a new key, shown this once, and let its other keys expire.

    Example: llm-platform tenant rotate-key acme --grace-h 1
    """
    grace = timedelta(hours=grace_h)
    key = _run(lambda store: store.add_key(_tenant_id(tenant), retire_others_after=grace))
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
    _run(lambda store: store.revoke_key(_tenant_id(tenant), key_id))
    OUT.print(f"key {key_id} of tenant {tenant} is revoked; gateways refuse it within a minute")


def _run(work: Callable[[Tenants], Awaitable[ResultT]]) -> ResultT:
    from llmplatform.aws.sessions import aws_session  # noqa: PLC0415  # a second less for --help

    async def with_store() -> ResultT:
        async with aws_session(connect_aws()).client("ssm") as ssm:
            return await work(Tenants(ssm, SystemClock()))

    return asyncio.run(with_store())


def _tenant_id(text: str) -> TenantId:
    tenant = ids.tenant_id(text)
    if tenant is None:
        raise CommandFailed("a tenant id is 1 to 48 lower-case letters, digits and dashes")
    return tenant


def _policy(tenant: str, **wishes: Any) -> TenantPolicy:
    given = {name: value for name, value in wishes.items() if value is not None}
    try:
        return TenantPolicy.model_validate({"tenant_id": _tenant_id(tenant), **given})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CommandFailed(problems) from error


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
