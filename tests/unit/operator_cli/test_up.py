"""What `llm-platform up` looks at before it starts anything."""

from pathlib import Path

import pytest

from llmplatform.errors import ConfigFault
from operator_cli.up import run_up


@pytest.mark.parametrize(
    "misspelt", ["GATEWAY_MAX_INFLIGHT", "SANDBOX_AWSPORT", "EVAL_JUGDE", "COST_CLOSE", "WATCH_PROT"]
)
def test_a_misspelt_setting_of_any_process_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], misspelt: str
) -> None:
    monkeypatch.setenv("LLM_PLATFORM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(misspelt, "3")
    with pytest.raises(ConfigFault, match=misspelt):
        run_up()
    assert not capsys.readouterr().out
    assert not (tmp_path / "state").exists()
