"""The command as a person runs it: its templates pass cdk-nag and cfn-lint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
