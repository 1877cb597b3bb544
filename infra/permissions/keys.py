"""Use of keys of KMS: of the data's, through the service that encrypts with them, and of the tenants' own.

Each service tells KMS what it asks for: DynamoDB the table's name, Kinesis the stream's ARN, S3 the bucket's
(the buckets have bucket keys) and Parameter Store the parameter's. Sources: the services' own guides, under
"encryption context"; decision 0014 for the tenants'.
"""

from collections.abc import Sequence
from typing import Final

from infra.permissions.account import Account
from infra.permissions.statement import Conditions, Statement, where
from llmplatform.aws.envelope import TENANT
from llmplatform.aws.tables import ACCESS_KEY, Bucket, Stream, Table
from llmplatform.aws.tenant_key import TENANT_TAG

TAGGED: Final[Conditions] = {"Null": {f"aws:ResourceTag/{TENANT_TAG}": ("false",)}}
TAGGED_WHY: Final = (
    "tenants' keys are made when tenants come; each bears its tenant in a tag, which is asked for"
)

OPEN: Final = ("kms:Decrypt",)
SEAL: Final = ("kms:GenerateDataKey",)
_CONTEXT: Final = "kms:EncryptionContext"


def tables(account: Account, *used: Table) -> Statement:
    """DynamoDB decrypts a table's key for whoever reads it and for whoever writes."""
    keys = tuple(dict.fromkeys(account.keys[table.key.data_class] for table in used))
    names = [table.name for table in used]
    return Statement(
        "KeysOfTables",
        OPEN,
        keys,
        _by(account, "dynamodb", {f"{_CONTEXT}:aws:dynamodb:tableName": names}),
    )


def stream(account: Account, used: Stream, actions: Sequence[str]) -> Statement:
    """`SEAL` for who puts records, `OPEN` for who reads them."""
    context = {f"{_CONTEXT}:aws:kinesis:arn": [account.stream(used)]}
    return Statement(
        "KeyOfStream", tuple(actions), (account.keys[used.key.data_class],), _by(account, "kinesis", context)
    )


def objects(account: Account, used: Bucket, actions: Sequence[str]) -> Statement:
    """`SEAL` for who puts objects, `OPEN` for who gets them."""
    context = {f"{_CONTEXT}:aws:s3:arn": [account.bucket(used)]}
    return Statement(
        "KeyOfObjects", tuple(actions), (account.keys[used.key.data_class],), _by(account, "s3", context)
    )


def parameters(account: Account, actions: Sequence[str] = OPEN) -> Statement:
    """The SecureStrings below the platform's prefix: hashes of API keys, and of the roles' keys."""
    pattern = account.parameter("*")
    through = where("StringEquals", {"kms:ViaService": account.via("ssm")})
    named = where("StringLike", {f"{_CONTEXT}:PARAMETER_ARN": pattern})
    return Statement(
        "KeyOfAccess", tuple(actions), (account.keys[ACCESS_KEY.data_class],), {**through, **named}
    )


def of_tenants(account: Account, actions: Sequence[str]) -> Statement:
    """A tenant's own key, by the processes themselves: with the tenant in the context and nothing else.

    A key that bears no tenant's tag is not meant, whatever its policy says. DescribeKey tells what an alias
    stands for, and has no context.
    """
    return Statement(
        "KeysOfTenants",
        tuple(actions),
        (account.arn("kms", "key/*"),),
        {
            "Null": {f"aws:ResourceTag/{TENANT_TAG}": ("false",), f"{_CONTEXT}:{TENANT}": ("false",)},
            **where("ForAllValues:StringEquals", {"kms:EncryptionContextKeys": TENANT}),
        },
        because=TAGGED_WHY,
    )


def names_of_tenants_keys(account: Account) -> Statement:
    """Which key an alias stands for."""
    return Statement(
        "NamesOfTenantsKeys",
        ("kms:DescribeKey",),
        (account.arn("kms", "key/*"),),
        TAGGED,
        because=TAGGED_WHY,
    )


def of_tenants_objects(account: Account, used: Bucket, actions: Sequence[str]) -> Statement:
    """A tenant's own key, by S3 for objects of one bucket."""
    asked = _by(account, "s3", {f"{_CONTEXT}:aws:s3:arn": [account.bucket(used)]})
    return Statement(
        "KeysOfTenantsObjects",
        tuple(actions),
        (account.arn("kms", "key/*"),),
        {**TAGGED, **asked},
        because=TAGGED_WHY,
    )


def _by(account: Account, service: str, context: dict[str, list[str]]) -> Conditions:
    """A service asks, for what the context says."""
    return where("StringEquals", {"kms:ViaService": account.via(service), **context})
