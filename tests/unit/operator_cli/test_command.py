import os
import sys
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from operator_cli.__main__ import foreign_fault, main
from operator_cli.console import STALE


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["llm-platform", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["env"],
        ["env", "--json"],
        ["chat", "hi"],
        ["doctor"],
        ["tenant", "list"],
        ["trace", "4bf92f3577b34da6a3ce929d0e0e4736"],
    ],
)
def test_an_error_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("LLM_PLATFORM_STATE", str(tmp_path))
    for name in list(os.environ):
        if name.startswith(("AWS_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert run(monkeypatch, *arguments) == 1
    told = capsys.readouterr()
    assert not told.out
    (line,) = told.err.splitlines()
    assert line.startswith("error: nothing runs on ")


def test_what_is_no_id_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert run(monkeypatch, "trace", "nonsense") == 1
    assert "is no id" in capsys.readouterr().err


def test_a_bad_tenant_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "tenant", "add", "Not_A_Tenant") == 2
    assert "lower-case letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("add", "--eval-sample-rate", "2"),
        ("update", "--eval-sample-rate", "2"),
        ("add", "--kms-key", "zzz"),
        ("rotate-key", "--grace-h", "1e12"),
        ("rotate-key", "--grace-h", "inf"),
        ("rotate-key", "--grace-h", "nan"),
        ("rotate-key", "--grace-h", "-1"),
    ],
)
def test_a_value_that_cannot_be_is_misuse_and_named_by_its_option(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    option: str,
    value: str,
) -> None:
    assert run(monkeypatch, "tenant", command, "initech", option, value) == 2
    assert option in capsys.readouterr().err


def test_an_update_of_nothing_is_misuse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "tenant", "update", "initech") == 2
    assert "nothing is to be changed" in capsys.readouterr().err


def test_misuse_has_an_exit_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "trace") == 2


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("llm-platform ")


def test_only_faults_of_others_become_a_line() -> None:
    line = foreign_fault(NoCredentialsError())
    assert line is not None
    assert line.startswith("AWS: ")
    assert foreign_fault(ZeroDivisionError()) is None


def test_where_nothing_listens_it_is_asked_whether_the_exports_are_stale() -> None:
    laptop, cloud = "http://127.0.0.1:4711/", "https://dynamodb.eu-central-1.amazonaws.com/"
    assert STALE in (foreign_fault(EndpointConnectionError(endpoint_url=laptop)) or "")
    assert STALE not in (foreign_fault(EndpointConnectionError(endpoint_url=cloud)) or "")
    assert STALE in (foreign_fault(httpx.ConnectError("Connection refused")) or "")
