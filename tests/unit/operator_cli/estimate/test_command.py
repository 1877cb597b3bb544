"""The command as it is typed."""

import json

import pytest
from typer.testing import CliRunner

from llmplatform.errors import ConfigFault
from operator_cli.__main__ import app

RUNNER = CliRunner()


def test_without_options_it_is_about_the_designs_scale() -> None:
    asked = RUNNER.invoke(app, ["estimate", "--json"])
    facts = json.loads(asked.stdout)
    assert facts["workload"]["requests_per_day"] == 2_000_000
    assert facts["workload"]["tenants"] == 50
    assert [size["factor"] for size in facts["sizes"]] == ["1", "10", "100", "1000"]


def test_it_takes_what_it_is_told() -> None:
    words = (
        "estimate --tenants 20 --requests-per-day 300000 --tokens-per-request 1000 --scale 1,2.5 "
        "--models nova-lite=2,nova-pro --sample-rate 0.1 --judge nova-2-lite --no-bands --grow traffic "
        "--region us-east-1 --json"
    )
    facts = json.loads(RUNNER.invoke(app, words.split()).stdout)
    assert (facts["judge"], facts["grow"]) == ("nova-2-lite", "traffic")
    assert facts["workload"]["sample_rate"] == "0.1"
    assert facts["workload"]["models_per_tenant"] == 2
    assert [size["workload"]["requests_per_day"] for size in facts["sizes"]] == [300_000, 750_000]
    bands = next(limit for limit in facts["limits"] if limit["name"] == "anomaly bands")
    assert bands["used"][0]["used"]["likely"] == "0"


def test_people_get_tables() -> None:
    shown = RUNNER.invoke(app, ["estimate", "--scale", "1"]).stdout
    assert "What it takes and costs a month" in shown
    assert "--judge nova-2-lite" in shown


@pytest.mark.parametrize("scale", ["", "0", "-1", "many", "1,,2", "20000"])
def test_sizes_that_are_none_are_refused(scale: str) -> None:
    asked = RUNNER.invoke(app, ["estimate", "--scale", scale])
    assert asked.exit_code == 2


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--models", "gpt-9", "--models: no model"), ("--judge", "gpt-9", "no judge is named")],
)
def test_a_name_that_is_not_known_is_told_with_those_that_are(option: str, value: str, told: str) -> None:
    asked = RUNNER.invoke(app, ["estimate", option, value])
    assert isinstance(asked.exception, ConfigFault)
    assert told in str(asked.exception)
    assert "nova-2-lite" in str(asked.exception)
