"""The sandbox beside an emulator that runs already: who has what, and what is said where there is none."""

from pathlib import Path

import pytest

from harness.platform import free_port
from llmplatform.aws.tables import GATEWAY_LOGS, REQUEST_LEDGER, TOPICS
from sandbox.emulator import Emulator, EmulatorError, sandbox_session
from sandbox.provision import provision
from sandbox.services import serve_services
from sandbox.settings import SandboxSettings

ACCOUNT = "111122223333"


async def test_data_is_in_the_given_emulator_and_what_watches_is_ours_in_the_same_account(
    tmp_path: Path,
) -> None:
    session = sandbox_session()
    async with Emulator(tmp_path / "given", account_id=ACCOUNT) as given:
        settings = SandboxSettings(emulator_url=given.url)
        async with serve_services(settings, tmp_path / "ours", session) as services:
            assert services.url == given.url != services.watching_url
            await provision(session, endpoint_url=services.url, watching_url=services.watching_url)
            data, watching = [await names(url) for url in (services.url, services.watching_url)]
    assert REQUEST_LEDGER.name in data
    assert REQUEST_LEDGER.name not in watching
    ours = {GATEWAY_LOGS.name, *(f"arn:aws:sns:us-east-1:{ACCOUNT}:{topic.name}" for topic in TOPICS)}
    assert ours <= watching
    assert not ours & data


async def test_an_emulator_that_is_not_there_is_named(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EmulatorError, match=f"SANDBOX_EMULATOR_URL={nowhere}: no AWS emulator answers there"):
        async with serve_services(SandboxSettings(emulator_url=nowhere), tmp_path, sandbox_session()):
            pass


async def names(url: str) -> set[str]:
    """Tables, log groups and topics that are there."""
    session = sandbox_session()
    async with (
        session.client("dynamodb", endpoint_url=url) as dynamodb,
        session.client("logs", endpoint_url=url) as logs,
        session.client("sns", endpoint_url=url) as sns,
    ):
        return {
            *(await dynamodb.list_tables())["TableNames"],
            *(group["logGroupName"] for group in (await logs.describe_log_groups())["logGroups"]),
            *(topic["TopicArn"] for topic in (await sns.list_topics())["Topics"]),
        }
