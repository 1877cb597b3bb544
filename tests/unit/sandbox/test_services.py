"""Which address each service of the laptop's AWS has."""

from sandbox.services import Services

OURS, GIVEN = "http://127.0.0.1:1", "http://127.0.0.1:2"


def test_one_address_is_enough_where_the_sandboxs_own_emulator_serves_all() -> None:
    environment = Services(OURS, OURS).environment
    assert {name: url for name, url in environment.items() if "ENDPOINT" in name} == {
        "AWS_ENDPOINT_URL": OURS
    }


def test_what_watches_stays_the_sandboxs_where_another_emulator_is_given() -> None:
    environment = Services(GIVEN, OURS).environment
    assert environment["AWS_ENDPOINT_URL"] == GIVEN
    assert {name for name, url in environment.items() if url == OURS} == {
        "AWS_ENDPOINT_URL_CLOUDWATCH",
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
        "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API",
        "AWS_ENDPOINT_URL_SNS",
        "AWS_ENDPOINT_URL_SQS",
    }
