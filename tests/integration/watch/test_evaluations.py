"""What the pages of evaluations read, on a real DynamoDB and S3, written by the product's own encoders."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from corpus.eval_results import make_event, make_result
from harness.console_process import ConsoleProcess, console_process
from harness.scored import heartbeat, minute, series_of, status_of
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.eval_reader import EvalReader
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_HISTORY, EVAL_MINUTES, EVAL_RESULTS
from llmplatform.clock import SystemClock
from llmplatform.eval_heartbeat import encode_heartbeat
from llmplatform.eval_parked import ParkedRecord, encode_parked, parked_key
from llmplatform.eval_series import encode_minute
from llmplatform.eval_status import LOOKED, STATUS_ENTRY, STATUSES, Look, encode_look, encode_statuses
from llmplatform.evaluations import encode_result
from sandbox.emulator import ACCOUNT_ID, CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.provision import provision
from watch.evaluations.folding import whole_of
from watch.evaluations.reaches import Reach
from watch.reading import standing
from watch.reading.minutes import MinuteReader
from watch.reading.scores import ScoreReader
from watch.reading.standing import StandingReader

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
SERIES = series_of()
MINUTES = [minute(NOW - timedelta(minutes=5 + 37 * at), 1 + at % 5, 4) for at in range(120)]  # of three days
RESULTS = [
    make_result(
        make_event(number, completed_at=NOW - timedelta(minutes=number), model_id="small"),
        scores={"relevance": 1 + number % 5},
    )
    for number in range(1, 9)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    async with Emulator(tmp_path_factory.mktemp("state")) as running:
        await provision(sandbox_session(), endpoint_url=running.url)
        async with sandbox_session().client("dynamodb", endpoint_url=running.url) as dynamodb:
            for at in range(0, len(MINUTES), 25):
                rows: Any = [
                    {"PutRequest": {"Item": encode_minute(SERIES, one)}} for one in MINUTES[at : at + 25]
                ]
                await dynamodb.batch_write_item(RequestItems={EVAL_MINUTES.name: rows})
            for result in RESULTS:
                await dynamodb.put_item(TableName=EVAL_RESULTS.name, Item=encode_result(result))
            row: Any = {
                EVAL_DETECTOR.partition_key.name: {"S": "acme"},
                EVAL_DETECTOR.sort_key.name: {"S": STATUS_ENTRY},
                STATUSES: encode_statuses([status_of(SERIES, NOW)]),
                LOOKED: encode_look(Look(NOW, "judge", NOW)),
            }
            await dynamodb.put_item(TableName=EVAL_DETECTOR.name, Item=row)
            await dynamodb.put_item(TableName=EVAL_DETECTOR.name, Item=encode_heartbeat(heartbeat(NOW)))
        note = ParkedRecord(1, "undecodable", "shardId-000000000000", "49", NOW, 12, "ab" * 32)
        async with sandbox_session().client("s3", endpoint_url=running.url) as s3:
            await s3.put_object(
                Bucket=EVAL_HISTORY.name(ACCOUNT_ID, REGION), Key=parked_key(note), Body=encode_parked(note)
            )
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, aws: Emulator) -> AsyncIterator[ConsoleProcess]:
    async with console_process(tmp_path_factory.mktemp("watch"), aws) as process:
        yield process


async def test_minutes_of_days_are_read_whole_and_not_beyond(aws: Emulator) -> None:
    http = SignedHttp(
        service="dynamodb",
        url=aws.url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=16,
        timeout_s=30.0,
    )
    async with http:
        reader = MinuteReader(DynamoDb(http))
        first, end = MINUTES[-1].minute, MINUTES[0].minute
        found = await reader.of([Reach(SERIES, first, end + timedelta(minutes=1))])
        assert list(found[SERIES]) == MINUTES[::-1]
        assert list((await reader.of([Reach(SERIES, first, end)]))[SERIES]) == MINUTES[:0:-1]
        assert await reader.of([Reach(series_of("zeta"), first, end)]) == {series_of("zeta"): ()}


async def test_the_newest_scores_and_whole_answers_are_found(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "WITHIN_S", 60.0)
    async with sandbox_session().client("dynamodb", endpoint_url=aws.url) as dynamodb:
        reader = ScoreReader(EvalReader(dynamodb, SystemClock()))
        newest = await reader.newest("acme", NOW - timedelta(hours=1), NOW)
        assert [one.request_id for one in newest] == [one.request_id for one in RESULTS]
        whole = await reader.whole(newest[:2])
        assert [one and one.trace_id for one in whole] == [one.trace_id for one in RESULTS[:2]]
        stand = await StandingReader(dynamodb, SystemClock()).of(["acme", "zeta"])
        assert stand.looks == {"acme": Look(NOW, "judge", NOW), "zeta": None}


async def whole(browser: httpx.AsyncClient, path: str) -> httpx.Response:
    """A page or a file, asked for again while a part of it is slower than the console waits for it."""
    async with asyncio.timeout(60):
        while True:
            answer = await browser.get(path)
            if answer.is_success and "cannot be read" not in answer.text:
                return answer
            await asyncio.sleep(1)


async def test_the_console_shows_them(running: ConsoleProcess) -> None:
    async with running.browser(key=running.operator_key) as browser:
        answer = await whole(browser, "/evaluations?last=24h")
        for told in ("worker-1", "undecodable", "steady", "zeta", "no scores"):
            assert told in answer.text
        assert int(answer.headers["x-aws-calls"]) < 40
        file = await whole(browser, "/evaluations/acme?last=7d&format=csv&table=standing")
        header, row = (line.split(",") for line in file.text.split())
        known = dict(zip(header, row, strict=True))
        assert known["n"] == str(whole_of(MINUTES).n)
        page = await whole(browser, "/evaluations/acme?last=7d")
        assert RESULTS[0].trace_id in page.text
        assert "get lost at" in page.text
    async with running.browser(key=running.tenant_keys["zeta"]) as browser:
        assert (await browser.get("/evaluations/acme")).status_code == 404
