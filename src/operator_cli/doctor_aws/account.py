"""All looks at an account, in the order in which a person mends what they find."""

from collections.abc import AsyncIterator, Mapping, Sequence

import aioboto3

from evalworker.settings import read_settings
from llmplatform.aws.tables import DATA_KEYS
from llmplatform.catalogue import Catalogue
from llmplatform.clock import SystemClock
from llmplatform.errors import ConfigFault
from llmplatform.judges import load_judge_models
from llmplatform.tenants import StoredTenant, Tenants
from operator_cli.check import Check
from operator_cli.doctor_aws.billing import budget_look, export_look, tag_look
from operator_cli.doctor_aws.endpoints import endpoints_look
from operator_cli.doctor_aws.identity import identity_look
from operator_cli.doctor_aws.keys import keys_look
from operator_cli.doctor_aws.looking import Look, looked
from operator_cli.doctor_aws.models import models_look
from operator_cli.doctor_aws.quotas import quotas_look
from operator_cli.doctor_aws.retention import retention_look
from operator_cli.doctor_aws.tracing import tracing_look


async def account_checks(
    session: aioboto3.Session,
    catalogue: Catalogue | None,
    environ: Mapping[str, str],
    *,
    tokens_per_minute: int | None = None,
) -> AsyncIterator[Check]:
    """Every check of the account; `tokens_per_minute` is what the busiest minute takes of a model."""
    models = bedrock_models(catalogue)
    looks = (
        identity_look(environ),
        models_look(models),
        quotas_look(models, tokens_per_minute=tokens_per_minute),
        endpoints_look(() if catalogue is None else catalogue.endpoints),
        tracing_look(),
        retention_look(),
        _keys_of_account(),
        tag_look(),
        budget_look(),
        export_look(),
    )
    for look in looks:
        async for check in looked(look, session):
            yield check


def bedrock_models(catalogue: Catalogue | None) -> Mapping[str, str]:
    """Bedrock's ids by public name, and the judge's as `judge`."""
    found = (
        {}
        if catalogue is None
        else {
            name: model.backend_model_id
            for name, model in catalogue.models.items()
            if model.endpoint_type == "bedrock"
        }
    )
    try:
        settings, _ = read_settings()
        judge = load_judge_models(settings.judges).named(settings.judge).model_id
    except ConfigFault:
        return found  # a check of its own has told it
    return found | {"judge": judge}


def _keys_of_account() -> Look:
    """The data classes' keys, and those of tenants that have their own."""

    async def ask(session: aioboto3.Session) -> Sequence[Check]:
        async with session.client("ssm") as ssm:
            tenants = await Tenants(ssm, SystemClock()).list()
        return await keys_look(keys_of(tenants)).ask(session)

    return Look("keys", f"ssm:GetParametersByPath, {keys_look({}).actions}", ask)


def keys_of(tenants: Sequence[StoredTenant]) -> Mapping[str, str]:
    """Keys by whose they are."""
    platform = {f"data of class {key.data_class}": key.alias for key in DATA_KEYS}
    own = {
        f"tenant {tenant.tenant_id}": tenant.policy.kms_key
        for tenant in tenants
        if tenant.policy is not None and tenant.policy.kms_key is not None
    }
    return platform | own
