"""The command as an operator uses it: the whole platform is started, used, looked into and stopped."""
# ruff: noqa: S603, S607 - what is started here is our own command, and the one that it prints

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.command import (
    COMMAND,
    STOPPED_WITHIN_S,
    Platform,
    environment,
    failed_up,
    left_of,
    platform,
    with_tokenizer_of,
)

LEASED_WITHIN_S = 120
PRICED_WITHIN_S = 150
ANSWERED_WITHIN_S = 60


@pytest.fixture(scope="module", name="up")
def running_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # The real judge is test_substrates': here it would take the processor from everything else.
    settings = {"EVAL_JUDGE": "scripted", "SANDBOX_COST_EVERY_S": "15"}
    state = tmp_path_factory.mktemp("platform") / "state"
    with platform(state, end=signal.SIGTERM, **settings) as running:
        yield running


def test_the_curl_that_up_prints_streams_a_real_models_answer(up: Platform) -> None:
    command = re.search(r"^curl .*?^  -d '.*?'$", up.told(), re.DOTALL | re.MULTILINE)
    assert command is not None
    answer = subprocess.run(
        ["bash", "-c", f"{command[0]} --silent --fail"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.rstrip().endswith("data: [DONE]")
    assert answer.stdout.count("data: ") > 5


def test_a_chat_leaves_a_trace_that_can_be_found_by_each_id(up: Platform) -> None:
    said = up.run("chat", "Say hello.", "--model", "smollm2-135m")
    assert said.stdout.strip()
    assert re.search(r"smollm2-135m · \d+ \+ \d+ tokens · first token .* · total ", said.stderr)
    trace_id = said.stderr.rpartition("trace ")[2].strip()

    def traced() -> Any:
        told = up.run("trace", trace_id, "--json", status=None)  # which waits three seconds for the row
        return json.loads(told.stdout) if told.returncode == 0 else None

    found = up.eventually(traced, within_s=60)
    (row,) = (row for row in found["rows"] if row["origin"] == "client")
    assert (row["tenant_id"], row["outcome"], row["model_id"]) == ("acme", "completed", "smollm2-135m")
    assert row["usage_source"] == "reported"
    assert row["usage"]["output_tokens"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["received_at"])

    digits = trace_id.replace("-", "")
    for same in (digits, f"1-{digits[:8]}-{digits[8:]}", row["request_id"], f"chatcmpl-{row['request_id']}"):
        life = up.run("trace", same).stdout
        assert row["request_id"] in life
        assert "completed (HTTP 200" in life
        assert "█" in life
        assert not re.search(r" +$", life, re.MULTILINE)


def test_a_chat_shows_up_priced_to_the_operator_and_to_its_tenant(up: Platform) -> None:
    up.run("chat", "Hi", "-m", "scripted-bedrock")
    facts = up.env()
    billing, key = facts["billing_url"], facts["tenants"]["acme"]
    today = datetime.now(UTC).date()
    days = {"from": today - timedelta(days=1), "to": today + timedelta(days=1)}  # it may just have ended
    asked = {name: day.isoformat() for name, day in days.items()} | {"granularity": "day"}

    def rows() -> list[dict[str, Any]]:
        headers = {"authorization": f"Bearer {key}"}
        with suppress(httpx.TransportError):  # the gateway is announced first
            answer = httpx.get(
                f"{billing}/v1/tenants/acme/costs",
                params=asked,
                headers=headers,
                timeout=ANSWERED_WITHIN_S,
            )
            return list(answer.json().get("rows", ()))
        return []

    def priced() -> dict[str, Any] | None:
        return next((row for row in rows() if row["price_key"] == "sandbox/scripted"), None)

    row = up.eventually(priced, within_s=PRICED_WITHIN_S)
    # 1 and 5 dollars for a million tokens in and out: see sandbox/prices.toml.
    assert Decimal(row["amount_usd"]) == Decimal(row["quantity"]) * Decimal(row["unit_price_usd"]) > 0
    assert row["completeness"] == "open"
    other = httpx.get(
        f"{billing}/v1/tenants/globex-health/costs",
        params=asked,
        headers={"authorization": f"Bearer {key}"},
        timeout=ANSWERED_WITHIN_S,
    )
    assert other.status_code == HTTPStatus.NOT_FOUND
    assert "scripted-bedrock" in up.run("cost", "acme", "--days", "2").stdout
    assert "_platform" in up.run("cost", "--days", "2").stdout


def test_a_worker_that_dies_comes_back_and_the_gateway_never_notices(up: Platform) -> None:
    up.eventually(lambda: "evaluation is ready" in up.told() or None, within_s=LEASED_WITHIN_S)
    os.kill(up.children()["evalworker run"], signal.SIGKILL)
    up.eventually(lambda: "evaluation ended with status -9" in up.told() or None, within_s=60)
    up.run("chat", "Hi", "-m", "scripted-lmi", "--tenant", "initech-bank")
    log = up.state / "evalworker.log"
    up.eventually(
        lambda: log.read_text().count('"evaluation is assembled"') > 1 or None, within_s=LEASED_WITHIN_S
    )
    assert up.process.poll() is None


def test_a_chat_can_be_whole_and_of_another_tenant(up: Platform) -> None:
    said = up.run("chat", "Hi", "--no-stream", "--tenant", "globex-health", "-m", "smollm2-135m-dedicated")
    assert said.stdout.strip()
    assert "first token" not in said.stderr


@pytest.mark.parametrize("model", ["scripted-bedrock", "scripted-openai", "scripted-lmi", "scripted-tgi"])
def test_every_wire_of_the_catalogue_answers(up: Platform, model: str) -> None:
    assert "the quick brown fox" in up.run("chat", "Hi", "--model", model).stdout


def test_a_model_that_the_policy_does_not_allow_is_refused_in_one_line(up: Platform) -> None:
    refused = up.run("chat", "Hi", "--tenant", "globex-health", "-m", "scripted-bedrock", status=1)
    assert "model_not_found" in refused.stderr


def test_an_id_that_nobody_knows_says_what_to_check(up: Platform) -> None:
    told = up.run("trace", "4bf92f3577b34da6a3ce929d0e0e4736", status=1)
    assert "nothing is known of 4bf92f3577b34da6a3ce929d0e0e4736" in told.stderr
    assert "x-trace-id" in told.stderr


def test_a_new_tenants_key_works_at_once_and_a_rotated_one_does_too(up: Platform) -> None:
    key = up.run("tenant", "add", "initech", "--content-mode", "hash_only").stdout.strip()
    base_url = up.env()["environment"]["OPENAI_BASE_URL"]
    up.run("chat", "Hi", "-m", "scripted-bedrock", OPENAI_BASE_URL=base_url, OPENAI_API_KEY=key)
    assert "exists already" in up.run("tenant", "add", "initech", status=1).stderr

    up.run("tenant", "rotate-key", "initech")
    shown = json.loads(up.run("tenant", "show", "initech", "--json").stdout)
    assert shown["policy"]["content_mode"] == "hash_only"
    old, new = shown["keys"]
    assert old["expires_at"]
    assert new["expires_at"] is None
    up.run("tenant", "revoke-key", "initech", old["id"])
    assert "has no key" in up.run("tenant", "revoke-key", "initech", old["id"], status=1).stderr
    names = [tenant["tenant_id"] for tenant in json.loads(up.run("tenant", "list", "--json").stdout)]
    assert names == ["acme", "globex-health", "initech", "initech-bank"]
    assert "globex-health" in up.run("tenant", "list").stdout


def test_a_policy_is_changed_by_what_is_given_and_a_removed_tenant_is_gone(up: Platform) -> None:
    refused = up.run("tenant", "add", "hooli", "--allow-model", "nosuch", status=2)
    assert "nosuch" in refused.stderr
    up.run("tenant", "add", "hooli", "--daily-budget-usd", "5", "--display-name", "Hooli")
    changed = up.run("tenant", "update", "hooli", "--no-daily-budget-usd", "--allow-model", "scripted-lmi")
    assert "daily_budget_usd       5 → -" in changed.stdout
    policy = json.loads(up.run("tenant", "show", "hooli", "--json").stdout)["policy"]
    assert (policy["daily_budget_usd"], policy["allowed_models"]) == (None, ["scripted-lmi"])
    assert policy["display_name"] == "Hooli"
    assert "nosuch" in up.run("tenant", "update", "hooli", "--allow-model", "nosuch", status=2).stderr

    assert up.run("tenant", "remove", "hooli", status=1).stdout.startswith("Remove tenant hooli")  # no answer
    removed = up.run("tenant", "remove", "hooli", "--yes")
    assert "TTL" in removed.stderr
    assert "no tenant hooli" in up.run("tenant", "remove", "hooli", "--yes", status=1).stderr
    names = [tenant["tenant_id"] for tenant in json.loads(up.run("tenant", "list", "--json").stdout)]
    assert "hooli" not in names


def test_tools_are_honestly_refused_where_the_model_cannot_call_them(up: Platform) -> None:
    facts = up.env()
    body = {
        "model": "smollm2-135m",
        "messages": [{"role": "user", "content": "What is the weather?"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    }
    response = httpx.post(
        f"{facts['gateway_url']}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {facts['tenants']['acme']}"},
        timeout=ANSWERED_WITHIN_S,
    )
    assert response.status_code == 400
    assert "tools" in response.json()["error"]["message"]


@pytest.fixture(name="long_answer")
def scripted_to_talk_for_half_a_minute(up: Platform) -> Iterator[str]:
    """A model on SageMaker, which is cancelled and not drained: the real one may end before the signal."""
    runtime = up.env()["environment"]["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"]
    script = f"{runtime}/_sandbox/scripts/scripted-openai"
    asked = {"token_count": 600, "interval_ms": 50}
    httpx.put(script, json=asked, timeout=ANSWERED_WITHIN_S).raise_for_status()
    yield "scripted-openai"
    httpx.delete(script, timeout=ANSWERED_WITHIN_S).raise_for_status()


def test_ctrl_c_ends_a_chat_with_its_trace_and_the_status_of_shells(up: Platform, long_answer: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "chat", "Tell a very long story about a dog.", "-m", long_answer],
        env=environment(up.state),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as chat:
        assert chat.stdout is not None
        assert chat.stderr is not None
        chat.stdout.read(1)
        chat.send_signal(signal.SIGINT)
        assert chat.wait(60) == 130
        told = chat.stderr.read().decode()
    trace_id = told.rpartition("stopped · trace ")[2].strip()
    up.eventually(
        lambda: "client_cancelled" in up.run("trace", trace_id, status=None).stdout or None, within_s=60
    )


def test_stale_exports_are_suspected_where_nothing_listens(up: Platform) -> None:
    nowhere = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
    }
    assert 'eval "$(llm-platform env)" again' in up.run("tenant", "list", status=1, **nowhere).stderr
    gone = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "k"}
    assert 'eval "$(llm-platform env)" again' in up.run("chat", "Hi", status=1, **gone).stderr


def test_the_doctor_finds_nothing_and_then_what_was_broken(up: Platform) -> None:
    # Until the evaluation worker has told of itself, which takes it some twenty seconds, that is a finding.
    def healthy() -> str | None:
        told = up.run("doctor", status=None)
        return told.stdout if told.returncode == 0 else None

    found = up.eventually(healthy, within_s=120)
    assert "failed" not in found
    assert "gateway" in found
    sick = up.run("doctor", status=1, GATEWAY_MAX_INFLIGHT="3").stdout
    assert "GATEWAY_MAX_INFLIGHT" in sick
    assert "→" in sick


def test_a_second_up_on_the_same_state_is_refused_and_harms_nothing(up: Platform) -> None:
    assert "runs already" in up.run("up", status=1).stderr
    up.run("chat", "Hi", "-m", "scripted-bedrock")


def _all_of(up: Platform, everything: set[str]) -> dict[str, int] | None:
    children = up.children()
    return children if set(children) == everything else None


def test_two_checkouts_do_not_disturb_each_other_and_nothing_outlives_an_up_that_was_killed_but_its_keys(
    up: Platform, tmp_path: Path
) -> None:
    state = with_tokenizer_of(up, tmp_path / "state")
    with platform(state) as killed:
        first = killed.env()
        assert first["gateway_url"] != up.env()["gateway_url"]
        assert first["tenants"] != up.env()["tenants"]
        everything = {
            "sandbox",
            "gateway",
            "evalworker run",
            "evalworker drift",
            "costagg run 60",
            "costagg serve",
            "watch",
            "watch apply 60",
        }
        # The gateway is announced before the others are started.
        children = killed.eventually(lambda: _all_of(killed, everything), within_s=60)
        assert killed.gateway_answers()
        killed.process.kill()
        killed.process.wait()
        killed.eventually(lambda: None if left_of(children) else True, within_s=STOPPED_WITHIN_S)
        assert not killed.gateway_answers()
        assert '"gateway has stopped serving"' in (state / "gateway.log").read_text(encoding="utf-8")
        assert "nothing runs" in killed.run("env", status=1).stderr
    with platform(state) as again:
        assert again.env()["tenants"] == first["tenants"]
        same = {name: value for name, value in first["environment"].items() if name.startswith("AWS_")}
        assert again.env()["environment"].items() >= same.items()
        again.run("chat", "Hi", "-m", "scripted-bedrock")
        os.kill(again.children()["gateway"], signal.SIGKILL)
        assert again.process.wait(STOPPED_WITHIN_S) == 1
        told = again.told()
        assert told.index("gateway ended with status -9; its log") < told.index("sandbox stopped")
        assert told.count("error:") == 1


def test_what_the_gateway_refuses_to_start_with_is_shown(up: Platform, tmp_path: Path) -> None:
    catalogue = tmp_path / "models.toml"
    catalogue.write_text("[models.small]\ndialect = 'klingon'\n", encoding="utf-8")
    failed = failed_up(with_tokenizer_of(up, tmp_path / "state"), LLM_PLATFORM_CATALOGUE=str(catalogue))
    assert "gateway ended with status 2; its log" in failed.stderr
    assert "models.small.dialect" in failed.stderr
    assert "sandbox stopped" in failed.stdout
    assert "gateway stopped" not in failed.stdout


def test_a_misspelt_setting_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    failed = failed_up(tmp_path / "state", EVAL_JUGDE="3")
    assert "EVAL_JUGDE" in failed.stderr
    assert not failed.stdout


def test_a_port_that_is_taken_is_named(up: Platform, tmp_path: Path) -> None:
    taken = up.env()["gateway_url"].rpartition(":")[2]
    failed = failed_up(tmp_path / "state", GATEWAY_PORT=taken)
    assert f"GATEWAY_PORT={taken}" in failed.stderr
