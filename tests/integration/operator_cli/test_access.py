"""`llm-platform access` as an operator uses it, against an account of the sandbox's."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from llmplatform import apikeys
from operator_cli.__main__ import app
from sandbox.emulator import Emulator


@pytest.fixture(scope="module", name="aws")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with asyncio.Runner() as runner:
        aws = Emulator(tmp_path_factory.mktemp("state"))
        runner.run(aws.start())
        try:
            yield aws
        finally:
            runner.run(aws.stop())


@pytest.fixture(autouse=True)
def account(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["access", *arguments])


def test_a_key_is_made_listed_and_revoked() -> None:
    made = command("add-key", "billing", "--expires-in-days", "30")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert apikeys.role_of(key) == "billing"
    assert "shown this once" in made.stderr
    listed = json.loads(command("list", "--json").stdout)
    (found,) = (one for one in listed if apikeys.key_hash(key).startswith(one["id"]))
    assert found["role"] == "billing"
    assert found["expires_at"] > found["created_at"]
    assert "sha256" not in found
    table = command("list").stdout
    assert found["id"] in table
    assert key.rpartition("_")[2] not in table
    revoked = command("revoke-key", "billing", found["id"])
    assert "refused within a minute" in revoked.stdout
    assert found["id"] not in command("list").stdout
    again = command("revoke-key", "billing", found["id"])
    assert again.exit_code == 1
    assert "role billing has no key" in str(again.exception)


def test_a_key_for_programs() -> None:
    told = json.loads(command("add-key", "operator", "--json").stdout)
    assert told["role"] == apikeys.role_of(told["api_key"]) == "operator"
    assert "for good" in command("list").stdout


@pytest.mark.parametrize("arguments", [("admin",), ("billing", "--expires-in-days", "0")])
def test_what_cannot_be_is_told_before_anything_is_asked(arguments: tuple[str, ...]) -> None:
    refused = command("add-key", *arguments)
    assert refused.exit_code == 2
    assert "Invalid value" in refused.stderr
