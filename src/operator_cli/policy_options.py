"""A tenant's policy as options of a command: what they are called, what they may be, which policy they make.

Whoever asks for something that cannot be is told by the option's name, as by any other usage error.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from llmplatform.catalogue import load_catalogue
from llmplatform.errors import ConfigFault
from llmplatform.ids import TenantId
from llmplatform.policy import ContentMode, TenantPolicy
from operator_cli.connection import catalogue_in_force
from operator_cli.console import ERR

_OPTION_OF_FIELD: Final = {"allowed_models": "--allow-model"}
_OBJECTIVES: Final = frozenset({"ttft_p50_ms", "ttft_p99_ms", "total_latency_p99_ms"})
# What KMS takes for a KeyId: the ARN of a key or an alias, an alias, a key's id (also of a multi-Region key).
_KMS_NAME: Final = r"alias/[A-Za-z0-9/_-]+"
_KMS_ID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}"
_KMS_KEY: Final = re.compile(
    rf"(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{{12}}:)?{_KMS_NAME}"
    rf"|(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{{12}}:key/)?(?:{_KMS_ID})"
)


def kms_key(value: str | None) -> str | None:
    """`value` if KMS could take it for a key. Raises BadParameter."""
    if value is None or _KMS_KEY.fullmatch(value):
        return value
    raise typer.BadParameter("give a KMS key's ARN, an alias (alias/NAME) or a key id (a UUID)")


DisplayName = Annotated[str | None, typer.Option(help="Name for people.")]
Content = Annotated[
    ContentMode | None,
    typer.Option(
        metavar="MODE",
        help=f"How much of the content may leave the request path: {', '.join(ContentMode)}.",
    ),
]
LogContent = Annotated[bool | None, typer.Option("--log-content", help="Opt in to content logs.")]
EvalSampleRate = Annotated[float | None, typer.Option(help="Share of requests to evaluate, 0 to 1.")]
AllowModel = Annotated[
    list[str] | None, typer.Option(help="A model of the catalogue that may be called; repeat it.")
]
DailyBudgetUsd = Annotated[str | None, typer.Option(help="US dollars a day.")]
JudgeDailyBudgetUsd = Annotated[
    str | None, typer.Option(help="US dollars that judging its answers may cost a day (UTC).")
]
DailyBudgetTokens = Annotated[int | None, typer.Option(help="Tokens a day.")]
MaxInFlight = Annotated[int | None, typer.Option(help="Requests at once, per gateway task.")]
TtftP50Ms = Annotated[int | None, typer.Option(help="Objective for the first token, median.")]
TtftP99Ms = Annotated[int | None, typer.Option(help="Objective for the first token, p99.")]
TotalLatencyP99Ms = Annotated[int | None, typer.Option(help="Objective for the whole, p99.")]
KmsKey = Annotated[
    str | None, typer.Option(callback=kms_key, help="ARN, alias or id of the tenant's own key.")
]


def policy_with(base: TenantPolicy, given: Mapping[str, Any], cleared: Iterable[str] = ()) -> TenantPolicy:
    """`base` with what options give (None is not given), and without the `cleared` fields.

    Raises BadParameter that names the option.
    """
    fields = base.model_dump(exclude_defaults=True) | {"tenant_id": base.tenant_id}
    wishes = {name: value for name, value in given.items() if value is not None}
    for name in cleared:
        if name in wishes:
            raise typer.BadParameter("given, and taken back by another option", param_hint=option_of(name))
        fields.pop(name, None)
    objectives = {name: wishes.pop(name) for name in _OBJECTIVES & wishes.keys()}
    if objectives:
        fields["objectives"] = {**fields.get("objectives", {}), **objectives}
    try:
        return TenantPolicy.model_validate(fields | wishes)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(first["msg"], param_hint=_option_at(first["loc"])) from error


def new_policy(tenant: TenantId, given: Mapping[str, Any]) -> TenantPolicy:
    """The policy of a tenant that has none yet. Raises BadParameter that names the option."""
    return policy_with(TenantPolicy(tenant_id=tenant), given)


def check_models(policy: TenantPolicy) -> None:
    """Raise BadParameter for a model that no gateway knows; only warn when the catalogue cannot be read."""
    path = catalogue_in_force(os.environ)
    try:
        models = load_catalogue(path).models
    except ConfigFault as fault:
        ERR.print(f"[yellow]warning:[/yellow] the models are not checked: {fault}")
        return
    unknown = sorted((policy.allowed_models or frozenset()) - models.keys())
    if unknown:
        where = path or "the platform's own"
        raise typer.BadParameter(
            f"{', '.join(unknown)}: not in the catalogue ({where}; "
            f"LLM_PLATFORM_CATALOGUE names another), which has {', '.join(sorted(models))}",
            param_hint="--allow-model",
        )


def option_of(field: str) -> str:
    """The option that sets a field of the policy."""
    return _OPTION_OF_FIELD.get(field) or "--" + field.replace("_", "-")


def _option_at(place: tuple[int | str, ...]) -> str:
    """The option behind a place in the policy, such as `objectives.ttft_p50_ms` or `allowed_models.0`."""
    return option_of([part for part in place if isinstance(part, str)][-1])
