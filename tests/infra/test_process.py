"""Every process is started alike: with nothing that it does not need, and never held up by its own log."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

import gateway.settings
from corpus.invocations import attempt, record
from infra.app import Platform
from infra.process import DATA_FOLDER, HEALTH_CHECK, LOG_BUFFER_MIB, MOST_STOP_TIMEOUT_S
from infra.settings import FOLDER, read_deployment
from llmplatform.emf import MAX_VALUES_PER_METRIC, encode_figures, encode_invocation
from llmplatform.metrics import EVAL_METRICS, EVAL_SCORES
from llmplatform.process.health import health_url
from llmplatform.process.logging import MAX_LINE_BYTES
from llmplatform.usage import TokenUsage

Reader = Callable[[Stack], Template]
ROOT = Path(__file__).parents[2]
SIDECARS = {"collector"}


def containers(platform: Platform, template: Reader) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each task definition with its process's container."""
    for stack in (one for one in vars(platform).values() if isinstance(one, Stack)):
        for task in template(stack).find_resources("AWS::ECS::TaskDefinition").values():
            for container in task["Properties"]["ContainerDefinitions"]:
                if container["Name"] not in SIDECARS:
                    yield task["Properties"], container


def instructions(dockerfile: Path, stage: str = "") -> list[tuple[str, str]]:
    """Of one stage, or of all: word and rest."""
    lines = dockerfile.read_text().replace("\\\n", " ").splitlines()
    told = [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line and line[0] != "#"]
    starts = [at for at, (word, rest) in enumerate(told) if word == "FROM" and rest.endswith(f" AS {stage}")]
    if not starts:
        return told
    ends = [at for at, (word, _) in enumerate(told) if word == "FROM" and at > starts[0]]
    return told[starts[0] : ends[0] if ends else None]


def test_a_process_has_nothing_that_it_does_not_need(prod: Platform, template: Reader) -> None:
    found = list(containers(prod, template))
    assert {task["Family"] for task, _ in found} >= {"llm-platform-gateway", "llm-platform-console"}
    for task, container in found:
        assert container["ReadonlyRootFilesystem"] is True
        assert container["User"] == "10001"
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert container["MountPoints"] == [
            {"ContainerPath": "/tmp", "SourceVolume": "tmp", "ReadOnly": False}  # noqa: S108
        ]
        assert task["Volumes"] == [{"Name": "tmp"}]
        assert task["NetworkMode"] == "awsvpc"
        assert "EntryPoint" not in container  # the image's own is the init that hands on signals


def test_the_image_is_as_the_tasks_need_it() -> None:
    lines = instructions(ROOT / "Dockerfile", stage="platform")
    assert ("ENTRYPOINT", '["tini", "--"]') in lines
    assert ("USER", "10001:10001") in lines
    # A volume of Fargate's is root's alone, unless the image says whose it is.
    assert ("VOLUME", '["/tmp"]') in lines


def test_a_log_that_nobody_takes_holds_no_process_up(prod: Platform, template: Reader) -> None:
    for _, container in containers(prod, template):
        options = container["LogConfiguration"]["Options"]
        assert options["mode"] == "non-blocking"
        assert options["max-buffer-size"] == f"{LOG_BUFFER_MIB * 1024 * 1024}b"


def test_a_task_is_asked_inside_whether_it_is_well(prod: Platform, template: Reader) -> None:
    served = 0
    for _, container in containers(prod, template):
        assert container["HealthCheck"]["Command"] == list(HEALTH_CHECK)
        environment = {one["Name"]: one["Value"] for one in container["Environment"]}
        url = health_url(["tini", "--", *container["Command"]], environment)
        ports = [mapping["ContainerPort"] for mapping in container.get("PortMappings", ())]
        assert ([] if url is None else [url]) == [f"http://127.0.0.1:{port}/healthz" for port in ports]
        served += len(ports)
    assert served >= 2


def test_no_task_is_given_longer_to_stop_than_fargate_gives(prod: Platform, template: Reader) -> None:
    for _, container in containers(prod, template):
        assert 0 < container["StopTimeout"] <= MOST_STOP_TIMEOUT_S


