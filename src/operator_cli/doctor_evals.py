"""`llm-platform doctor`'s checks of evaluation: judge, rubric, stream, history, workers, calibration."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import aioboto3

from evalworker.calibration.record import calibration_age_days
from evalworker.judging.judge import JudgeConfig, judge_of
from evalworker.judging.rubric import Rubric, load_rubric
from evalworker.settings import EnvironmentSettings, EvalSettings, read_settings
from evalworker.stores.calibrations import Calibrations
from evalworker.stores.faults import StoreUnavailable
from llmplatform.aws.tables import EVAL_STREAM
from llmplatform.errors import ConfigFault
from llmplatform.eval_heartbeat import Heartbeat
from llmplatform.judges import JudgeModel, load_judge_models
from llmplatform.prices import load_prices
from operator_cli.check import LIFECYCLE_WARNING_DAYS, Check
from operator_cli.evals_account import open_account, open_history

HEARTBEAT_LATE: Final = timedelta(minutes=2)
"""Workers tell of themselves every 20 s."""
LAG_WARNING_S: Final = 120.0
CALIBRATION_WARNING_DAYS: Final = 90

Look = Callable[[aioboto3.Session], Awaitable[Check]]


class Evaluation:
    """The checks, by the settings that a worker would start with in this environment."""

    def __init__(self) -> None:
        """Reads files and environment, nothing over the network."""
        self.settings: EvalSettings | None = None
        self._judge: JudgeModel | None = None
        self._rubric: Rubric | None = None

    def offline(self, today: date, region: str) -> Iterator[Check]:
        """What can be told without the network; to be asked first."""
        try:
            self.settings, environment = read_settings()
        except ConfigFault as fault:
            yield Check("eval settings", "failed", str(fault), "unset or correct the variable")
            return
        yield Check("eval settings", "ok", "every EVAL_* variable is known and in range")
        try:
            self._judge = load_judge_models(self.settings.judges).named(self.settings.judge)
        except ConfigFault as fault:
            yield Check(
                "judge", "failed", str(fault), "correct EVAL_JUDGE, or the file that EVAL_JUDGES names"
            )
        else:
            yield judge_check(
                self._judge, today, priced=self._priced(self._judge, today, environment, region)
            )
        try:
            self._rubric = load_rubric(self.settings.rubric)
        except ConfigFault as fault:
            yield Check("rubric", "failed", str(fault), "correct the file that EVAL_RUBRIC names")
        else:
            rubric = self._rubric
            yield Check("rubric", "ok", f"{rubric.id} {rubric.version}, SHA-256 {rubric.sha256[:12]}")

    @staticmethod
    def _priced(judge: JudgeModel, today: date, environment: EnvironmentSettings, region: str) -> bool:
        try:
            prices = load_prices(environment.llm_platform_prices)
        except ConfigFault:
            return False
        return prices.price_of(judge.price_key, "output", at=today, region=region) is not None

    def online(self) -> tuple[tuple[str, Look], ...]:
        """What is asked of the account, by name."""
        return (
            ("eval stream", stream_readable),
            ("eval history", self._history),
            ("eval workers", workers),
        )

    async def _history(self, session: aioboto3.Session) -> Check:
        """Whether the bucket can be read, and what it tells of the judge's calibration."""
        if self.settings is None:
            return Check("calibration", "warning", "not looked for", "correct the EVAL_* variables first")
        async with open_history(session, self.settings) as objects:
            try:
                if self._judge is None or self._rubric is None:
                    _ = [one async for one in objects.list("calibrations/none/")]
                    return Check("eval history", "ok", "the bucket can be read")
                identity = judge_of(JudgeConfig(self._judge, self._rubric)).identity
                record = await Calibrations(objects).newest(identity)
            except StoreUnavailable as fault:
                return Check(
                    "eval history", "failed", str(fault), "deploy the bucket, or correct EVAL_HISTORY_BUCKET"
                )
        return calibration_check(identity, record, datetime.now(UTC))


