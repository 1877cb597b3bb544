"""What stands in the account: tables, streams, log groups, buckets, by name and key.

The one place for them. The processes take names and keys from here, the sandbox provisions from
here, infrastructure as code will deploy from here. No client lives here, and nothing is created:
these are facts. What goes *into* a table is told by the room that writes it.
"""

from dataclasses import dataclass
from typing import Final, Literal

KeyType = Literal["S", "N", "B"]


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """An attribute that is part of a key, with its DynamoDB type."""

    name: str
    type: KeyType = "S"


@dataclass(frozen=True, slots=True)
class GlobalIndex:
    """A global secondary index that projects whole items."""

    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table, billed per request, encrypted, with point-in-time recovery.

    `ttl_attribute` holds epoch seconds. DynamoDB deletes within days of it, not at it: a reader that
    must not see an expired item filters on the attribute too.
    """

    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    ttl_attribute: str
    retention_days: int
    indexes: tuple[GlobalIndex, ...] = ()

    @property
    def key_attributes(self) -> tuple[KeyAttribute, ...]:
        """Every attribute that is in some key, once: what CreateTable wants defined."""
        keys = [self.partition_key, self.sort_key]
        for index in self.indexes:
            keys += [index.partition_key, index.sort_key]
        return tuple(dict.fromkeys(keys))


@dataclass(frozen=True, slots=True)
class Stream:
    """A Kinesis data stream, on demand (no shard count to tune), encrypted under `kms_key`."""

    name: str
    retention_h: int
    kms_key: str


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A CloudWatch Logs group: one retention and one key for all that is in it."""

    name: str
    retention_days: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """An S3 bucket, private, encrypted, versioned."""

    base_name: str

    def name(self, account_id: str, region: str) -> str:
        """Name of the bucket in one account and region: bucket names are shared by all of AWS."""
        return f"{self.base_name}-{account_id}-{region}"


# Rows of one tenant and hour spread over this many partitions, by a hash of the request id. Published:
# whoever reads a tenant's hour reads all of them, so the number may only grow at an hour's boundary.
LEDGER_SHARDS: Final = 8

REQUEST_LEDGER: Final = Table(
    name="request-ledger",
    partition_key=KeyAttribute("tenant_hour_shard"),  # "tenant_id#YYYY-MM-DDTHH#shard", UTC
    sort_key=KeyAttribute("request_id"),
    ttl_attribute="expires_at",
    retention_days=90,
    indexes=(
        GlobalIndex(
            name="by-trace",
            partition_key=KeyAttribute("trace_id"),
            sort_key=KeyAttribute("request_id"),
        ),
    ),
)

# A week: evaluation may be down over a long weekend and still miss nothing.
EVAL_STREAM: Final = Stream(name="llm-eval-stream", retention_h=168, kms_key="alias/aws/kinesis")

GATEWAY_LOGS: Final = LogGroup(name="/llm-platform/gateway", retention_days=90)

# Content of the tenants that opted in. A group of its own, since it is to go sooner.
CONTENT_LOGS: Final = LogGroup(name="/llm-platform/content", retention_days=7)

EVAL_HISTORY: Final = Bucket(base_name="llm-platform-eval-history")

TABLES: Final = (REQUEST_LEDGER,)
STREAMS: Final = (EVAL_STREAM,)
LOG_GROUPS: Final = (GATEWAY_LOGS, CONTENT_LOGS)
BUCKETS: Final = (EVAL_HISTORY,)
