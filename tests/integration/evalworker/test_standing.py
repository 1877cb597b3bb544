"""Whether people agree with the judge, from the record of a calibration to the worker's metrics."""

import pytest

from evalworker.stores.calibrations import Calibrations
from evalworker.stores.objects import Objects
from harness.evaluation import Account
from llmplatform.aws.sessions import aws_session
from llmplatform.clock import SystemClock


async def test_a_worker_tells_how_its_judge_stands_with_people(account: Account) -> None:
    async with account.worker() as worker:
        await worker.reporter.look()
        await worker.delivered(within_s=60)
        identity = worker.judge.judge.identity
    assert await account.lines.told("judge_uncalibrated") == [1]
    assert account.lines.figures("calibration_age_days") == []

    record = {
        "judge_identity": identity,
        "calibrated_at": SystemClock().now().isoformat(),
        "passed": True,
    }
    async with aws_session("us-east-1").client("s3") as s3:
        await Calibrations(Objects(s3, account.bucket)).put(record)
    async with account.worker() as worker:
        await worker.reporter.look()
        await worker.delivered(within_s=60)
    assert await account.lines.told("judge_uncalibrated", 2) == [1, 0]
    assert await account.lines.told("calibration_age_days") == [pytest.approx(0, abs=0.01)]
