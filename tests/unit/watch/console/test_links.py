"""Ways out of a trace."""

from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest

from watch.console.links import DEBUG_BOARD, Links
from watch.grafana.cells import uid_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
START = datetime(2026, 11, 23, 20, 15, tzinfo=UTC)
QUERY = "fields @timestamp | filter @message like /4bf9-'x~y'/ | limit 20"


def of_trace(links: Links) -> dict[str, str]:
    return {
        link.title: link.href for link in links.of_trace(TRACE, START, START + timedelta(minutes=1), QUERY)
    }


def test_xray_is_given_the_trace_in_its_own_form() -> None:
    href = of_trace(Links("eu-central-1"))["X-Ray"]
    assert href == (
        "https://eu-central-1.console.aws.amazon.com/xray/home?region=eu-central-1"
        "#/traces/1-4bf92f35-77b34da6a3ce929d0e0e4736"
    )


def test_logs_insights_is_given_the_query_the_group_and_the_time() -> None:
    """Read back as the console reads it: `$` is `%`, twice escaped, then `*` is `%` within each text."""
    fragment = of_trace(Links("us-east-1"))["Logs Insights"].partition("#logsV2:logs-insights")[2]
    name, _, escaped = unquote(fragment.replace("$", "%")).partition("=")
    assert name == "?queryDetail"
    detail = unquote(escaped)
    assert detail.startswith("~(end~'2026-11-23T20*3A16*3A00.000Z~start~'2026-11-23T20*3A15*3A00.000Z~")
    assert detail.endswith("~source~(~'*2Fllm-platform*2Fgateway))")
    text = detail.partition("editorString~'")[2].partition("~source")[0]
    assert unquote(text.replace("*", "%")) == QUERY


@pytest.mark.parametrize(
    ("region", "domain"),
    [("cn-north-1", "console.amazonaws.cn"), ("us-gov-west-1", "console.amazonaws-us-gov.com")],
)
def test_other_partitions_have_consoles_of_their_own(region: str, domain: str) -> None:
    assert of_trace(Links(region))["X-Ray"].startswith(f"https://{region}.{domain}/")


def test_nothing_leads_where_nothing_is() -> None:
    assert of_trace(Links("us-east-1", on_aws=False)) == {}


def test_grafanas_board_is_the_one_that_we_put_there() -> None:
    assert uid_of("debug") == DEBUG_BOARD
