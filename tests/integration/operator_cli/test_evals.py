"""The commands of `evals` over real stores: what is stored is shown, replayed, exported, calibrated."""

import asyncio
import base64
import csv
import io
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from corpus.eval_results import CANARY, JUDGE, make_event, make_result
from corpus.invocations import record as invocation
from evalworker.judging.rubric import DEFAULT_RUBRIC
from evalworker.stores.calibrations import Calibrations
from evalworker.stores.objects import Objects
from harness.evaluation import JUDGES, PRICES, Account, running_account, sample, verdict
from llmplatform import ids
from llmplatform.aws.envelope import ContentKeys
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_RESULTS, EVAL_STREAM, REQUEST_LEDGER
from llmplatform.eval_heartbeat import Heartbeat, encode_heartbeat
from llmplatform.eval_series import Series
from llmplatform.eval_status import STATUS_ENTRY, STATUSES, FallStatus, SeriesStatus, encode_statuses
from llmplatform.evaluations import EvalResult, Judge, encode_content, encode_result
from llmplatform.invocation import InvocationRecord
from llmplatform.ledger import encode_item
from llmplatform.samples import Envelope
from llmplatform.testing import make_policy
from operator_cli.__main__ import main
from sandbox.emulator import CREDENTIALS, REGION, sandbox_session

NOW = datetime.now(UTC).replace(microsecond=0)
OTHER_JUDGE = Judge("b" * 16, "vendor.judge-v2:0", "answer-quality", "2")


@dataclass
class Told:
    """What a command said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Desk:
    """An operator's shell, before an account."""

    account: Account
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    async def run(self, *arguments: str) -> Told:
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["llm-platform", *arguments])
        status = await asyncio.to_thread(self._main)
        told = self.capsys.readouterr()
        return Told(status, told.out, told.err)

    async def fine(self, *arguments: str) -> Told:
        told = await self.run(*arguments)
        assert told.status == 0, told.err
        return told

    async def store(self, *results: EvalResult) -> None:
        for result in results:
            item = encode_result(result)
            if isinstance(result.content, Envelope):
                item["enc"] = {"B": base64.b64decode(result.content.ciphertext)}
            await self.put(EVAL_RESULTS.name, item)

    async def put(self, table: str, item: dict[str, Any]) -> None:
        await asyncio.to_thread(self.account.boto3("dynamodb").put_item, TableName=table, Item=item)

    async def put_on_stream(self, *data: bytes) -> None:
        records = [{"Data": one, "PartitionKey": str(number)} for number, one in enumerate(data)]
        await asyncio.to_thread(
            self.account.boto3("kinesis").put_records, StreamName=EVAL_STREAM.name, Records=records
        )

    def _main(self) -> int:
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0


@pytest_asyncio.fixture
async def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Desk]:
    async with running_account(tmp_path, monkeypatch) as account:
        judges = tmp_path / "judges.toml"
        judges.write_text(JUDGES)
        monkeypatch.setenv("EVAL_JUDGES", str(judges))
        monkeypatch.setenv("EVAL_BERTSCORE", "false")
        monkeypatch.setenv("LLM_PLATFORM_PRICES", str(PRICES))
        yield Desk(account, tmp_path, monkeypatch, capsys)


def scored(number: int, *, ago: timedelta, score: int = 4, **fields: Any) -> EvalResult:
    event = make_event(number, completed_at=NOW - ago)
    scores = {"relevance": score, "coherence": 5}
    return make_result(event, **{"scores": scores, "judge": JUDGE, **fields})


def sampled_request() -> InvocationRecord:
    request_id = ids.request_id(int(NOW.timestamp() * 1_000), bytes(10))
    return invocation(request_id=request_id, received_at=NOW, completed_at=NOW, sampled=True)


def result_of(made: InvocationRecord) -> EvalResult:
    trace_id = ids.as_uuid(made.trace.trace_id)
    return make_result(make_event(request_id=made.request_id, trace_id=trace_id, completed_at=NOW))