def test_a_secret_is_no_plain_variable(prod: Platform, template: Reader) -> None:
    for _, container in containers(prod, template):
        names = {one["Name"] for one in container["Environment"]}
        assert not any(name.endswith(("_KEY", "_SECRET", "_TOKEN", "_PASSWORD")) for name in names), names
        for secret in container.get("Secrets", ()):
            assert secret["Name"] not in names


def test_the_deployments_own_files_reach_all_processes_alike(tmp_path: Path) -> None:
    for name, source in {"models": "models.toml", "prices": "prices.toml"}.items():
        (tmp_path / f"{name}.toml").write_text((ROOT / "src/llmplatform" / source).read_text())
    text = (FOLDER / "dev.toml").read_text()
    (tmp_path / "own.toml").write_text(
        f'{text}\n[files]\ncatalogue = "models.toml"\nprices = "prices.toml"\n'
    )
    platform = Platform(App(), read_deployment(tmp_path / "own.toml"))
    found = list(containers(platform, Template.from_stack))
    assert found
    for _, container in found:
        environment = {one["Name"]: one["Value"] for one in container["Environment"]}
        assert environment["LLM_PLATFORM_CATALOGUE"] == f"{DATA_FOLDER}/models.toml"
        assert environment["LLM_PLATFORM_PRICES"] == f"{DATA_FOLDER}/prices.toml"
    assert ("COPY", f". {DATA_FOLDER}/") in instructions(ROOT / "infra/image/Dockerfile")


def test_the_longest_line_of_a_request_is_kept_whole() -> None:
    """Docker's log drivers split a line at 16 KiB, and half a line is no metric."""
    name, label = "x" * 256, "x" * 128
    longest = record(
        tenant_id="t" * 48,
        model_id=label,
        requested_model_id=label,
        backend_model_id=name,
        endpoint_type="sagemaker",
        endpoint_name=name,
        finish_reason=label,
        error_code=label,
        trace_kept=label,
        sample_reason=label,
        sampled=True,
        sampled_rate=1 / 3,
        usage=TokenUsage(**dict.fromkeys(TokenUsage.__dataclass_fields__, 2**53)),
        attempts=tuple(attempt(error_type=label, backend_model_id=name) for _ in range(20)),
    )
    assert len(encode_invocation(longest)) < MAX_LINE_BYTES / 2


def test_the_longest_line_of_scores_is_kept_whole() -> None:
    readings = [1 / 3] * MAX_VALUES_PER_METRIC
    line = encode_figures(
        record().completed_at,
        EVAL_SCORES,
        {"tenant_id": "t" * 48, "model_id": "m" * 128, "eval_dimension": "d" * 128},
        {metric.name: readings for metric in EVAL_METRICS},
    )
    assert json.loads(line)
    assert len(line) < MAX_LINE_BYTES


@pytest.mark.parametrize("which", ["prod", "dev"])
def test_the_gateways_variables_start_it(
    which: str,
    request: pytest.FixtureRequest,
    template: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (container,) = (
        container
        for task, container in containers(request.getfixturevalue(which), template)
        if task["Family"] == "llm-platform-gateway"
    )
    for name in [name for name in os.environ if name.startswith(("GATEWAY_", "OTEL_", "AWS_", "LLM_"))]:
        monkeypatch.delenv(name)
    for one in container["Environment"]:
        monkeypatch.setenv(one["Name"], one["Value"])
    for secret in container["Secrets"]:
        monkeypatch.setenv(secret["Name"], "from Secrets Manager")
    settings, environment = gateway.settings.read_settings()
    assert settings.host == "0.0.0.0"
    assert settings.trace_sample_rate == pytest.approx(0.1)
    assert settings.trace_sample_key.get_secret_value() == "from Secrets Manager"
    assert environment.otel_exporter_otlp_endpoint == "http://127.0.0.1:4318"
    assert environment.aws_region == "us-east-1"
    assert environment.aws_emf_agent_endpoint is None  # EMF goes to standard output, and on by the log driver
