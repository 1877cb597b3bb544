"""Evaluation: the worker reads what was said and scores it, drift sees scores alone, compaction files."""

from collections.abc import Iterator

from infra.permissions import functions, keys, models, parameters, stores
from infra.permissions.account import Account
from infra.permissions.statement import ANY, Statement
from llmplatform.aws.eval_reader import SCORE_ATTRIBUTES
from llmplatform.aws.stored_content import HISTORY_PREFIX
from llmplatform.aws.tables import (
    CALIBRATIONS_PREFIX,
    EVAL_CONSUMER,
    EVAL_DETECTOR,
    EVAL_HISTORY,
    EVAL_MINUTES,
    EVAL_RESULTS,
    EVAL_SPEND,
    EVAL_STREAM,
    EVALWORKER_LOGS,
    REQUEST_LEDGER,
)
from llmplatform.eval_heartbeat import WORKERS
from llmplatform.eval_parked import PREFIX as PARKED_PREFIX
from llmplatform.judges import load_judge_models


def evalworker(account: Account) -> Iterator[Statement]:
    """The worker. It decrypts no parameter: who may call is nothing to it."""
    yield parameters.all_tenants(account)
    yield parameters.brake(account, parameters.BRAKE_OF_LAG)
    yield from _samples(account)
    yield from _leases(account)
    judges = (judge.model_id for judge in load_judge_models(account.deployment.files.judges).judges.values())
    yield from models.bedrock(account, judges, (models.WHOLE,))
    yield stores.rows(account, "Results", EVAL_RESULTS, "BatchGetItem", "PutItem")
    yield stores.rows(account, "Spending", EVAL_SPEND, "UpdateItem")
    yield stores.rows(account, "Heartbeat", EVAL_DETECTOR, "PutItem", conditions=stores.owned_by(WORKERS))
    yield stores.rows(account, "JudgesLedger", REQUEST_LEDGER, "BatchWriteItem")
    yield keys.tables(account, EVAL_RESULTS, EVAL_SPEND, EVAL_DETECTOR, REQUEST_LEDGER)
    yield stores.objects(account, "History", EVAL_HISTORY, (HISTORY_PREFIX, PARKED_PREFIX), "PutObject")
    yield stores.listing(account, "CalibrationsNames", EVAL_HISTORY, CALIBRATIONS_PREFIX)
    yield stores.objects(account, "Calibrations", EVAL_HISTORY, (CALIBRATIONS_PREFIX,), "GetObject")
    yield keys.objects(account, EVAL_HISTORY, (*keys.SEAL, *keys.OPEN))
    yield keys.of_tenants(account, (*keys.SEAL, *keys.OPEN))
    yield keys.of_tenants_objects(account, EVAL_HISTORY, keys.SEAL)
    yield keys.names_of_tenants_keys(account)


def drift(account: Account) -> Iterator[Statement]:
    """The look for falling scores: figures of results, never what they are about."""
    yield parameters.all_tenants(account)
    yield stores.rows(
        account, "Scores", EVAL_RESULTS, "Query", conditions=stores.attributes(SCORE_ATTRIBUTES)
    )
    yield stores.rows_by(account, "LatelyJudged", EVAL_RESULTS, "by-judged")
    yield stores.rows(account, "Minutes", EVAL_MINUTES, "Query", "BatchWriteItem")
    yield stores.rows(account, "Detector", EVAL_DETECTOR, "GetItem", "PutItem", "Query", "UpdateItem")
    yield stores.rows(account, "Traffic", REQUEST_LEDGER, "Query")
    yield keys.tables(account, EVAL_RESULTS, EVAL_MINUTES, EVAL_DETECTOR, REQUEST_LEDGER)
    yield from functions.function(account, EVALWORKER_LOGS)
    yield from functions.inside(account, "drift")


def compact(account: Account) -> Iterator[Statement]:
    """Compaction of the history: reads files, writes larger ones, deletes those that they replace."""
    yield stores.listing(account, "HistoryNames", EVAL_HISTORY, HISTORY_PREFIX)
    yield stores.objects(
        account, "History", EVAL_HISTORY, (HISTORY_PREFIX,), "GetObject", "PutObject", "DeleteObject"
    )
    yield keys.objects(account, EVAL_HISTORY, (*keys.SEAL, *keys.OPEN))
    yield keys.of_tenants_objects(account, EVAL_HISTORY, (*keys.SEAL, *keys.OPEN))


def _samples(account: Account) -> Iterator[Statement]:
    stream = account.stream(EVAL_STREAM)
    yield Statement("Samples", ("kinesis:DescribeStreamSummary", "kinesis:ListShards"), (stream,))
    yield Statement(
        "SamplesPushed",
        ("kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"),
        (f"{stream}/consumer/{EVAL_CONSUMER}:{ANY}",),
        because="a consumer's ARN ends in the moment when it was registered",
    )
    yield keys.stream(account, EVAL_STREAM, keys.OPEN)


def _leases(account: Account) -> Iterator[Statement]:
    """Which worker reads which shard, in a table that the deployment makes."""
    operations = ("DescribeTable", "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Scan")
    yield Statement(
        "Leases",
        tuple(f"dynamodb:{operation}" for operation in operations),
        (account.table_named(EVAL_CONSUMER),),
    )
    # Where other versions of the consumer's library keep more: ours must see that there is none.
    coordinator = account.table_named(f"{EVAL_CONSUMER}-CoordinatorState")
    yield Statement("NoCoordinator", ("dynamodb:DescribeTable",), (coordinator,))