async def test_scores_are_told_judge_by_judge_with_the_worst_answers(desk: Desk) -> None:
    await desk.store(
        scored(1, ago=timedelta(hours=3), score=5),
        scored(2, ago=timedelta(hours=1), score=1, sample_rate=0.5),
        scored(3, ago=timedelta(hours=1), score=4, sample_rate=1.0),
        scored(4, ago=timedelta(hours=5), score=2, judge=OTHER_JUDGE),
        scored(5, ago=timedelta(days=3), score=1),
    )
    series = Series("acme", "vendor/small:0", "relevance", JUDGE.identity)
    status = SeriesStatus(
        key=series.key,
        status="fallen",
        current=True,
        began=NOW - timedelta(days=9),
        latest=NOW,
        fall=FallStatus(NOW - timedelta(hours=1), NOW, 4.5, 3.0),
        drop_percent=33.3,
        dropped=True,
    )
    owner, entry = EVAL_DETECTOR.partition_key.name, EVAL_DETECTOR.sort_key.name
    await desk.put(
        EVAL_DETECTOR.name,
        {owner: {"S": "acme"}, entry: {"S": STATUS_ENTRY}, STATUSES: encode_statuses([status])},
    )
    beat = Heartbeat("w1", NOW, NOW, 10, 7, 1, {"budget": 2}, {}, 0, 3.0, {}, {})
    await desk.put(EVAL_DETECTOR.name, encode_heartbeat(beat))

    told = await desk.fine("evals", "acme", "--worst", "2")
    assert "answers scored: 4, standing for" in told.out
    assert "judged by more than one judge: their scores cannot be compared" in told.out
    assert "judge a3f1c2d4e5b60718  vendor.judge-v1:0, rubric answer-quality 1" in told.out
    assert "fallen since" in told.out
    assert "4.50 → 3.00; 33.3 % under the baseline" in told.out
    assert "w1: 10 read, 7 scored, 1 scored before, 2 skipped, 0 parked; lag 3 s" in told.out
    worst = told.out[told.out.index("worst answers by judge a3f1c2d4e5b60718") :]
    assert worst.index("relevance 1") < worst.index("relevance 4")
    assert f"It speaks of {CANARY}." in worst

    facts = (await desk.fine("evals", "--json", "acme", "--since", "24h", "--dimension", "relevance")).json
    lines = {one["epoch"]: one for one in facts["series"]}
    ours = lines[JUDGE.identity]
    # 5 stands for 20 requests, 1 for 2, 4 for 1.
    assert ours["mean"] == pytest.approx((5 * 20 + 1 * 2 + 4) / 23)
    assert ours["n"] == 3
    assert ours["drift"]["status"] == "fallen"
    hour = [one for one in ours["buckets"] if one["n"] == 2]
    assert [one["mean"] for one in hour] == [pytest.approx(2.0)]
    assert lines[OTHER_JUDGE.identity]["mean"] == 2
    assert lines[OTHER_JUDGE.identity]["drift"] is None
    assert [one["score"] for one in facts["worst"]] == [1, 4, 5]
    week = (await desk.fine("evals", "acme", "--since", "7d", "--json")).json
    assert {one["bucket"] for one in week["series"]} == {"day"}
    assert week["answers"] == 5


async def test_a_tenant_that_is_none_is_told_in_one_line(desk: Desk) -> None:
    told = await desk.run("evals", "acmee")
    assert told.status == 1
    (line,) = told.err.splitlines()
    assert line.startswith("error: there is no tenant acmee")
    assert (await desk.fine("evals", "acme")).out.splitlines()[1].startswith("answers scored: 0")


async def test_an_evaluation_is_found_by_trace_and_by_request(desk: Desk) -> None:
    one = scored(1, ago=timedelta(hours=1))
    await desk.store(one, scored(1, ago=timedelta(hours=1), score=2, judge=OTHER_JUDGE))
    told = await desk.fine("evals", "show", one.trace_id)
    assert "2 judges judged it, each on a scale of its own: their scores cannot be compared" in told.out
    for text in (JUDGE.identity, OTHER_JUDGE.model_id, "$0.0012345", "at rate 0.05 (rate)", "0.8125"):
        assert text in told.out
    assert f"It speaks of {CANARY}." in told.out
    assert f"what is {CANARY}?" not in told.out
    assert f"what is {CANARY}?" in (await desk.fine("evals", "show", one.trace_id, "--content")).out
    (ours, other) = (await desk.fine("evals", "show", one.trace_id.replace("-", ""), "--json")).json
    assert {ours["judge"]["identity"], other["judge"]["identity"]} == {JUDGE.identity, OTHER_JUDGE.identity}
    assert ours["judge_cost_usd"] == "0.0012345"
    assert "content" not in ours

    made = sampled_request()
    await desk.put(REQUEST_LEDGER.name, dict(encode_item(made)))
    waiting = await desk.run("evals", "show", made.request_id)
    assert waiting.status == 1
    assert "was chosen" in waiting.err
    await desk.store(result_of(made))
    shown = await desk.fine("evals", "show", f"chatcmpl-{made.request_id}", "--json")
    assert [one["request_id"] for one in shown.json] == [made.request_id]
    assert "no evaluation of" in (await desk.run("evals", "show", f"{'0' * 31}1")).err


