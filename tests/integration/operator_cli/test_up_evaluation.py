"""`up` evaluates too: what is said through the gateway is scored soon, and a worker that dies comes back."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config

from harness.command import Platform, platform
from llmplatform.aws.tables import EVAL_RESULTS
from llmplatform.evaluations import JUDGE_DIMENSIONS, MAX_SCORE, MIN_SCORE
from sandbox.emulator import CREDENTIALS, REGION

pytestmark = pytest.mark.timeout(300)

SCORED_WITHIN_S = 120  # a minute on a machine that does nothing else
LEASED_WITHIN_S = 90


@pytest.fixture(scope="module", name="up")
def running_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform") / "state") as running:
        yield running


@pytest.fixture(name="results")
def reader_of_results(up: Platform) -> Iterator[Callable[[], dict[str, Any]]]:
    """Reads what is stored, by tenant."""
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=up.env()["environment"]["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=CREDENTIALS.access_key,
        aws_secret_access_key=CREDENTIALS.secret_key,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )
    scan = partial(dynamodb.scan, TableName=EVAL_RESULTS.name)
    yield lambda: {item["tenant_id"]["S"]: item for item in scan()["Items"]}
    dynamodb.close()


def logged(up: Platform, line: str, times: int) -> bool | None:
    return (up.state / "evalworker.log").read_text().count(line) >= times or None


def test_a_chat_is_scored_by_the_laptops_judge_and_sealed_where_the_tenant_has_a_key(
    up: Platform, results: Callable[[], dict[str, Any]]
) -> None:
    tenants = ("acme", "initech-bank")
    for tenant in (*tenants, "globex-health"):
        model = "smollm2-135m" if tenant == "globex-health" else "scripted-bedrock"
        up.run("chat", "Why is the sky blue?", "--tenant", tenant, "-m", model)
    stored = up.eventually(
        lambda: found if set(tenants) <= set(found := results()) else None, within_s=SCORED_WITHIN_S
    )
    for tenant in tenants:
        item = stored[tenant]
        assert item["judge_model_id"]["S"] == "sandbox.smollm2-135m-judge-v1:0"
        scores = {name: int(value["N"]) for name, value in item["scores"]["M"].items()}
        assert set(scores) == set(JUDGE_DIMENSIONS)
        assert all(MIN_SCORE <= score <= MAX_SCORE for score in scores.values())
        assert "judge_cost_usd" in item
    assert "the quick brown fox" in stored["acme"]["content"]["S"]
    assert "the quick brown fox" not in str(stored["initech-bank"])
    assert ":key/" in stored["initech-bank"]["kms_key"]["S"]
    assert "globex-health" not in stored
    shown = up.run("evals", "initech-bank").stdout
    assert "relevance" in shown


def test_a_worker_that_dies_comes_back_and_the_gateway_never_notices(up: Platform) -> None:
    up.eventually(lambda: "evaluation is ready" in up.told() or None, within_s=LEASED_WITHIN_S)
    os.kill(up.children()["evalworker run"], signal.SIGKILL)
    up.eventually(lambda: "evaluation ended with status -9" in up.told() or None, within_s=10)
    up.run("chat", "Hi", "-m", "scripted-lmi", "--tenant", "initech-bank")
    up.eventually(lambda: logged(up, '"evaluation is assembled"', 2), within_s=LEASED_WITHIN_S)
    assert up.process.poll() is None
