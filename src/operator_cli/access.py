"""`llm-platform access ...`: who may look at all tenants, and the keys of these roles."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.table import Table

from llmplatform.access import Access
from llmplatform.apikeys import ROLES, KeyRecord, Role
from llmplatform.aws.access import AccessStore
from llmplatform.clock import SystemClock
from operator_cli.connection import connect_aws
from operator_cli.console import ERR, OUT, print_table

ResultT = TypeVar("ResultT")

access = typer.Typer(
    no_args_is_help=True,
    help="List, add and revoke the keys of the roles that see all tenants: operator and billing.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

MAX_DAYS: Final = 3_650

RoleArgument = Annotated[Role, typer.Argument(metavar="ROLE", help=f"One of {', '.join(ROLES)}.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same for programs.")]


@access.command("list")
def list_(*, as_json: JsonOption = False) -> None:
    """List the keys of each role by id; what they are is shown once, when they are made."""
    found: Access = _run(lambda store: store.list())
    keys = [(role, key) for role in ROLES for key in found.keys_of(role)]
    if as_json:
        print(json.dumps([_key_facts(role, key) for role, key in keys], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("role", "key", "since", "until"):
        table.add_column(column, no_wrap=True)
    for role, key in keys:
        until = "for good" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}Z"
        table.add_row(role, key.id, f"{key.created_at:%Y-%m-%d %H:%M}Z", until)
    print_table(table)


@access.command("add-key")
def add_key(
    role: RoleArgument,
    *,
    expires_in_days: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_DAYS, help="Days until it stops working; without it, never."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a role another key and print it, this once.

    Example: llm-platform access add-key billing --expires-in-days 90
    """
    expires_in = None if expires_in_days is None else timedelta(days=expires_in_days)
    key = _run(lambda store: store.add_key(role, expires_in=expires_in))
    if as_json:
        print(json.dumps({"role": role, "api_key": key}))
        return
    print(key)
    ERR.print("[dim]shown this once: only its hash is stored[/dim]")


@access.command("revoke-key")
def revoke_key(
    role: RoleArgument,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `access list` shows it.")],
) -> None:
    """Take a key from a role; it is refused within a minute."""
    _run(lambda store: store.revoke_key(role, key_id))
    OUT.print(f"key {key_id} of role {role} is revoked; it is refused within a minute")


def _run(work: Callable[[AccessStore], Awaitable[ResultT]]) -> ResultT:
    from llmplatform.aws.sessions import aws_session  # noqa: PLC0415  # a second less for --help

    region = connect_aws()

    async def with_store() -> ResultT:
        async with aws_session(region).client("ssm") as ssm:
            return await work(AccessStore(ssm, SystemClock()))

    return asyncio.run(with_store())


def _key_facts(role: Role, key: KeyRecord) -> dict[str, Any]:
    return {"role": role, **key.model_dump(mode="json", exclude={"sha256"})}