async def test_what_is_under_a_key_is_read_with_the_key_alone(desk: Desk) -> None:
    arn = await desk.account.key()
    await desk.account.add(make_policy("sealed", content_mode="full", kms_key=arn))
    plain = make_result(make_event(1, tenant_id="sealed", completed_at=NOW - timedelta(hours=1)))
    keys = ContentKeys(region=REGION, endpoint_url=desk.account.aws.url, credentials=CREDENTIALS)
    assert plain.content is not None
    assert not isinstance(plain.content, Envelope)
    text = await keys.seal(
        encode_content(plain.content, 100_000),
        kms_key=arn,
        tenant_id="sealed",
        request_id=plain.request_id,
    )
    keys.close()
    await desk.store(
        make_result(
            make_event(1, tenant_id="sealed", completed_at=NOW - timedelta(hours=1)),
            content=Envelope(arn, base64.b64encode(text).decode()),
        )
    )
    assert f"It speaks of {CANARY}." in (await desk.fine("evals", "sealed", "--dimension", "relevance")).out
    await asyncio.to_thread(desk.account.boto3("kms").disable_key, KeyId=arn)
    for command in (("evals", "sealed"), ("evals", "show", plain.trace_id, "--content")):
        told = await desk.fine(*command)
        assert CANARY not in told.out + told.err
        assert "under the tenant's key, which cannot be used: DisabledException" in told.out
    await desk.account.add(make_policy("sealed", content_mode="hash_only"))
    assert "the tenant lets none be kept" in (await desk.fine("evals", "show", plain.trace_id)).out


async def test_results_become_a_file_whole_or_not_at_all(desk: Desk) -> None:
    results = [scored(number, ago=timedelta(minutes=number)) for number in range(1, 4)]
    await desk.store(*results)
    output = desk.folder / "out"
    export = ("evals", "export", "--tenant", "acme", "--from", "7d", "--output", str(output))
    assert "3 results of acme" in (await desk.fine(*export)).out
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert [row["request_id"] for row in rows] == [one.request_id for one in reversed(results)]
    assert {row["judge_cost_usd"] for row in rows} == {"0.0012345"}
    assert {row["judge_identity"] for row in rows} == {JUDGE.identity}
    assert rows[0]["score_factual_fidelity"] == ""
    assert CANARY not in output.read_text()
    assert output.stat().st_mode & 0o077 == 0

    before = output.read_bytes()
    refused = await desk.run(*export, "--format", "jsonl")
    assert refused.status == 1
    assert "--force overwrites it" in refused.err
    assert output.read_bytes() == before
    await desk.fine(*export, "--format", "jsonl", "--force", "--content")
    first = json.loads(output.read_text().splitlines()[0])
    assert Decimal(first["judge_cost_usd"]) == Decimal("0.0012345")
    assert first["reason_relevance"] == f"It speaks of {CANARY}."
    assert first["contexts"] == ["Canaries are birds.", "“Quoted”"]
    until = (NOW - timedelta(minutes=2, seconds=30)).isoformat()
    await desk.fine(*export, "--format", "parquet", "--force", "--to", until)
    table = pq.read_table(output)
    assert table["request_id"].to_pylist() == [results[2].request_id]
    assert table["event_at"].to_pylist() == [results[2].event_at]
    assert "prompt" not in table.column_names

    await desk.account.add(make_policy("acme", content_mode="hash_only"))
    hidden = await desk.run(*export[:-1], str(desk.folder / "none"), "--content")
    assert hidden.status == 1
    assert "the tenant lets none be kept" in hidden.err
    assert {path.name for path in desk.folder.iterdir() if path.name.startswith((".out", "none"))} == set()


