"""What stands in the account: keys, tables, streams, log groups, buckets, topics, by name.

The one place for them. The processes take names and keys from here, the sandbox provisions from
here, infrastructure as code will deploy from here. No client lives here, and nothing is created:
these are facts. What goes *into* a table is told by the room that writes it.
"""

from dataclasses import dataclass
from typing import Final, Literal

KeyType = Literal["S", "N", "B"]
DataClass = Literal["samples", "scores", "usage", "logs", "content-logs", "access", "topics"]


@dataclass(frozen=True, slots=True)
class DataKey:
    """The customer-managed KMS key of one class of data: who may not use it, cannot read the class.

    Tenants' own keys are none of these: see `llmplatform.aws.tenant_key`.
    """

    data_class: DataClass

    @property
    def alias(self) -> str:
        """What names the key in a call to KMS, or to a service that encrypts."""
        return f"alias/llm-platform/{self.data_class}"


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """An attribute that is part of a key, with its DynamoDB type."""

    name: str
    type: KeyType = "S"


@dataclass(frozen=True, slots=True)
class GlobalIndex:
    """A global secondary index."""

    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    projected: tuple[str, ...] | None = None
    """Attributes that it holds beside the keys; None is the whole item."""


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table, billed per request, encrypted under `key`, with point-in-time recovery.

    `ttl_attribute` holds epoch seconds. DynamoDB deletes within days of it, not at it: a reader that
    must not see an expired item filters on the attribute too.
    """

    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    ttl_attribute: str
    retention_days: int
    key: DataKey
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
    """A Kinesis data stream, on demand (no shard count to tune), encrypted under `key`."""

    name: str
    retention_h: int
    key: DataKey


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A CloudWatch Logs group: one retention and one key for all that is in it."""

    name: str
    retention_days: int
    key: DataKey
    archived: bool = True
    """Whether its lines are kept for years more where they are cheap."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """An S3 bucket, private, versioned, encrypted under `key`."""

    base_name: str
    key: DataKey

    def name(self, account_id: str, region: str) -> str:
        """Name of the bucket in one account and region: bucket names are shared by all of AWS."""
        return f"{self.base_name}-{account_id}-{region}"


@dataclass(frozen=True, slots=True)
class Topic:
    """An SNS topic that alarms are sent to; who receives them is a matter of its subscriptions."""

    name: str
    key: DataKey


# What tenants said, on its way to evaluation.
SAMPLES_KEY: Final = DataKey("samples")
# What evaluation made of it, beside the content that it read.
SCORES_KEY: Final = DataKey("scores")
# Who called what, when, and what it cost; no content.
USAGE_KEY: Final = DataKey("usage")
LOGS_KEY: Final = DataKey("logs")
CONTENT_LOGS_KEY: Final = DataKey("content-logs")
# The hashes of API keys and of people's keys, in Parameter Store.
ACCESS_KEY: Final = DataKey("access")
TOPICS_KEY: Final = DataKey("topics")

# Rows of one tenant and hour spread over this many partitions, by a hash of the request id. Published:
# whoever reads a tenant's hour reads all of them, so the number may only grow at an hour's boundary.
LEDGER_SHARDS: Final = 8

REQUEST_LEDGER: Final = Table(
    name="request-ledger",
    partition_key=KeyAttribute("tenant_hour_shard"),  # "tenant_id#YYYY-MM-DDTHH#shard", UTC
    sort_key=KeyAttribute("request_id"),
    ttl_attribute="expires_at",
    retention_days=90,
    key=USAGE_KEY,
    indexes=(
        GlobalIndex(
            name="by-trace",
            partition_key=KeyAttribute("trace_id"),
            sort_key=KeyAttribute("request_id"),
        ),
    ),
)

EVAL_RESULTS: Final = Table(
    name="eval-results",
    partition_key=KeyAttribute("tenant_id"),
    sort_key=KeyAttribute("result_key"),  # "timestamp#request_id#judge_identity", the request's own timestamp
    ttl_attribute="expires_at",
    retention_days=90,
    key=SCORES_KEY,
    indexes=(
        GlobalIndex(
            name="by-trace",
            partition_key=KeyAttribute("trace_id"),
            sort_key=KeyAttribute("result_key"),
        ),
        # What was stored since a moment, whatever time it counts for: small, so that a job can read it often.
        GlobalIndex(
            name="by-judged",
            partition_key=KeyAttribute("tenant_id"),
            sort_key=KeyAttribute("judged_key"),  # "judged_at#request_id"
            projected=(
                "event_at",
                "model_id",
                "judge_identity",
                "bertscore_identity",
                "bertscore_f1",
                "scores",
                "sample_rate",
            ),
        ),
    ),
)

# Scores by series and minute, for drift.
EVAL_MINUTES: Final = Table(
    name="eval-minutes",
    partition_key=KeyAttribute("series"),  # "tenant_id#model_id#dimension#epoch"
    sort_key=KeyAttribute("minute"),
    ttl_attribute="expires_at",
    retention_days=90,
    key=SCORES_KEY,
)

# What the drift detector knows of each series, and what each worker last said of itself.
EVAL_DETECTOR: Final = Table(
    name="eval-detector",
    partition_key=KeyAttribute("owner"),  # a tenant id, or "_workers"
    sort_key=KeyAttribute("entry"),
    ttl_attribute="expires_at",
    retention_days=90,
    key=SCORES_KEY,
)

# What judging cost, by tenant and UTC day: the counter that the judge's budget is held against.
EVAL_SPEND: Final = Table(
    name="eval-spend",
    partition_key=KeyAttribute("tenant_id"),
    sort_key=KeyAttribute("date"),
    ttl_attribute="expires_at",
    retention_days=90,
    key=SCORES_KEY,
)

# What each tenant spent, by hour and kind of charge, and how far each hour is; see `llmplatform.costs`.
TENANT_COST: Final = Table(
    name="tenant-cost",
    partition_key=KeyAttribute(
        "tenant_date"
    ),  # "tenant_id#YYYY-MM-DD", UTC; "_status#..." for the hours' status
    sort_key=KeyAttribute("line"),
    ttl_attribute="expires_at",
    retention_days=1_100,  # three years of bills
    key=USAGE_KEY,
)

# A week: evaluation may be down over a long weekend and still miss nothing.
EVAL_STREAM: Final = Stream(name="llm-eval-stream", retention_h=168, key=SAMPLES_KEY)
EVAL_CONSUMER: Final = "llm-platform-evalworker"
"""Who reads the stream: the name of the consumer that records are pushed to, and of the table of leases."""

LOG_RETENTION_DAYS: Final = 90

GATEWAY_LOGS: Final = LogGroup("/llm-platform/gateway", LOG_RETENTION_DAYS, LOGS_KEY)
EVALWORKER_LOGS: Final = LogGroup("/llm-platform/evalworker", LOG_RETENTION_DAYS, LOGS_KEY)
COSTAGG_LOGS: Final = LogGroup("/llm-platform/costagg", LOG_RETENTION_DAYS, LOGS_KEY)
BILLING_API_LOGS: Final = LogGroup("/llm-platform/billing-api", LOG_RETENTION_DAYS, LOGS_KEY)
WATCH_LOGS: Final = LogGroup("/llm-platform/watch", LOG_RETENTION_DAYS, LOGS_KEY)

# Content of the tenants that opted in. A group of its own under a key of its own, since it is to go sooner.
CONTENT_LOGS: Final = LogGroup("/llm-platform/content", 7, CONTENT_LOGS_KEY, archived=False)

EVAL_HISTORY: Final = Bucket("llm-platform-eval-history", SCORES_KEY)
CALIBRATIONS_PREFIX: Final = "calibrations/"
"""In that bucket, then the judge's identity, then a record by when it was made."""

# What wakes somebody, and what is read on the next day.
CRITICAL_ALARMS: Final = Topic("llm-platform-critical", TOPICS_KEY)
WARNING_ALARMS: Final = Topic("llm-platform-warning", TOPICS_KEY)

DATA_KEYS: Final = (
    SAMPLES_KEY,
    SCORES_KEY,
    USAGE_KEY,
    LOGS_KEY,
    CONTENT_LOGS_KEY,
    ACCESS_KEY,
    TOPICS_KEY,
)
TABLES: Final = (REQUEST_LEDGER, EVAL_RESULTS, EVAL_MINUTES, EVAL_DETECTOR, EVAL_SPEND, TENANT_COST)
STREAMS: Final = (EVAL_STREAM,)
LOG_GROUPS: Final = (
    GATEWAY_LOGS,
    EVALWORKER_LOGS,
    COSTAGG_LOGS,
    BILLING_API_LOGS,
    WATCH_LOGS,
    CONTENT_LOGS,
)
BUCKETS: Final = (EVAL_HISTORY,)
TOPICS: Final = (CRITICAL_ALARMS, WARNING_ALARMS)
