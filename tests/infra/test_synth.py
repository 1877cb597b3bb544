"""The command as a person runs it: its templates pass cdk-nag and cfn-lint."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.__main__ import main
from infra.settings import FOLDER
from llmplatform.catalogue import DEFAULT_CATALOGUE

ROOT = Path(__file__).parents[2]
CFN_LINT = Path(sys.executable).with_name("cfn-lint")


@pytest.fixture(scope="module", params=["dev", "prod"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("templates")
    subprocess.run(  # noqa: S603 -- our own command
        [sys.executable, "-m", "infra", request.param, "--out", str(out)], cwd=ROOT, check=True, timeout=500
    )
    return out


def test_cdk_nag_finds_nothing_that_is_not_explained(written: Path) -> None:
    report = json.loads((written / "validation-report.json").read_text())
    assert report["pluginReports"]
    assert [one for plugin in report["pluginReports"] for one in plugin["violations"]] == []


def test_cfn_lint_finds_no_error(written: Path) -> None:
    templates = sorted(written.glob("*.template.json"))
    assert len(templates) == 7
    done = subprocess.run(  # noqa: S603 -- our own tool
        [CFN_LINT, "--non-zero-exit-code", "error", *templates],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout


def told(deployment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of a deployment that is at fault."""
    monkeypatch.setattr(sys, "argv", ["infra", str(deployment), "--out", str(deployment.parent / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_models_that_take_longer_than_a_load_balancer_waits_are_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = DEFAULT_CATALOGUE.read_text()
    patient = re.sub(r"total_s = \d+", "total_s = 3600", catalogue)
    assert patient != catalogue
    (tmp_path / "models.toml").write_text(patient)
    own = tmp_path / "own.toml"
    own.write_text(f'{(FOLDER / "dev.toml").read_text()}\n[files]\ncatalogue = "models.toml"\n')
    line = told(own, monkeypatch, capsys)
    assert re.match(r"infra: models\.\S+\.timeouts: .*lower total_s", line), line


def test_what_the_library_refuses_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.toml"
    elsewhere = (FOLDER / "dev.toml").read_text().replace("us-east-1", "us-moon-1")
    own.write_text(elsewhere)
    assert "us-moon-1" in told(own, monkeypatch, capsys)
