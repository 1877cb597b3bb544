"""One platform, whatever is under it: the sandbox alone, or moto with the sandbox for what moto lacks.

Only variables differ. What each has is in `docs/substrates.md`; the containers are `make compose-test`'s.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
import pytest

from harness.command import Platform, platform
from harness.journey import SCORED_WITHIN_S, travel
from harness.moto import moto_server
from llmplatform.aws.tables import EVAL_RESULTS
from operator_cli.drill.hands import JUDGE_MODEL, judge_script
from sandbox.emulator import CREDENTIALS, REGION


@dataclass(frozen=True, slots=True)
class Substrate:
    """A running platform, and who judges there."""

    up: Platform
    judge: str


@pytest.fixture(scope="module", params=["sandbox", "moto"], name="on")
def running_platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Substrate]:
    folder = tmp_path_factory.mktemp(request.param)
    settings, judge = {"SANDBOX_COST_EVERY_S": "15"}, "sandbox.smollm2-135m-judge-v1:0"
    with ExitStack() as stack:
        if request.param == "moto":
            url = stack.enter_context(moto_server(folder / "moto.log"))
            # Once is enough for the real judge, which takes the processor from all others.
            settings |= {"SANDBOX_EMULATOR_URL": url, "EVAL_JUDGE": "scripted"}
            judge = JUDGE_MODEL
        up = stack.enter_context(platform(folder / "state", end=signal.SIGINT, **settings))
        environment = up.env()["environment"]
        if request.param == "moto":
            assert environment["AWS_ENDPOINT_URL"] == settings["SANDBOX_EMULATOR_URL"]
            door = f"{environment['AWS_ENDPOINT_URL_BEDROCK_RUNTIME']}/_sandbox/scripts/{JUDGE_MODEL}"
            httpx.put(door, json=judge_script()).raise_for_status()
        yield Substrate(up, judge)


async def test_a_chat_comes_from_its_first_token_to_the_bill(on: Substrate) -> None:
    steps: list[str] = []
    await travel(on.up.env()["environment"], lambda step, _: steps.append(step))
    assert f"it is scored, by {on.judge}" in steps
    assert steps[-1].startswith("the console shows")


def test_what_was_said_is_sealed_under_the_tenants_key_and_not_kept_where_it_may_not_be(
    on: Substrate,
) -> None:
    on.up.run("chat", "Why is the sky blue?", "--tenant", "globex-health", "-m", "smollm2-135m")
    said = on.up.run("chat", "Why is the sky blue?", "--tenant", "initech-bank", "-m", "scripted-bedrock")
    trace_id = said.stderr.rpartition("trace ")[2].strip()
    sealed = on.up.eventually(lambda: results(on.up).get("initech-bank"), within_s=SCORED_WITHIN_S)
    assert sealed["judge_model_id"]["S"] == on.judge
    assert "judge_cost_usd" in sealed
    assert ":key/" in sealed["kms_key"]["S"]
    assert "the quick brown fox" not in str(sealed)
    assert "the quick brown fox" in on.up.run("evals", "show", trace_id, "--content").stdout
    assert "relevance" in on.up.run("evals", "initech-bank").stdout
    assert "globex-health" not in results(on.up)


def test_an_alarm_reaches_who_is_on_call(on: Substrate) -> None:
    on.up.eventually(lambda: "alarms job is ready" in on.up.told() or None, within_s=120)
    assert "State: OK -> ALARM" in on.up.run("watch", "test", "--yes").stdout


def results(up: Platform) -> dict[str, dict[str, Any]]:
    """A stored result of each tenant that has one."""
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=up.env()["environment"]["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
    )
    with closing(dynamodb):
        return {item["tenant_id"]["S"]: item for item in dynamodb.scan(TableName=EVAL_RESULTS.name)["Items"]}
