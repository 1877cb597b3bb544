"""The gateway: calls models, writes what came of it, and reads nothing back but who may call."""

from collections.abc import Iterator

from infra.models import bedrock_models, catalogue_of
from infra.permissions import keys, models, parameters, stores
from infra.permissions.account import Account
from infra.permissions.statement import ANY, Statement
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_STREAM, REQUEST_LEDGER


def gateway(account: Account) -> Iterator[Statement]:
    """Its statements."""
    catalogue = catalogue_of(account.deployment)
    yield parameters.all_tenants(account)
    yield parameters.one_tenant(account)
    yield keys.parameters(account)
    yield from models.bedrock(account, bedrock_models(catalogue), (models.WHOLE, models.STREAMED))
    yield from models.sagemaker(account, catalogue)
    yield stores.rows(account, "Ledger", REQUEST_LEDGER, "BatchWriteItem")
    yield keys.tables(account, REQUEST_LEDGER)
    yield Statement("Samples", ("kinesis:PutRecords",), (account.stream(EVAL_STREAM),))
    yield keys.stream(account, EVAL_STREAM, keys.SEAL)
    # It seals what the tenant said and never opens it again.
    yield keys.of_tenants(account, keys.SEAL)
    yield keys.names_of_tenants_keys(account)
    yield Statement(
        "ContentLog",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (f"{account.log_group(CONTENT_LOGS)}:{ANY}",),
        because="each task has a stream of its own in this group",
    )
    if account.deployment.collector_tag is not None:
        # The collector beside it has its role.
        # What its OTLP endpoint asks for, to take a span and to let it be found.
        actions = ("xray:PutSpans", "xray:PutSpansForIndexing")
        yield Statement("Traces", actions, (ANY,), because="X-Ray names no resource")
