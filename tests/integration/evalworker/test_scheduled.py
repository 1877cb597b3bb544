"""The worker's jobs as an account's schedules start them: a function each minute, a task each hour."""

import json
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path
from typing import Any

import pytest

from harness.evaluation import Account
from harness.lambda_runtime import FunctionError, serve_function
from harness.platform import isolated
from llmplatform.testing import make_policy

HANDLER = "evalworker.drift.lambda_handler.handler"


async def test_the_function_looks_for_falling_scores_once_an_invocation(
    account: Account, tmp_path: Path
) -> None:
    await account.add(make_policy("acme"))
    async with serve_function(tmp_path, "drift", HANDLER, account.aws.environment()) as function:
        answers = [await function.invoke({"schedule": "drift"}) for _ in range(2)]
        looked = [line for line in function.logged() if line["message"] == "looked for falling scores"]
        told = [line for line in function.figures() if line.get("component") == "drift"]
    assert answers == [{"complete": True}] * 2
    assert [line["tenants"] for line in looked] == [1, 1]
    assert [line["availability"] for line in told] == [1, 1]


async def test_a_look_without_parameter_store_says_that_nothing_was_seen(
    account: Account, tmp_path: Path
) -> None:
    environment = {**account.aws.environment(), "AWS_ENDPOINT_URL_SSM": account.ways["ssm"].url}
    await account.ways["ssm"].cut()
    async with serve_function(tmp_path, "drift", HANDLER, environment) as function:
        assert await function.invoke({}) == {"complete": False}
        (told,) = [line for line in function.figures() if line.get("component") == "drift"]
    assert told["availability"] == 0


async def test_a_function_that_is_misconfigured_names_the_variable(account: Account, tmp_path: Path) -> None:
    environment = {**account.aws.environment(), "EVAL_JUGDE": "typo"}
    async with serve_function(tmp_path, "drift", HANDLER, environment) as function:
        with pytest.raises(FunctionError, match="unknown setting EVAL_JUGDE"):
            await function.invoke({})


async def compacted(environment: dict[str, str]) -> tuple[int | None, list[dict[str, Any]]]:
    """The status of a run of compaction, and what it published."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "evalworker", "compact"), stdout=PIPE, stderr=PIPE, env=isolated(environment)
    )
    out, _ = await process.communicate()
    return process.returncode, [json.loads(line) for line in out.splitlines()]


async def test_compaction_says_that_it_was_done(account: Account) -> None:
    status, published = await compacted(account.aws.environment())
    assert status == 0
    (line,) = published
    assert (line["component"], line["availability"]) == ("compaction", 1)


async def test_compaction_says_that_it_failed(account: Account) -> None:
    environment = {**account.aws.environment(), "AWS_ENDPOINT_URL_S3": account.ways["s3"].url}
    await account.ways["s3"].cut()
    status, published = await compacted(environment)
    assert status == 1
    (line,) = published
    assert (line["component"], line["availability"]) == ("compaction", 0)
