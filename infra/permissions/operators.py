"""People who run the platform: a policy for who may add tenants, and one for who may erase them.

What an operator only looks at (costs, scores, traces) the console shows; nothing here reads it.
"""

from collections.abc import Iterator
from typing import Final

from infra.permissions import keys, stores
from infra.permissions.account import Account
from infra.permissions.statement import ANY, Statement, where
from infra.permissions.watching import alarms_of_tenants
from llmplatform.account_budget import COST_TAG
from llmplatform.aws.access import DOCUMENT
from llmplatform.aws.parameters import API_KEYS, EVAL_SAMPLE_RATE, POLICY
from llmplatform.aws.stored_content import HISTORY_PREFIX
from llmplatform.aws.tables import CONTENT_LOGS, EVAL_HISTORY, EVAL_RESULTS, EVAL_STREAM
from llmplatform.aws.tenant_key import TENANT_ALIASES, TENANT_TAG
from llmplatform.erasure import ERASED

_DOCUMENTS: Final = (POLICY, EVAL_SAMPLE_RATE, API_KEYS)
_TENANTS_COME: Final = "tenants come and go, and each has a path of its own; the documents are named"


def tenants(account: Account) -> Iterator[Statement]:
    """`llm-platform tenant add`, `update`, `remove`, the keys of tenants and of the roles, their alarms."""
    yield _paths(account)
    yield Statement(
        "Documents",
        ("ssm:DeleteParameters", "ssm:GetParameters", "ssm:PutParameter"),
        (*(account.parameter(f"{ANY}/{name}") for name in _DOCUMENTS), account.parameter(DOCUMENT)),
        because=_TENANTS_COME,
    )
    yield keys.parameters(account, ("kms:Decrypt", "kms:Encrypt"))
    yield from _made_for_a_tenant()
    yield Statement(
        "TenantsKeysNamed",
        ("kms:CreateAlias", "kms:DescribeKey", "kms:EnableKeyRotation", "kms:UpdateAlias"),
        (account.arn("kms", f"key/{ANY}"),),
        keys.TAGGED,
        because=keys.TAGGED_WHY,
    )
    yield Statement(
        "TenantsAliases",
        ("kms:CreateAlias", "kms:UpdateAlias"),
        (account.arn("kms", f"{TENANT_ALIASES}{ANY}"),),
        because="an alias is named for its tenant",
    )
    yield from alarms_of_tenants(account)


def erasure(account: Account) -> Iterator[Statement]:
    """`llm-platform tenant erase`, beside what `tenants` allows: what cannot be undone."""
    yield Statement(
        "TenantsKeysEnd",
        ("kms:ScheduleKeyDeletion",),
        (account.arn("kms", f"key/{ANY}"),),
        keys.TAGGED,
        because=keys.TAGGED_WHY,
    )
    yield keys.of_tenants(account, keys.OPEN)  # the proof: ciphertexts can be opened before and not after
    yield Statement(
        "Tombstones",
        ("ssm:GetParameters", "ssm:PutParameter"),
        (account.parameter(f"{ERASED}/{ANY}"),),
        because="a tombstone is named for its tenant",
    )
    yield stores.rows(account, "Results", EVAL_RESULTS, "Query", "UpdateItem")
    yield keys.tables(account, EVAL_RESULTS)
    yield Statement(
        "HistoryNames",
        ("s3:ListBucketVersions",),
        (account.bucket(EVAL_HISTORY),),
        where("StringLike", {"s3:prefix": f"{HISTORY_PREFIX}{ANY}"}),
    )
    yield stores.objects(account, "History", EVAL_HISTORY, (HISTORY_PREFIX,), "DeleteObjectVersion")
    yield Statement(
        "Samples",
        ("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"),
        (account.stream(EVAL_STREAM),),
    )
    yield keys.stream(account, EVAL_STREAM, keys.OPEN)
    yield Statement(
        "ContentLog",
        ("logs:FilterLogEvents",),
        (f"{account.log_group(CONTENT_LOGS)}:{ANY}",),
        because="all streams of one group: Logs names a group so",
    )


def _made_for_a_tenant() -> Iterator[Statement]:
    """A new key with its tags, which KMS wants allowed apart; and tags for no key that was somebody's before.

    What bears our tag (each key of a class of data does, and each tenant's) or has a name cannot become a
    tenant's, and so be renamed or deleted as one. A key that is being made bears nothing yet: KMS knows no
    tags of it before (KMS developer guide, "Use tags to control access to KMS keys").
    """
    wanted = {f"aws:RequestTag/{TENANT_TAG}": ("false",)}
    nobodys = {f"aws:ResourceTag/{COST_TAG}": ("true",), "kms:ResourceAliases": ("true",)}
    ours_alone = where("ForAllValues:StringEquals", {"aws:TagKeys": (TENANT_TAG, COST_TAG)})
    why = "a key has no ARN before it is made; it must be given its tenant as a tag"
    yield Statement("TenantsKeysMade", ("kms:CreateKey",), (ANY,), {"Null": wanted, **ours_alone}, why)
    yield Statement(
        "TenantsKeysTagged", ("kms:TagResource",), (ANY,), {"Null": {**wanted, **nobodys}, **ours_alone}, why
    )


def _paths(account: Account) -> Statement:
    return Statement(
        "Tenants",
        ("ssm:GetParametersByPath",),
        (account.parameter(), account.parameter(ANY)),
        because=_TENANTS_COME,
    )
