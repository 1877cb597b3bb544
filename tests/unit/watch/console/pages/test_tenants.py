"""A tenant's page: its own figures, and nothing of anybody else's."""

import csv
import io
from datetime import timedelta
from typing import Any

from harness.alarm_pages import AlarmPages
from harness.console import ACME_KEY, OPERATOR_KEY, console
from harness.figures import figures
from harness.scripted_cloudwatch import ScriptedCloudWatch
from llmplatform.eval_status import FallStatus, SeriesStatus
from llmplatform.sampling import SamplingBrake
from llmplatform.testing import START, FakeClock
from watch.quality import Standing

MOST_CALLS = 6


class Scores:
    async def of(self, tenants: Any) -> Standing:
        fallen = SeriesStatus(
            key="acme#<b>small</b>#relevance#0123",
            status="fallen",
            current=True,
            began=START,
            latest=START,
            baseline_mean=4.0,
            baseline_samples=812,
            drop_percent=20.0,
            dropped=True,
            fall=FallStatus(onset=START, alarmed_at=START, baseline_mean=4.0, level=3.2),
        )
        return Standing({one: (fallen,) if one == "acme" else () for one in tenants}, START)


async def test_it_is_a_bounded_number_of_calls() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        answer = await browser.get("/tenants/acme?compare=week&last=24h")
        assert answer.status_code == 200
        assert 0 < int(answer.headers["x-aws-calls"]) <= MOST_CALLS


async def test_a_tenant_is_not_told_how_much_was_asked_of_aws() -> None:
    async with console(cloudwatch=ScriptedCloudWatch(figures)) as made, made.browser(key=ACME_KEY) as browser:
        answer = await browser.get("/tenants/acme")
        assert answer.status_code == 200
        assert "x-aws-calls" not in answer.headers
        assert "AWS call" not in answer.text


async def test_a_tenant_asks_for_its_own_series_alone() -> None:
    cloudwatch = ScriptedCloudWatch(figures)
    async with console(cloudwatch=cloudwatch) as made, made.browser(key=ACME_KEY) as browser:
        await browser.get("/tenants/acme?compare=week")
        asked = [
            query["MetricStat"]["Metric"] for one in cloudwatch.asked for query in one["MetricDataQueries"]
        ]
        assert asked
        for metric in asked:
            assert {"Name": "tenant_id", "Value": "acme"} in metric["Dimensions"]


async def test_anothers_page_is_not_there_and_asks_nothing() -> None:
    cloudwatch = ScriptedCloudWatch(figures)
    async with console(cloudwatch=cloudwatch) as made, made.browser(key=ACME_KEY) as browser:
        for path in (
            "/tenants/zeta",
            "/tenants/nobody",
            "/models/nova-pro",
            "/endpoints/llama-3-70b-support",
        ):
            assert (await browser.get(path)).status_code == 404
        for path in ("/platform", "/models", "/endpoints"):
            assert (await browser.get(path)).status_code == 404
        assert cloudwatch.asked == []


async def test_the_list_has_its_own_name_alone() -> None:
    async with console() as made, made.browser(key=ACME_KEY) as browser:
        text = (await browser.get("/tenants")).text
        assert "Acme &amp; Sons" in text
        assert "zeta" not in text


async def test_anothers_alarms_are_not_shown() -> None:
    alarms = AlarmPages()
    for name in ("tenant/acme/budget-usd", "tenant/zeta/budget-usd", "platform/iterator-age"):
        alarms.put(f"llm-platform/{name}", "ALARM", AlarmActions=["arn:aws:sns:x"])
    async with (
        console(parts={"alarms": alarms.reader(FakeClock())}) as made,
        made.browser(key=ACME_KEY) as browser,
    ):
        text = (await browser.get("/tenants/acme")).text
        assert "tenant/acme" in text
        assert "zeta" not in text
        assert "iterator-age" not in text


async def test_a_tenants_models_lead_only_those_further_who_may_see_all() -> None:
    for key, leads in ((OPERATOR_KEY, True), (ACME_KEY, False)):
        async with console(cloudwatch=ScriptedCloudWatch(figures)) as made, made.browser(key=key) as browser:
            text = (await browser.get("/tenants/acme")).text
            assert "nova-pro" in text
            assert ('href="/models/nova-pro' in text) is leads


async def test_a_model_that_it_may_not_use_is_neither_asked_for_nor_shown() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        made.put_tenant("acme", allowed_models={"nova-pro"})
        rows = csv.DictReader(io.StringIO((await browser.get("/tenants/acme?format=csv&table=models")).text))
        assert [row["model"] for row in rows] == ["nova-pro"]


async def test_a_fall_of_scores_is_shown_with_its_beginning_and_hostile_names_as_text() -> None:
    async with console(parts={"standing": Scores()}) as made, made.browser(key=OPERATOR_KEY) as browser:
        text = (await browser.get("/tenants/acme")).text
        assert "1 of 1 fallen" in text
        assert "since 2026-01-31 23:59 UTC" in text
        assert "<b>small</b>" not in text
        rows = csv.DictReader(io.StringIO((await browser.get("/tenants/acme?format=csv&table=scores")).text))
        assert [(row["mean"], row["samples"]) for row in rows] == [("3.2", "812")]


async def test_the_policy_tells_the_brake_that_is_in_force() -> None:
    async with console() as made, made.browser(key=OPERATOR_KEY) as browser:
        text = (await browser.get("/tenants/acme")).text
        assert "4,000 ms" in text
        assert "held down" not in text
        made.policies.brake(lag=SamplingBrake(factor=0.1, expires_at=made.clock.now() + timedelta(hours=1)))
        assert "held down to 0.5 %" in (await browser.get("/tenants/acme")).text


async def test_each_chart_is_a_file_too() -> None:
    async with (
        console(cloudwatch=ScriptedCloudWatch(figures)) as made,
        made.browser(key=OPERATOR_KEY) as browser,
    ):
        text = (await browser.get("/tenants/acme?format=csv&table=tenant-ttft&last=1h")).text
        assert text.splitlines()[0] == "time,p50,p99"
        assert len(text.splitlines()) == 1 + 61