async def test_a_replay_scores_once_and_every_record_comes_to_an_end(desk: Desk) -> None:
    await desk.account.add(make_policy("silent", content_mode="hash_only"))
    completed_at = NOW - timedelta(hours=2)
    events = [
        sample(1, completed_at=completed_at),
        sample(2, completed_at=completed_at + timedelta(minutes=1)),
        sample(3, tenant_id="silent", prompt=None, completion=None, content_withheld="hash_only"),
        sample(4, completed_at=completed_at - timedelta(days=1)),
    ]
    await desk.put_on_stream(*map(msgspec.json.encode, events), b"poison")
    replay = ("evals", "replay", "--from", "12h")

    preview = await desk.fine(*replay, "--dry-run")
    assert preview.out.splitlines()[0] == "4 read = 2 to be judged + 0 scored before + 1 skipped + 1 parked"
    assert not await desk.account.results()

    told = await desk.fine(*replay)
    assert told.out.splitlines() == [
        "4 read = 2 scored + 0 scored before + 1 skipped + 1 parked + 0 unfinished",
        "  skipped hash_only: 1",
        "  parked undecodable: 1",
    ]
    results = await desk.account.results()
    assert {result.event_at for result in results} == {event.completed_at for event in events[:2]}
    again = await desk.fine(*replay, "--tenant", "acme")
    assert again.out.startswith("2 read = 0 scored + 2 scored before + 0 skipped + 0 parked + 0 unfinished")
    assert len(await desk.account.judge_rows()) == 2

    # A new rubric is another judge: beside the old results, from what was judged before.
    rubric = desk.folder / "rubric.toml"
    wording = DEFAULT_RUBRIC.read_text()
    assert '\nversion = "1"' in wording
    rubric.write_text(wording.replace('\nversion = "1"', '\nversion = "2-draft"'))
    desk.monkeypatch.setenv("EVAL_RUBRIC", str(rubric))
    history = await desk.fine(*replay, "--source", "history")
    assert history.out.startswith("2 read = 2 scored + 0 scored before")
    both = await desk.account.results()
    assert len(both) == 4
    assert {result.judge.rubric_version for result in both} == {"1", "2-draft"}
    shown = await desk.fine("evals", "show", events[0].trace_id)
    assert "2 judges judged it" in shown.out

    parked = (await desk.fine("evals", "parked", "--json")).json
    assert [one["reason"] for one in parked] == ["undecodable"]
    assert "undecodable" in (await desk.fine("evals", "parked")).out


async def test_a_replay_that_gets_no_answer_says_what_to_do(desk: Desk) -> None:
    desk.monkeypatch.setattr("evalworker.replay.FIRST_PAUSE_S", 0.0)
    desk.monkeypatch.setattr("evalworker.replay.TRIES", 2)
    await desk.put_on_stream(msgspec.json.encode(sample(1)))
    await desk.account.ways["dynamodb"].cut()
    told = await desk.run("evals", "replay", "--from", "1h")
    assert told.status == 1
    assert "1 read = 0 scored + 0 scored before + 0 skipped + 0 parked + 1 unfinished" in told.out
    assert "unfinished: 1, and what comes after was not read" in told.err


async def test_the_history_is_compacted_on_demand(desk: Desk) -> None:
    desk.monkeypatch.setattr("operator_cli.evals_upkeep.MIN_AGE", timedelta(seconds=-60))
    for number in range(3):
        await desk.put_on_stream(msgspec.json.encode(sample(number, completed_at=NOW - timedelta(minutes=5))))
        await desk.fine("evals", "replay", "--from", "12h")
    before = await desk.account.history()
    told = await desk.fine("evals", "compact")
    assert "files of" in told.out
    assert len(await desk.account.objects("history/")) == 1
    after = await desk.account.history()
    assert {one.request_id for one in after} == {one.request_id for one in before}
    assert len(after) == 3


async def test_a_judge_is_held_against_people_and_the_doctor_knows(desk: Desk) -> None:
    labels = desk.folder / "labels.csv"
    rows = ["item_id,prompt,completion,relevance"]
    rows += [f"i{n},why {n}?,because {n},{4 + n % 2}" for n in range(20)]
    labels.write_text("\n".join(rows))
    await desk.account.add(make_policy("acme", content_mode="full"))
    desk.account.judge(verdict(4))
    told = await desk.run("evals", "calibrate", str(labels), "--json")
    assert told.status == 1  # twenty items are too few
    report = told.json["report"]
    assert report["items"] == 20
    assert {row.tenant_id for row in await desk.account.judge_rows()} == {"_platform"}
    async with sandbox_session().client("s3", endpoint_url=desk.account.aws.url) as s3:
        calibrations = Calibrations(Objects(s3, desk.account.bucket))
        record = await calibrations.newest(report["judge_identity"])
        assert await calibrations.newest("0" * 16) is None
    assert record is not None
    assert record["passed"] is False
    doctor = await desk.run("doctor")
    assert "was calibrated 0 days ago and did not pass" in doctor.out
    assert "none has told of itself within two days" in doctor.out
    assert "llm-eval-stream can be read" in doctor.out

    # What was stored is compared without asking the model.
    made = sampled_request()
    await desk.put(REQUEST_LEDGER.name, dict(encode_item(made)))
    await desk.store(result_of(made))
    stored = desk.folder / "stored.csv"
    stored.write_text(f"request_id,relevance\n{made.request_id},5\n{'0' * 8}-0000-7000-8000-{'0' * 12},4\n")
    calls = len(await desk.account.judge_rows())
    compared = await desk.run("evals", "calibrate", str(stored), "--judge-identity", JUDGE.identity)
    assert "1 of 2 judgements gave a score" in compared.out
    assert "1 not_stored" in compared.out
    assert len(await desk.account.judge_rows()) == calls
