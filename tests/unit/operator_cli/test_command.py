import sys
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError

from operator_cli.__main__ import foreign_fault, main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["llm-platform", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("arguments", [["env"], ["env", "--json"], ["chat", "hi"]])
def test_an_error_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("LLM_PLATFORM_STATE", str(tmp_path))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
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
    assert run(monkeypatch, "tenant", "add", "Not_A_Tenant") == 1
    assert "lower-case letters" in capsys.readouterr().err


def test_a_policy_out_of_range_is_named_by_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "tenant", "add", "initech", "--eval-sample-rate", "2") == 1
    assert "eval_sample_rate" in capsys.readouterr().err


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
