"""`llm-platform doctor`: is everything in place? One line a check, with what to do where it is not.

It only looks. Each check stands for itself: a failed one does not keep the others from being made.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import aioboto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from rich.markup import escape

from gateway.settings import read_settings
from llmplatform.aws.sessions import aws_session, endpoint_url
from llmplatform.aws.tables import LOG_GROUPS, STREAMS, TABLES
from llmplatform.catalogue import Catalogue, Tokenizer, load_catalogue
from llmplatform.clock import SystemClock
from llmplatform.errors import ConfigFault
from llmplatform.tenants import StoredTenant, Tenants
from operator_cli.check import LIFECYCLE_WARNING_DAYS, Check
from operator_cli.connection import catalogue_in_force, connect_gateway
from operator_cli.console import OUT, STALE, CommandFailed
from operator_cli.doctor_aws.account import account_checks
from operator_cli.doctor_aws.looking import looked
from operator_cli.doctor_aws.stacks import StacksLook, awaited
from operator_cli.doctor_cost import Cost
from operator_cli.doctor_evals import Evaluation
from operator_cli.doctor_watch import Alarms
from sandbox.state import NothingRuns

REACH_WITHIN_S: Final = 3.0

_MARKS: Final = {
    "ok": "[green]ok     [/green]",
    "warning": "[yellow]warning[/yellow]",
    "failed": "[red]failed [/red]",
}


def run_doctor(
    region: str, environ: Mapping[str, str], *, account: bool = False, tokens_per_minute: int | None = None
) -> bool:
    """Print every check, with `account` those that only an account can show; False when one failed."""
    found = checks(region, environ, account=account, tokens_per_minute=tokens_per_minute)
    return asyncio.run(_print(_by_stacks(found, region, environ) if account else found))


async def _print(found: AsyncIterator[Check]) -> bool:
    healthy = True
    async for check in found:
        healthy &= check.status != "failed"
        fix = f" [bold]→ {escape(check.fix)}[/bold]" if check.fix else ""
        OUT.print(f"{_MARKS[check.status]} {check.name:17} {escape(check.found)}{fix}")
    return healthy


async def _by_stacks(
    found: AsyncIterator[Check], region: str, environ: Mapping[str, str]
) -> AsyncIterator[Check]:
    """The stacks, and then the checks: what a stack makes that is not deployed yet is no failure."""
    stacks = StacksLook()
    if not environ.get("AWS_ENDPOINT_URL"):  # what stands in for AWS is filled without stacks
        async for check in looked(stacks.look, aws_session(region)):
            yield check
    async for check in found:
        yield awaited(check, stacks.absent)


async def checks(
    region: str, environ: Mapping[str, str], *, account: bool, tokens_per_minute: int | None
) -> AsyncIterator[Check]:
    """Each look in turn, with `account` at what only an account can show."""
    yield settings_check()
    path = catalogue_in_force(environ)
    catalogue: Catalogue | None = None
    try:
        catalogue = load_catalogue(path)
    except ConfigFault as fault:
        yield Check(
            "catalogue", "failed", str(fault), "mend the file, or name another: LLM_PLATFORM_CATALOGUE"
        )
    else:
        yield Check("catalogue", "ok", f"{len(catalogue.models)} models in {path or 'the platform itself'}")
        yield tokenizers_check(catalogue)
        for check in lifecycle_checks(catalogue, datetime.now(UTC).date()):
            yield check
        for service in backend_services(catalogue):
            yield await _reachable(service, region, environ)
    evaluation = Evaluation()
    for check in evaluation.offline(datetime.now(UTC).date(), region):
        yield check
    cost = Cost()
    for check in cost.offline(catalogue, datetime.now(UTC).date(), region):
        yield check
    session = aws_session(region)
    parts: tuple[tuple[str, Callable[[aioboto3.Session], Awaitable[Check]]], ...] = (
        ("tables", _tables),
        ("streams", _streams),
        ("log groups", _log_groups),
        ("tenants", partial(_tenants, catalogue=catalogue)),
        *evaluation.online(),
        *cost.online(),
        *Alarms(region).online(),
    )
    for name, look in parts:
        try:
            yield await look(session)
        except EndpointConnectionError as error:
            fix = STALE if "://127.0.0.1" in str(error) else "check the network and AWS_ENDPOINT_URL"
            yield Check(name, "failed", str(error), fix)
        except (BotoCoreError, ClientError) as error:
            yield Check(name, "failed", str(error), "check AWS_ENDPOINT_URL, AWS_REGION and the credentials")
    if account:
        async for check in account_checks(session, catalogue, environ, tokens_per_minute=tokens_per_minute):
            yield check
    yield await _gateway()


def settings_check() -> Check:
    """Whether the gateway would start with the `GATEWAY_*` variables of this process's environment."""
    try:
        read_settings()
    except ConfigFault as fault:
        return Check("settings", "failed", str(fault), "unset or correct the variable")
    return Check("settings", "ok", "every GATEWAY_* variable is known and in range")


def tokenizers_check(catalogue: Catalogue) -> Check:
    """Whether the files are there that tokens are counted with."""
    missing = sorted(
        model.model_id for model in catalogue.models.values() if not _tokenizer_is_there(model.tokenizer)
    )
    if missing:
        return Check(
            "tokenizers",
            "warning",
            f"no files for {', '.join(missing)}: their tokens are estimated",
            "put the tokenizer where `tokenizer.path` in the catalogue says",
        )
    return Check("tokenizers", "ok", "every file is there that the catalogue names")


