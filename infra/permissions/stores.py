"""Rows of tables and objects of buckets: which, what is done with them, and no more of them than is meant."""

from collections.abc import Sequence

from infra.permissions.account import Account
from infra.permissions.statement import Conditions, Statement, where
from llmplatform.aws.tables import Bucket, Table


def rows(
    account: Account, sid: str, table: Table, *operations: str, conditions: Conditions | None = None
) -> Statement:
    """Operations on a table's rows: `rows(account, "Ledger", REQUEST_LEDGER, "BatchWriteItem")`."""
    return Statement(sid, _actions(operations), (account.table(table),), conditions or {})


def rows_by(account: Account, sid: str, table: Table, *names: str) -> Statement:
    """Queries of some of a table's indexes: they show what is projected into them, the table stays shut."""
    found = [index for index in table.indexes if index.name in names]
    return Statement(sid, ("dynamodb:Query",), tuple(account.index(table, index) for index in found))


def owned_by(*owners: str) -> Conditions:
    """Rows whose partition key is one of these, or fits one of these patterns."""
    return where("ForAllValues:StringLike", {"dynamodb:LeadingKeys": owners})


def attributes(names: Sequence[str]) -> Conditions:
    """These attributes and no other: a request has to say which it wants."""
    return {
        **where("ForAllValues:StringEquals", {"dynamodb:Attributes": names}),
        **where("StringEquals", {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}),
    }


def listing(account: Account, sid: str, bucket: Bucket, *prefixes: str) -> Statement:
    """The keys of objects that begin so."""
    return Statement(
        sid,
        ("s3:ListBucket",),
        (account.bucket(bucket),),
        where("StringLike", {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}),
    )


def objects(
    account: Account, sid: str, bucket: Bucket, prefixes: Sequence[str], *operations: str
) -> Statement:
    """Operations on a bucket's objects whose keys begin so."""
    return Statement(
        sid,
        tuple(f"s3:{operation}" for operation in operations),
        tuple(account.objects(bucket, prefix) for prefix in prefixes),
        because="objects are named as they are written; their folder is named here",
    )


def _actions(operations: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"dynamodb:{operation}" for operation in operations)
