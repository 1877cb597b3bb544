"""The alarms' pages: what rings, what happened, who was told; and the runbooks."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from harness.alarm_pages import SINCE, AlarmPages
from harness.console import ACME_KEY, OPERATOR_KEY, console
from harness.leaping_loop import LeapingLoop
from llmplatform.testing import FakeClock
from watch.console.pages.alarms import about_of
from watch.console.runbooks import runbook
from watch.reading.alarms import MOST_HISTORY, WITHIN_S, AlarmReader, AlarmsUnavailable, masked

TOPIC = "arn:aws:sns:us-east-1:000000000000:llm-platform-critical"
ACME = "llm-platform/tenant/acme/availability-burn-fast"
ZETA = "llm-platform/tenant/zeta/availability-burn-fast"
GPU = "llm-platform/endpoint/llama/AllTraffic/gpu-failing"


def some_alarms() -> AlarmPages:
    pages = AlarmPages()
    for name in (ACME, ZETA):
        pages.put(name, "ALARM", AlarmRule="…", AlarmActions=[TOPIC], AlarmDescription="Tenants fail.")
    pages.put(GPU, "OK", AlarmRule="…", AlarmActions=[TOPIC])
    pages.put("llm-platform/endpoint/llama/AllTraffic/gpu-pressure", "ALARM")
    pages.history = [
        {
            "AlarmName": name,
            "Timestamp": SINCE,
            "HistoryItemType": kind,
            "HistorySummary": "",
            "HistoryData": json.dumps(data),
        }
        for name in (ACME, ZETA)
        for kind, data in (
            ("StateUpdate", {"newState": {"stateValue": "ALARM", "stateReason": f"<b>{name}</b>"}}),
            (
                "StateUpdate",
                {"newState": {"stateValue": "OK"}, "oldState": {"stateValue": "INSUFFICIENT_DATA"}},
            ),
            ("Action", {"actionState": "Succeeded", "notificationResource": TOPIC}),
        )
    ]
    pages.subscriptions = [
        {
            "TopicArn": TOPIC,
            "Protocol": "https",
            "Endpoint": "https://events.pagerduty.com/integration/SECRET/enqueue",
            "SubscriptionArn": f"{TOPIC}:1",
        }
    ]
    return pages


async def get(path: str, pages: AlarmPages, key: str = OPERATOR_KEY) -> httpx.Response:
    async with console(parts={"alarms": pages.reader(FakeClock())}) as made, made.browser(key=key) as browser:
        return await browser.get(path)


async def test_what_rings_comes_first_and_parts_are_shown_on_demand() -> None:
    answer = await get("/alarms", some_alarms())
    assert answer.status_code == 200
    assert "tenant/acme" in answer.text
    assert "gpu-pressure" not in answer.text
    assert "gpu-pressure" in (await get("/alarms?parts=yes&name=gpu", some_alarms())).text
    assert "gpu-failing" not in answer.text
    assert "gpu-failing" in (await get("/alarms?state=", some_alarms())).text


async def test_reasons_are_text_and_receivers_keep_their_secrets() -> None:
    page = (await get("/alarms", some_alarms())).text
    assert "&lt;b&gt;llm-platform/tenant/acme" in page
    assert "https://events.pagerduty.com/…" in page
    assert "SECRET" not in page


async def test_a_tenant_sees_its_own_alarms_alone() -> None:
    page = (await get("/alarms", some_alarms(), ACME_KEY)).text
    assert "tenant/acme" in page
    for hidden in ("zeta", "llama", "pagerduty"):
        assert hidden not in page
    assert (await get(f"/alarms/{ZETA}", some_alarms(), ACME_KEY)).status_code == 404
    assert (await get(f"/alarms/{GPU}", some_alarms(), ACME_KEY)).status_code == 404
    assert (await get(f"/alarms/{ACME}", some_alarms(), ACME_KEY)).status_code == 200


async def test_an_alarms_page_leads_to_the_moment_and_to_the_runbook() -> None:
    page = (await get(f"/alarms/{ACME}", some_alarms())).text
    assert "/tenants/acme?from=2026-01-31T23:10Z&amp;to=2026-01-31T23:59Z" in page
    assert "/runbooks/availability-burn?about=llm-platform%2Ftenant%2Facme" in page
    assert "Tenants fail." in page
    assert "Succeeded" in page


async def test_an_alarm_that_is_not_there_is_not_found() -> None:
    assert (await get("/alarms/llm-platform/tenant/acme/none", some_alarms())).status_code == 404


async def test_without_cloudwatch_nothing_says_that_all_is_well() -> None:
    pages = some_alarms()
    pages.broken = True
    answer = await get("/alarms", pages)
    assert answer.status_code == 503
    assert "the alarms cannot be read now" in answer.text


async def test_history_comes_as_a_file() -> None:
    answer = await get("/alarms?format=csv&table=history", some_alarms())
    lines = answer.text.splitlines()
    assert lines[0] == "at,what,alarm,told,reason"
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("pauses_s", "told"),
    [((WITHIN_S - 1,) * 3, True), ((WITHIN_S + 1,), False), ((WITHIN_S - 1,) * 4, False)],
)
def test_many_pages_of_alarms_are_waited_for_and_one_that_hangs_is_not(
    pauses_s: tuple[float, ...], *, told: bool
) -> None:
    class Slow:
        def get_paginator(self, _: str) -> "Slow":
            return self

        async def paginate(self, **_: Any) -> AsyncIterator[dict[str, Any]]:
            for pause_s in pauses_s:
                await asyncio.sleep(pause_s)
                yield {}

    client: Any = Slow()
    reader = AlarmReader(client, client, FakeClock())
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        if told:
            assert runner.run(reader.all()) == ()
        else:
            with pytest.raises(AlarmsUnavailable):
                runner.run(reader.all())


@pytest.mark.parametrize("query", ["format=csv", "format=csv&table=none", "format=csv&table=receivers"])
async def test_a_file_that_is_not_there_is_no_page(query: str) -> None:
    answer = await get(f"/alarms?{query}", some_alarms(), ACME_KEY)
    assert answer.status_code == 400
    assert "table: must be one that is there now: alarms, history" in answer.text


async def test_a_history_that_is_cut_says_since_when_it_is_known() -> None:
    pages = some_alarms()
    assert "of before nothing is" not in (await get("/alarms?last=7d", pages)).text
    assert "not all of this time could be looked at" not in (await get("/alarms?last=7d", pages)).text
    # Those of others fill it: what is left of a tenant's own is not all that happened to it.
    pages.history = [{**pages.history[3], "Timestamp": SINCE}] * MOST_HISTORY
    page = (await get("/alarms?last=7d", pages, ACME_KEY)).text
    assert "not all of this time could be looked at" in page


async def test_of_what_is_older_than_cloudwatch_keeps_nothing_is_said_to_have_happened() -> None:
    page = (await get("/alarms?from=2025-11-01T00:00Z", some_alarms())).text
    assert "what is known since 2026-01-01 23:59 UTC; of before nothing is" in page


async def test_one_alarm_costs_no_look_at_all_of_them() -> None:
    pages = some_alarms()
    pages.metric = pages.composite[:1]
    assert (await get(f"/alarms/{ACME}", pages)).status_code == 200
    assert pages.calls == 2


async def test_everybody_who_looks_at_once_costs_one_call() -> None:
    pages = some_alarms()
    reader = pages.reader(FakeClock())
    for _ in range(3):
        await reader.ringing()
    assert pages.calls == 1


async def test_a_reader_asks_again_after_a_failure() -> None:
    pages = some_alarms()
    pages.broken = True
    async with (
        console(parts={"alarms": pages.reader(FakeClock())}) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        assert (await browser.get("/alarms")).status_code == 503
        pages.broken = False
        assert (await browser.get("/alarms")).status_code == 200


async def test_a_runbook_is_shown_for_what_the_alarm_is_about() -> None:
    answer = await get("/runbooks/ttft-p99?about=llm-platform/tenant/acme/ttft-p99", some_alarms())
    assert answer.status_code == 200
    assert "<h1>" in answer.text
    assert "{tenant}" not in answer.text
    assert '<a href="/tenants/acme"><code>/tenants/acme</code></a>' in answer.text


@pytest.mark.parametrize("name", ["none", "..%2F..%2FREADME", "README.md", "%00"])
async def test_no_other_file_is_shown_as_a_runbook(name: str) -> None:
    assert (await get(f"/runbooks/{name}", some_alarms())).status_code == 404


def test_the_index_of_the_runbooks_is_there() -> None:
    assert "Runbooks" in str(runbook(None, {}))


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("tenant/acme/ttft-p99", {"tenant": "acme"}),
        ("endpoint/llama/AllTraffic/disk", {"endpoint": "llama"}),
        ("model/vendor/m:1/circuit-open", {"model": "vendor/m:1"}),
        (
            "scores/acme/v/m/relevance/score-fallen",
            {"tenant": "acme", "model": "v/m", "dimension": "relevance"},
        ),
        ("platform/cost-late", {}),
        ("", {}),
    ],
)
def test_a_name_tells_what_placeholders_stand_for(name: str, about: dict[str, Any]) -> None:
    assert about_of(f"llm-platform/{name}") == about


@pytest.mark.parametrize(
    ("protocol", "endpoint", "shown"),
    [
        ("https", "https://user:key@events.pagerduty.com/integration/KEY", "https://events.pagerduty.com/…"),
        ("email", "on.call@example.com", "…@example.com"),
        ("sms", "+4912345", "…"),
        ("sqs", "arn:aws:sqs:us-east-1:1:q", "arn:aws:sqs:us-east-1:1:q"),
    ],
)
def test_where_a_message_goes_is_shown_without_its_secret(protocol: str, endpoint: str, shown: str) -> None:
    assert masked(protocol, endpoint) == shown