def judge_check(judge: JudgeModel, today: date, *, priced: bool) -> Check:
    """Whether the judge's model is served, and can be paid within a budget."""
    end = judge.end_of_life
    days = None if end is None else (end - today).days
    move = "move EVAL_JUDGE to a successor, and calibrate it"
    if days is not None and days < 0:
        return Check("judge", "failed", f"{judge.model_id} is past its end of life ({end})", move)
    if days is not None and days <= LIFECYCLE_WARNING_DAYS:
        return Check(
            "judge", "warning", f"{judge.model_id} reaches its end of life in {days} days ({end})", move
        )
    if not priced:
        return Check(
            "judge",
            "warning",
            f"{judge.model_id} has no price: its budget cannot be held",
            f"add a price of {judge.price_key}, in a file that LLM_PLATFORM_PRICES names",
        )
    return Check("judge", "ok", judge.model_id)


def calibration_check(identity: str, record: Mapping[str, Any] | None, now: datetime) -> Check:
    """Whether people ever said how good the judge is, and how long ago."""
    again = "`llm-platform evals calibrate LABELS.csv` (docs/calibration.md)"
    if record is None:
        return Check("calibration", "warning", f"judge {identity} was never calibrated", again)
    days = calibration_age_days(record, now=now)
    told = f"judge {identity} was calibrated {days:.0f} days ago"
    if not record.get("passed"):
        return Check("calibration", "warning", f"{told} and did not pass", "mend the rubric, then " + again)
    if days > CALIBRATION_WARNING_DAYS:
        return Check("calibration", "warning", told, again)
    return Check("calibration", "ok", f"{told} and passed")


async def stream_readable(session: aioboto3.Session) -> Check:
    """Whether records can be read, with the rights that we have."""
    async with session.client("kinesis") as kinesis:
        try:
            shards = (await kinesis.list_shards(StreamName=EVAL_STREAM.name))["Shards"]
        except kinesis.exceptions.ResourceNotFoundException:
            return Check(
                "eval stream",
                "failed",
                f"stream {EVAL_STREAM.name} is missing",
                "deploy the platform, or `make up` on a laptop",
            )
        opened = await kinesis.get_shard_iterator(
            StreamName=EVAL_STREAM.name, ShardId=shards[0]["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        await kinesis.get_records(ShardIterator=opened["ShardIterator"], Limit=1)
    return Check("eval stream", "ok", f"{EVAL_STREAM.name} can be read; shards: {len(shards)}")


async def workers(session: aioboto3.Session) -> Check:
    """Whether a worker runs and keeps up."""
    async with open_account(session.region_name or "") as account:
        return workers_check(await account.workers(), datetime.now(UTC))


def workers_check(found: Sequence[Heartbeat], now: datetime) -> Check:
    """The same of what they told."""
    start = "start one: `python -m evalworker run`, or `make up` on a laptop"
    if not found:
        return Check("eval workers", "failed", "none has told of itself within two days", start)
    alive = [beat for beat in found if now - beat.at <= HEARTBEAT_LATE]
    if not alive:
        ago_s = (now - found[0].at).total_seconds()
        return Check("eval workers", "failed", f"none alive: the last was seen {ago_s:.0f} s ago", start)
    lags = [beat.lag_s for beat in alive if beat.lag_s is not None]
    lag_s = max(lags, default=None)
    told = f"{len(alive)} alive, lag {'unknown' if lag_s is None else f'{lag_s:.0f} s'}"
    if lag_s is not None and lag_s > LAG_WARNING_S:
        failures = sorted({reason for beat in alive for reason in beat.judge_failed})
        why = f"; the judge's failures: {', '.join(failures)}" if failures else ""
        return Check("eval workers", "warning", told + why, "see the worker's log, or run more workers")
    return Check("eval workers", "ok", told)