def lifecycle_checks(catalogue: Catalogue, today: date) -> Iterator[Check]:
    """Models that their provider stops serving soon, or has."""
    quiet = True
    for model in catalogue.models.values():
        if model.end_of_life is None:
            continue
        days = (model.end_of_life - today).days
        if days > LIFECYCLE_WARNING_DAYS:
            continue
        quiet = False
        if days < 0:
            found = f"{model.model_id} is past its end of life ({model.end_of_life})"
        else:
            found = f"{model.model_id} reaches its end of life in {days} days ({model.end_of_life})"
        yield Check(
            "lifecycle",
            "failed" if days < 0 else "warning",
            found,
            "move its backend_model_id to a successor",
        )
    if quiet:
        yield Check("lifecycle", "ok", f"no model ends within {LIFECYCLE_WARNING_DAYS} days")


def backend_services(catalogue: Catalogue) -> tuple[str, ...]:
    """The runtimes that the catalogue's models need, by their names in the SDK."""
    kinds = {model.endpoint_type for model in catalogue.models.values()}
    return tuple(f"{kind}-runtime" for kind in sorted(kinds))


def _tokenizer_is_there(tokenizer: Tokenizer) -> bool:
    if tokenizer.kind == "estimate" or tokenizer.path is None:
        return True
    return (tokenizer.path / "tokenizer.json").exists() or tokenizer.path.is_file()


async def _reachable(service: str, region: str, environ: Mapping[str, str]) -> Check:
    url = endpoint_url(service, region, environ)
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(REACH_WITHIN_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else (error.strerror or "no such host")
        variable = "AWS_ENDPOINT_URL_" + service.upper().replace("-", "_")
        fix = STALE if parts.hostname == "127.0.0.1" else f"check the network, or {variable}"
        return Check(service, "failed", f"{url}: {reason}", fix)
    writer.close()
    return Check(service, "ok", url)


async def _tables(session: aioboto3.Session) -> Check:
    async with session.client("dynamodb") as dynamodb:
        for table in TABLES:
            try:
                answer = await dynamodb.describe_table(TableName=table.name)
            except dynamodb.exceptions.ResourceNotFoundException:
                return _missing("tables", f"table {table.name}")
            status = answer["Table"]["TableStatus"]
            if status not in {"ACTIVE", "UPDATING"}:
                return Check("tables", "failed", f"table {table.name} is {status}", "wait until it is active")
    return Check("tables", "ok", ", ".join(table.name for table in TABLES))


async def _streams(session: aioboto3.Session) -> Check:
    async with session.client("kinesis") as kinesis:
        for stream in STREAMS:
            try:
                await kinesis.describe_stream_summary(StreamName=stream.name)
            except kinesis.exceptions.ResourceNotFoundException:
                return _missing("streams", f"stream {stream.name}")
    return Check("streams", "ok", ", ".join(stream.name for stream in STREAMS))


async def _log_groups(session: aioboto3.Session) -> Check:
    async with session.client("logs") as logs:
        for group in LOG_GROUPS:
            answer = await logs.describe_log_groups(logGroupNamePrefix=group.name)
            if group.name not in {found.get("logGroupName") for found in answer["logGroups"]}:
                return _missing("log groups", f"log group {group.name}")
    return Check("log groups", "ok", ", ".join(group.name for group in LOG_GROUPS))


async def _tenants(session: aioboto3.Session, *, catalogue: Catalogue | None) -> Check:
    async with session.client("ssm") as ssm:
        return tenants_check(await Tenants(ssm, SystemClock()).list(), catalogue)


def tenants_check(found: Sequence[StoredTenant], catalogue: Catalogue | None) -> Check:
    """Whether all tenants' documents parse, have a key, and allow models that there are."""
    broken = [tenant.problem for tenant in found if tenant.problem is not None]
    if broken:
        return Check("tenants", "failed", "; ".join(broken), "correct the parameters that are named")
    if not found:
        return Check("tenants", "warning", "there are none", "`llm-platform tenant add NAME` makes one")
    keyless = [tenant.tenant_id for tenant in found if not tenant.keys]
    if keyless:
        return Check(
            "tenants", "warning", f"no key: {', '.join(keyless)}", "`llm-platform tenant rotate-key NAME`"
        )
    known = frozenset() if catalogue is None else frozenset(catalogue.models)
    strange = [
        f"{tenant.tenant_id} ({', '.join(sorted(names))})"
        for tenant in found
        if known and tenant.policy is not None and (names := (tenant.policy.allowed_models or known) - known)
    ]
    if strange:
        return Check(
            "tenants",
            "warning",
            f"allowed models that are not in the catalogue: {'; '.join(strange)}",
            "`llm-platform tenant update NAME --allow-model ...`",
        )
    return Check("tenants", "ok", f"{len(found)}, all of their documents parse")


async def _gateway() -> Check:
    try:
        root = connect_gateway().root
    except (NothingRuns, CommandFailed):
        return Check(
            "gateway", "failed", "none is known", "`make up`, or set OPENAI_BASE_URL, OPENAI_API_KEY"
        )
    try:
        async with httpx.AsyncClient(timeout=REACH_WITHIN_S) as client:
            response = await client.get(f"{root}/readyz")
    except httpx.HTTPError:
        fix = STALE if urlsplit(root).hostname == "127.0.0.1" else "start it, or correct OPENAI_BASE_URL"
        return Check("gateway", "failed", f"{root} does not answer", fix)
    if response.is_error:
        return Check("gateway", "failed", f"{root}/readyz answers {response.status_code}", "its log says why")
    return Check("gateway", "ok", f"{root} is ready")


def _missing(name: str, what: str) -> Check:
    return Check(name, "failed", f"{what} is missing", "deploy the platform, or `make up` on a laptop")
