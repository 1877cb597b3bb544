"""Who runs a deployment from a laptop goes by what its tasks go by, and finds its alarms as they are."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from infra.app import Platform
from infra.process import data_files
from infra.settings import FOLDER, Deployment, read_deployment
from llmplatform import catalogue
from operator_cli.doctor_aws.stacks import PREFIX, STACKS
from operator_cli.watch_account import wanted_here
from watch.alarming.alarm_wire import fields_of, kind_of, normal, tags_of
from watch.alarming.definitions import AccountNames, definitions_of
from watch.tables import targets

Of = Callable[[Stack], Template]
BASH = shutil.which("bash") or "bash"
OWN = """
[files]
catalogue = "models.toml"

[alarms]
gpu_percent = 95
policy_age_s = 450
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment with thresholds and models of its own."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(Path(catalogue.__file__).with_name("models.toml"), folder / "models.toml")
    (folder / "own.toml").write_text((FOLDER / "prod.toml").read_text() + OWN)
    return folder / "own.toml"


@pytest.fixture(scope="module")
def own(file: Path) -> Deployment:
    return read_deployment(file)


@pytest.fixture(scope="module")
def deployed(own: Deployment) -> Platform:
    return Platform(App(), own)


@pytest.fixture(scope="module")
def shell(file: Path) -> Mapping[str, str]:
    """The variables of a shell that has evaluated what is printed, and was another deployment's before."""
    command = f'eval "$({sys.executable} -m infra.environment {file})" && env -0'
    before = {"PATH": "/usr/bin:/bin", "ALARM_DISK_PERCENT": "7", "LLM_PLATFORM_PRICES": "/nowhere"}
    done = subprocess.run(  # noqa: S603 -- our own command
        [BASH, "-c", command], cwd=FOLDER.parent, env=before, check=True, capture_output=True, timeout=120
    )
    pairs = (pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)
    return dict(pairs)


@pytest.fixture
def as_the_shell(shell: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shell.items():
        monkeypatch.setenv(name, value)


def alarms_of(template: Template) -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and properties by name."""
    kinds = {"metric": "AWS::CloudWatch::Alarm", "composite": "AWS::CloudWatch::CompositeAlarm"}
    return {
        alarm["Properties"]["AlarmName"]: (kind, alarm["Properties"])
        for kind, resource in kinds.items()
        for alarm in template.find_resources(resource).values()
    }


@pytest.mark.usefixtures("as_the_shell")
def test_the_platforms_alarms_are_what_watch_would_put(
    shell: Mapping[str, str], own: Deployment, deployed: Platform, template: Of
) -> None:
    wanted = wanted_here(shell)
    account = AccountNames(own.account, own.region, wanted.console_url)
    definitions = {one.name: one for one in definitions_of(targets.Platform(), wanted.limits, account)}
    made = alarms_of(template(deployed.watch))
    assert made.keys() == definitions.keys()
    for name, definition in definitions.items():
        kind, members = made[name]
        assert kind == kind_of(definition)
        assert "https://llm-watch.example.com/" in members["AlarmDescription"]
        assert normal(kind_of(definition), members) == fields_of(definition)
        assert members["Tags"] == tags_of(definition)


def test_the_shell_has_what_the_alarms_job_has(
    shell: Mapping[str, str], own: Deployment, deployed: Platform, template: Of
) -> None:
    (task,) = (
        template(deployed.watch)
        .find_resources("AWS::ECS::TaskDefinition", {"Properties": {"Family": "llm-platform-alarms"}})
        .values()
    )
    job = {one["Name"]: one["Value"] for one in task["Properties"]["ContainerDefinitions"][0]["Environment"]}
    files = data_files(own)
    assert {name: value for name, value in job.items() if name not in files}.items() <= shell.items()
    for name, path in files.items():
        assert shell.get(name) == (None if path is None else str(path))
        assert (name in job) == (path is not None)
    assert not {"ALARM_DISK_PERCENT", "LLM_PLATFORM_PRICES"} & shell.keys()


def test_doctor_knows_every_stack_in_the_order_in_which_they_are_deployed(prod: Platform) -> None:
    stacks = [one for one in vars(prod).values() if isinstance(one, Stack)]
    assert [stack.stack_name for stack in stacks] == [PREFIX + name for name in STACKS]
