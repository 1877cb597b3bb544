"""The overview: few calls, sums where they are right, and never a failure that looks like silence."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.alarm_pages import AlarmPages
from harness.console import ACME_KEY, BILLING_KEY, OPERATOR_KEY, Console, console
from harness.figures import figures
from harness.scripted_cloudwatch import ScriptedCloudWatch
from llmplatform.testing import FakeClock
from watch.reading.standing import StandingUnavailable

DENIED = ClientError({"Error": {"Code": "Throttling", "Message": "secret"}}, "GetMetricData")
MOST_CALLS = 8
"""Of a page with fifty tenants and everything uncached: metrics in batches of 500, alarms, scores."""


def fifty(made: Console) -> None:
    for at in range(48):
        made.put_tenant(f"tenant-{at:02d}", daily_budget_usd=Decimal(100), daily_budget_tokens=1_000_000)


def rows_of(text: str) -> dict[str, dict[str, str]]:
    return {row["tenant"]: row for row in csv.DictReader(io.StringIO(text))}


def requests_only(
    name: str, dimensions: Mapping[str, str], statistic: str, times: Sequence[datetime]
) -> list[float | None]:
    known = {"acme": 1_000.0, "zeta": None}.get(dimensions.get("tenant_id", ""))
    return [known if (name, statistic) == ("request_count", "Sum") else None for _ in times]


@pytest.mark.parametrize("query", ["", "?compare=week", "?last=30d&compare=week"])
async def test_fifty_tenants_are_a_bounded_number_of_calls_and_none_the_second_time(query: str) -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        fifty(made)
        first = await browser.get(f"/{query}")
        assert first.status_code == 200
        assert 0 < int(first.headers["x-aws-calls"]) <= MOST_CALLS
        second = await browser.get(f"/{query}")
        assert second.headers["x-aws-calls"] == "0"


async def test_calls_and_series_grow_slowly_with_tenants() -> None:
    cloudwatch = ScriptedCloudWatch(figures)
    async with console(cloudwatch=cloudwatch) as made, made.browser(key=OPERATOR_KEY) as browser:
        await browser.get("/")
        few = cloudwatch.series_asked
        fifty(made)
        made.clock.advance(s=60)
        await browser.get("/")
        assert (cloudwatch.series_asked - 2 * few) / 48 <= 10


async def test_each_row_leads_to_its_page_with_the_time_range() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        text = (await browser.get("/?last=24h")).text
        assert 'href="/tenants/acme?last=24h"' in text
        assert 'href="/models/nova-pro?last=24h"' in text
        assert 'href="/endpoints/llama-3-70b-support?last=24h"' in text


async def test_what_has_no_datapoint_is_unknown_and_not_zero() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(requests_only)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert rows["acme"]["requests"] == "1000.0"
        assert rows["acme"]["ttft_p99"] == ""
        assert rows["zeta"]["requests"] == ""


async def test_sums_are_of_what_can_be_added_up_and_percentiles_are_not() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        fifty(made)
        text = (await browser.get("/")).text
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        foot = re.findall(r"<tfoot>.*?</tfoot>", text, re.DOTALL)[0]
        total = sum(float(row["requests"]) for row in rows.values())
        assert f"{total:,.0f}" in foot
        assert " ms" not in foot


async def test_it_is_sorted_as_the_address_says() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        fifty(made)
        text = (await browser.get("/?tenants.sort=ttft_p99&tenants.dir=asc&format=csv&table=tenants")).text
        waits = [float(row["ttft_p99"]) for row in rows_of(text).values()]
        assert waits == sorted(waits)


async def test_a_tenant_is_taken_to_its_own_page_with_the_time_range() -> None:
    async with console() as made, made.browser(key=ACME_KEY) as browser:
        answer = await browser.get("/?last=24h")
        assert (answer.status_code, answer.headers["location"]) == (303, "/tenants/acme?last=24h")


async def test_those_who_see_bills_see_it_too() -> None:
    async with console() as made, made.browser(key=BILLING_KEY) as browser:
        assert (await browser.get("/")).status_code == 200


async def test_what_rings_is_on_top_and_counted_by_tenant() -> None:
    alarms = AlarmPages()
    alarms.put("llm-platform/tenant/acme/availability-burn-fast", "ALARM", AlarmActions=["arn:aws:sns:x"])
    alarms.put("llm-platform/tenant/zeta/availability-burn-fast", "OK", AlarmActions=["arn:aws:sns:x"])
    async with (
        console(parts={"alarms": alarms.reader(FakeClock())}, cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        text = (await browser.get("/")).text
        assert "tenant/acme" in text.partition("<table")[0]
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert (rows["acme"]["ringing"], rows["zeta"]["ringing"]) == ("1", "0")


async def test_alarms_that_cannot_be_read_are_not_called_quiet() -> None:
    alarms = AlarmPages(broken=True)
    async with (
        console(parts={"alarms": alarms.reader(FakeClock())}) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        answer = await browser.get("/")
        assert answer.status_code == 200
        assert "What rings cannot be read now" in answer.text
        assert "No alarm rings" not in answer.text


async def test_metrics_that_cannot_be_read_are_said_to_be_and_nothing_is_zero() -> None:
    cloudwatch = ScriptedCloudWatch(figures)
    cloudwatch.failing = DENIED
    async with console(cloudwatch=cloudwatch) as made, made.browser(key=OPERATOR_KEY) as browser:
        answer = await browser.get("/")
        assert answer.status_code == 200
        assert "Metrics cannot be read now: Throttling" in answer.text
        assert (await browser.get("/?format=csv&table=platform-requests")).status_code == 400
        assert "secret" not in answer.text
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert rows["acme"]["requests"] == ""


async def test_the_last_good_figures_are_shown_with_their_age() -> None:
    cloudwatch = ScriptedCloudWatch(figures)
    async with console(cloudwatch=cloudwatch) as made, made.browser(key=OPERATOR_KEY) as browser:
        before = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        read_at = made.clock.now()
        made.clock.advance(s=300)
        cloudwatch.failing = DENIED
        text = (await browser.get("/")).text
        assert "stale since" in text
        assert read_at.isoformat(timespec="seconds").replace("+00:00", "Z") in text
        after = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert after["acme"]["requests"] == before["acme"]["requests"] != ""


async def test_a_part_that_did_not_come_is_said_to_be_missing() -> None:
    cloudwatch = ScriptedCloudWatch(figures)
    cloudwatch.flaws["time_to_first_token"] = "PartialData"
    async with console(cloudwatch=cloudwatch) as made, made.browser(key=OPERATOR_KEY) as browser:
        assert "a part of the metrics only (PartialData)" in (await browser.get("/")).text
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert (rows["acme"]["ttft_p99"], bool(rows["acme"]["requests"])) == ("", True)


async def test_scores_that_cannot_be_read_leave_the_rest_of_the_page() -> None:
    class Broken:
        async def of(self, _: Any) -> Any:
            raise StandingUnavailable("no")

    async with (
        console(parts={"standing": Broken()}, cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        text = (await browser.get("/")).text
        assert "How scores stand cannot be read now" in text
        assert 'href="/tenants/acme' in text


async def test_yesterdays_spend_is_not_todays() -> None:
    def late(name: str, _d: Mapping[str, str], _s: str, times: Sequence[datetime]) -> list[float | None]:
        return [5.0 if name == "cost_today_usd" and time.day == 31 else None for time in times]

    async with (
        console(cloudwatch=ScriptedCloudWatch(late)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert rows["acme"]["spend"] == "5.0"
        made.clock.advance(s=timedelta(minutes=1).total_seconds())
        rows = rows_of((await browser.get("/?format=csv&table=tenants")).text)
        assert rows["acme"]["spend"] == ""
