"""docker-compose.yml as a person has it up: a chat comes to its bill, and what fails is started again."""

import json
import shlex
from pathlib import PurePosixPath
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]  # its stubs are not among our tools

from harness.compose import Stack
from harness.journey import travel
from harness.platform import eventually
from watch.grafana.provisioning import MOUNTED_AT

JOBS = {"evalworker", "drift", "cost", "alarms"}
SERVED = {"aws", "gateway", "billing", "console"}
KILL_THE_PROCESS = "kill -KILL $(cat /proc/1/task/1/children)"
"""Not the engine's own kill: what a person has ended is not started again."""


async def take_the_journey(stack: Stack) -> None:
    def tell(what: str, seconds: float) -> None:
        print(f"{seconds:6.1f} s  {what}", flush=True)  # noqa: T201 - pytest shows it where the journey ends early

    await travel(stack.exports(), tell)


async def test_a_chat_is_streamed_scored_priced_and_found_by_its_trace_id(stack: Stack) -> None:
    await take_the_journey(stack)


async def test_a_worker_that_is_killed_starts_again_and_works_on(stack: Stack) -> None:
    before = stack.container("evalworker")
    stack.inside("evalworker", "sh", "-c", KILL_THE_PROCESS)

    def again() -> dict[str, Any] | None:
        now = stack.container("evalworker")
        return now if now["State"]["Running"] and now["RestartCount"] > before["RestartCount"] else None

    now = await eventually(again)
    assert now["Id"] == before["Id"]
    await take_the_journey(stack)


def test_who_is_told_to_stop_stops_in_order(stack: Stack) -> None:
    told = ("gateway", "billing", "console", "cost")
    stack.compose("stop", *told, within_s=120)
    ended = {service: stack.container(service)["State"]["ExitCode"] for service in told}
    stack.compose("up", "--no-build", "--no-deps", "--detach", "--wait", *told, within_s=120)
    assert ended == dict.fromkeys(told, 0)
    assert "gateway has stopped serving" in stack.compose("logs", "gateway")


async def test_who_serves_a_port_is_asked_for_its_health_and_nobody_else_is(stack: Stack) -> None:
    def health(service: str) -> str:
        return str(stack.container(service)["State"].get("Health", {}).get("Status"))

    def all_healthy() -> bool | None:
        return {health(service) for service in SERVED} == {"healthy"} or None

    await eventually(all_healthy)
    assert {health(service) for service in JOBS} == {"None"}


def test_compose_tells_processes_what_make_up_tells_them(stack: Stack) -> None:
    lines = stack.compose("logs", "--no-log-prefix", "aws").splitlines()
    (ready,) = (json.loads(line)["ready"] for line in lines if line.startswith('{"ready"'))
    told = {
        **ready["environment"],
        **ready["settings"],
        "AWS_EMF_AGENT_ENDPOINT": ready["emf_address"],
        "OTEL_EXPORTER_OTLP_ENDPOINT": ready["otlp_url"],
        "LLM_PLATFORM_CATALOGUE": ready["catalogue"],
    }
    for service in JOBS | SERVED - {"aws"}:
        environment = stack.services[service]["environment"]
        assert {name: environment[name] for name in told} == told


def test_nothing_is_published_but_on_loopback(stack: Stack) -> None:
    published = [
        binding
        for service in stack.services
        if service not in {"grafana", "dashboards"}
        for bindings in (stack.container(service)["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert published
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}


async def test_grafana_is_provisioned_with_a_dashboard_for_each_tenant(stack: Stack) -> None:
    stack.compose("run", "--rm", "-T", "dashboards", within_s=120)

    def read(path: PurePosixPath) -> str:
        shell = f"cat {shlex.quote(str(path))}"
        return stack.compose("run", "--rm", "-T", "--no-deps", "dashboards", "sh", "-c", shell)

    root = PurePosixPath("/grafana")
    (source,) = yaml.safe_load(read(root / "datasources/llm-platform.yaml"))["datasources"]
    assert (
        source["jsonData"]["endpoint"]
        == stack.services["gateway"]["environment"]["AWS_ENDPOINT_URL_CLOUDWATCH"]
    )
    providers = yaml.safe_load(read(root / "dashboards/llm-platform.yaml"))["providers"]
    folders = [PurePosixPath(provider["options"]["path"]) for provider in providers]
    files = " ".join(str(root / folder.relative_to(MOUNTED_AT) / "*.json") for folder in folders)
    listing = stack.compose("run", "--rm", "-T", "--no-deps", "dashboards", "sh", "-c", f"cat {files}")
    decoder, titles, at = json.JSONDecoder(), set(), 0
    while at < len(listing):
        board, at = decoder.raw_decode(listing, at)
        titles.add(board["title"])
    assert {
        "Cost and quality",
        "One trace",
        "Tenant acme",
        "Tenant globex-health",
        "Tenant initech-bank",
    } <= titles
    if stack.has_grafana:
        stack.compose("up", "--detach", "--wait", "grafana", within_s=120)
        url = f"http://{stack.compose('port', 'network', '3000').strip()}"
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as grafana:
            found = (await grafana.get("/api/search", params={"type": "dash-db"})).raise_for_status().json()
        assert titles <= {board["title"] for board in found}


def test_localstack_without_a_token_says_what_is_missing(stack: Stack) -> None:
    said = stack.fails("--profile", "localstack", "run", "--rm", "-T", "localstack-token")
    assert "LOCALSTACK_AUTH_TOKEN is not set" in said
    assert "or leave out --profile localstack" in said


def test_localstack_where_the_sandbox_does_not_look_for_it_says_so(stack: Stack) -> None:
    token = ("--env", "LOCALSTACK_AUTH_TOKEN=ls-anything")
    said = stack.fails("--profile", "localstack", "run", "--rm", "-T", *token, "localstack-token")
    assert "SANDBOX_EMULATOR_URL is not http://127.0.0.1:4567" in said
