"""The pages of evaluations, in process: who sees what, what is drawn, what is said when there is nothing."""

import csv
import io
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from corpus.eval_results import JUDGE, make_event, make_result
from harness.console import ACME_KEY, BILLING_KEY, OPERATOR_KEY, ZETA_KEY, Console, console, hidden, sign_in
from harness.scored import Scored, all_series, heartbeat, minute, scored, series_of, status_of
from harness.scripted_cloudwatch import ScriptedCloudWatch
from llmplatform.eval_series import BERTSCORE_BINS, MinuteScores
from llmplatform.eval_status import FallStatus, Look
from llmplatform.evaluations import BERTSCORE, EvalContent
from llmplatform.policy import ContentMode
from llmplatform.testing import FakeClock
from watch.console.pages import alarms, evaluations, requests

HOSTILE = "<script>alert(1)</script>\"'&"
START = datetime.fromisoformat("2026-01-31T23:59:30+00:00")


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[tuple[Console, Scored]]:
    clock = FakeClock(START)
    made = scored(clock)
    pages = (evaluations.routes, alarms.routes, requests.routes)
    async with console(pages=pages, parts=made.parts, **options) as whole:
        yield whole, made


def steady(made: Scored, tenant: str = "acme") -> None:
    """An hour of scores in each judged dimension: 4, and 5 in every other minute."""
    series = all_series(tenant)
    made.detector.put_statuses(tenant, *(status_of(one, START) for one in series), look=Look(START))
    for one in series:
        made.detector.put_minutes(
            one, (minute(START - timedelta(minutes=back), 4 + back % 2) for back in range(1, 61))
        )
    made.detector.put_worker(heartbeat(START, tenant=tenant))


async def page_of(path: str, key: str = OPERATOR_KEY, **state: Any) -> str:
    async with opened() as (whole, made):
        steady(made, **state)
        async with whole.browser(key=key) as browser:
            answer = await browser.get(path)
            assert answer.status_code == 200, answer.text
            return answer.text


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def charts_of(page: str) -> dict[str, Any]:
    """What the script draws, by the chart's name."""
    found = re.findall(
        r'data-chart="([^"]+)".*?<script type="application/json">(.*?)</script>', page, re.DOTALL
    )
    return {name: json.loads(data) for name, data in found}


async def test_an_operator_sees_every_tenants_scores_with_what_they_rest_on() -> None:
    async with opened() as (whole, made):
        steady(made)
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations?format=csv&table=scores")
            acme, zeta = rows_of(answer.text)
            assert (acme["model"], acme["relevance"], acme["n"]) == ("small", "4.5", "60")
            assert (acme["state"], acme["missing"], acme["judge"]) == ("steady", "no", JUDGE.identity)
            assert acme["bertscore_f1"] == ""
            assert (zeta["tenant"], zeta["state"], zeta["relevance"]) == ("zeta", "no scores", "")
            page = (await browser.get("/evaluations")).text
            assert "worker-1" in page
            assert "budget" in page


async def test_means_are_weighted_by_what_each_answer_stands_for() -> None:
    async with opened() as (whole, made):
        series = series_of()
        made.detector.put_statuses("acme", status_of(series, START))
        made.detector.put_minutes(
            series,
            [
                minute(START - timedelta(minutes=3), 5, rate=1.0),
                minute(START - timedelta(minutes=2), 1, rate=0.25),
            ],
        )
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations?format=csv&table=scores")
            assert rows_of(answer.text)[0]["relevance"] == "1.8"


async def test_a_long_time_is_asked_of_metrics_and_says_that_it_is_not_weighted() -> None:
    def values(name: str, _: Any, statistic: str, times: Any) -> list[float | None]:
        return [(3.5 if statistic == "Average" else 700.0) if name == "eval_score" else None for _ in times]

    async with opened(cloudwatch=ScriptedCloudWatch(values)) as (whole, made):
        steady(made)
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations?last=7d&format=csv&table=scores")
            acme = rows_of(answer.text)[0]
            assert (acme["relevance"], acme["n"]) == ("3.5", "700")
            assert made.detector.queries == 0
            assert "not weighted" in (await browser.get("/evaluations?last=7d")).text


async def test_the_overview_makes_few_calls() -> None:
    async with opened() as (whole, made):
        steady(made)
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations?last=24h")
            # Standings, workers, eight days of parked records, and a query a series that begins at midnight.
            assert int(answer.headers["x-aws-calls"]) <= 1 + 1 + 8 + 2 * 4


async def test_a_tenant_is_led_to_its_own_page_and_sees_no_other() -> None:
    async with opened() as (whole, made):
        steady(made)
        steady(made, "zeta")
        async with whole.browser(key=ACME_KEY) as browser:
            answer = await browser.get("/evaluations?last=24h")
            assert answer.status_code == 303
            assert answer.headers["location"] == "/evaluations/acme?last=24h"
            page = (await browser.get("/evaluations/acme")).text
            assert "zeta" not in page
            assert "worker-1" not in page
            for method, path in (("GET", "/evaluations/zeta"), ("POST", "/evaluations/zeta/reasons")):
                assert (await browser.request(method, path)).status_code == 404
        async with whole.browser(key=ZETA_KEY) as browser:
            assert (await browser.get("/evaluations/acme")).status_code == 404
        async with whole.browser(key=OPERATOR_KEY) as browser:
            assert (await browser.get("/evaluations/nobody")).status_code == 404


async def test_the_mean_is_drawn_with_gaps_where_nothing_was_scored() -> None:
    async with opened() as (whole, made):
        series = series_of()
        made.detector.put_statuses("acme", status_of(series, START))
        made.detector.put_minutes(series, [minute(START - timedelta(minutes=back), 3) for back in (30, 5)])
        async with whole.browser(key=OPERATOR_KEY) as browser:
            charts = charts_of((await browser.get("/evaluations/acme?last=1h")).text)
    (line,) = charts["relevance"]["series"]
    assert [value for value in line["values"] if value is not None] == [3.0, 3.0]
    assert charts["relevance"]["thresholds"] == [{"label": "baseline", "value": 4.2, "severity": "info"}]
    assert sum(n or 0 for n in charts["answers"]["series"][0]["values"]) == 2


async def test_a_fall_is_drawn_where_it_began_and_where_it_rang() -> None:
    fall = FallStatus(START - timedelta(minutes=50), START - timedelta(minutes=20), 4.2, 3.1)
    async with opened() as (whole, made):
        series = series_of()
        fallen = status_of(series, START, status="fallen", fall=fall, drop_percent=26.0, dropped=True)
        made.detector.put_statuses("acme", fallen)
        made.detector.put_minutes(series, [minute(START - timedelta(minutes=5), 3)])
        async with whole.browser(key=OPERATOR_KEY) as browser:
            page = (await browser.get("/evaluations/acme?last=1h")).text
            overview = (await browser.get("/evaluations")).text
    chart = charts_of(page)["relevance"]
    marks = {mark["label"]: mark["at"] for mark in chart["marks"]}
    assert marks == {"fell": int(fall.onset.timestamp()), "alarm": int(fall.alarmed_at.timestamp())}
    assert {one["label"]: one["value"] for one in chart["thresholds"]} == {
        "baseline": 4.2,
        "level since the fall": 3.1,
    }
    assert "fallen since 01-31 23:09 UTC" in overview


async def test_scores_of_two_judges_are_two_lines_two_distributions_and_a_mark() -> None:
    old, new = series_of(epoch="0ld0ld0ld0ld0ld0"), series_of()
    change = START - timedelta(minutes=30)
    async with opened() as (whole, made):
        made.detector.put_statuses(
            "acme",
            status_of(old, START, current=False, latest=change - timedelta(minutes=1)),
            status_of(new, START, began=change, status="warming_up", baseline_mean=None, missing_samples=470),
        )
        made.detector.put_minutes(old, [minute(change - timedelta(minutes=back), 5) for back in range(1, 20)])
        made.detector.put_minutes(new, [minute(change + timedelta(minutes=on), 2) for on in range(20)])
        async with whole.browser(key=OPERATOR_KEY) as browser:
            page = (await browser.get("/evaluations/acme?last=1h")).text
    chart = charts_of(page)["relevance"]
    values = {line["label"]: {v for v in line["values"] if v is not None} for line in chart["series"]}
    assert values == {f"mean, judge {JUDGE.identity[:8]}": {2.0}, "mean, judge 0ld0ld0l": {5.0}}
    assert [mark["label"] for mark in chart["marks"]] == [f"new epoch: judge {JUDGE.identity[:8]}"]
    assert page.count('class="chart distribution"') == 2
    assert "lacks 470 samples" in page
    assert chart["thresholds"] == []


async def test_a_distribution_counts_every_answer_once() -> None:
    async with opened() as (whole, made):
        likeness = series_of(dimension=BERTSCORE, epoch="minilm")
        counts = tuple(7 if at == 16 else 0 for at in range(len(BERTSCORE_BINS)))
        at = (START - timedelta(minutes=2)).replace(second=0)
        made.detector.put_statuses("acme", status_of(likeness, START, baseline_mean=0.8))
        made.detector.put_minutes(likeness, [MinuteScores(at, 7, 140.0, 115.5, 95.3, counts)])
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations/acme?format=csv&table=distribution-bertscore_f1-minilm")
            rows = rows_of(answer.text)
    assert len(rows) == 20
    assert [(row["score"], row["answers"], row["share"]) for row in rows if row["answers"] != "0"] == [
        ("0.80–0.85", "7", "1.0")
    ]


async def test_last_week_is_compared_on_demand() -> None:
    async with opened() as (whole, made):
        series = series_of()
        made.detector.put_statuses("acme", status_of(series, START))
        made.detector.put_minutes(
            series,
            [minute(START - timedelta(minutes=5), 3), minute(START - timedelta(days=7, minutes=5), 5)],
        )
        async with whole.browser(key=OPERATOR_KEY) as browser:
            page = (await browser.get("/evaluations/acme?last=1h&compare=week")).text
            answer = await browser.get("/evaluations/acme?last=1h&compare=week&format=csv&table=standing")
    assert rows_of(answer.text)[0]["before"] == "5.0"
    now, before = charts_of(page)["relevance"]["series"]
    assert before["week_before"]
    assert [at for at, value in enumerate(now["values"]) if value] == [
        at for at, value in enumerate(before["values"]) if value
    ]


async def test_too_long_a_time_is_shortened_and_says_from_when_on_it_is_shown() -> None:
    async with opened() as (whole, made):
        made.detector.put_statuses(
            "acme", *(status_of(one, START, began=START - timedelta(days=80)) for one in all_series())
        )
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations/acme?last=30d")
            assert "too many minutes to read" in answer.text
            assert int(answer.headers["x-aws-calls"]) < 100
            assert (
                "too many minutes"
                not in (await browser.get("/evaluations/acme?last=30d&dimension=relevance")).text
            )


def judged(number: int, **fields: Any) -> Any:
    event = make_event(number, completed_at=START - timedelta(minutes=number), model_id="small")
    reasons = {"relevance": f"It says {HOSTILE}.", "absence_of_hallucination": f"It says {HOSTILE}."}
    return make_result(event, content=EvalContent(prompt="?", completion="!", reasons=reasons), **fields)


async def test_the_worst_answers_come_first_and_lead_to_their_traces() -> None:
    async with opened() as (whole, made):
        steady(made)
        made.account.tables.put_result(
            judged(1, scores={"relevance": 5, "coherence": 4}),
            judged(2, scores={"relevance": 1, "coherence": 4}),
            judged(3, scores={"relevance": 3, "coherence": 3}),
        )
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get("/evaluations/acme?format=csv&table=worst")
            page = (await browser.get("/evaluations/acme")).text
    rows = rows_of(answer.text)
    assert [row["relevance"] for row in rows] == ["1", "3", "5"]
    assert f'href="/traces/{make_event(2).trace_id}"' in page
    assert "It says" not in page
    assert JUDGE.model_id in page
    assert "score=2" in page


async def test_reasons_are_shown_on_demand_as_text_and_the_reading_is_written_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened() as (whole, made):
        steady(made)
        made.account.tables.put_result(judged(1), judged(2))
        async with whole.browser() as browser:
            await sign_in(browser, OPERATOR_KEY)
            page = (await browser.get("/evaluations/acme")).text
            token = hidden(page, "csrf_token")
            with caplog.at_level(logging.INFO):
                answer = await browser.post("/evaluations/acme/reasons", data={"csrf_token": token})
            assert "It says &lt;script&gt;" in answer.text
            assert "<script>alert" not in answer.text
            again = await browser.get("/evaluations/acme/reasons?last=1h")
            assert again.headers["location"] == "/evaluations/acme?last=1h"
            assert (await browser.post("/evaluations/acme/reasons")).status_code == 403
    read = [record for record in caplog.records if record.message == "content_read"]
    assert {record.__dict__["trace_id"] for record in read} == {make_event(n).trace_id for n in (1, 2)}
    assert HOSTILE not in caplog.text


async def test_reasons_are_content_and_go_by_its_rule() -> None:
    async with opened() as (whole, made):
        steady(made)
        made.account.tables.put_result(judged(1))
        async with whole.browser(key=BILLING_KEY) as browser:
            answer = await browser.post("/evaluations/acme/reasons")
            assert "It says" not in answer.text
            assert "your role reads none" in answer.text
        whole.put_tenant("acme", ACME_KEY, content_mode=ContentMode.HASH_ONLY)
        async with whole.browser(key=OPERATOR_KEY) as browser:
            assert "It says" not in (await browser.post("/evaluations/acme/reasons")).text


@pytest.mark.parametrize(
    ("policy", "workers", "said"),
    [
        ({"content_mode": "hash_only"}, 1, "hash_only"),
        ({"eval_sample_rate": 0}, 1, "sample rate is 0"),
        ({}, 0, "No worker was heard of within two days"),
        ({}, 1, "Nothing was scored yet"),
    ],
)
async def test_without_scores_it_is_said_why(policy: dict[str, Any], workers: int, said: str) -> None:
    async with opened() as (whole, made):
        whole.put_tenant("acme", ACME_KEY, **policy)
        made.detector.put_worker(*[heartbeat(START)] * workers)
        async with whole.browser(key=ACME_KEY) as browser:
            answer = await browser.get("/evaluations/acme")
            assert answer.status_code == 200
            assert said in answer.text


async def test_missing_scores_name_the_stage_and_what_happened_last() -> None:
    async with opened() as (whole, made):
        steady(made)
        made.detector.put_statuses(
            "acme", status_of(series_of(), START), look=Look(START, "judge", START - timedelta(minutes=4))
        )
        async with whole.browser(key=OPERATOR_KEY) as browser:
            page = (await browser.get("/evaluations/acme")).text
            assert "<strong>judge</strong>" in page
            assert "2026-01-31T21:59:30Z" in page  # scored two hours ago
            rows = rows_of((await browser.get("/evaluations?format=csv&table=scores")).text)
            assert rows[0]["missing"] == "judge"


async def test_a_drift_job_that_does_not_look_is_said() -> None:
    async with opened() as (whole, made):
        old = START - timedelta(minutes=20)
        made.detector.put_statuses("acme", status_of(series_of(), START), look=Look(old))
        async with whole.browser(key=OPERATOR_KEY) as browser:
            for path in ("/evaluations", "/evaluations/acme"):
                assert "stale since" in (await browser.get(path)).text


@pytest.mark.parametrize(
    ("fails", "path", "said"),
    [
        ("standing", "/evaluations", "How scores stand cannot be read"),
        ("workers", "/evaluations", "What workers say cannot be read"),
        ("minutes", "/evaluations", "Means of scores cannot be read"),
        ("standing", "/evaluations/acme", "How scores stand cannot be read"),
        ("minutes", "/evaluations/acme", "Scores over time cannot be read"),
    ],
)
async def test_what_cannot_be_read_takes_nothing_else_with_it(fails: str, path: str, said: str) -> None:
    async with opened() as (whole, made):
        steady(made)
        made.detector.fails.add(fails)
        async with whole.browser(key=OPERATOR_KEY) as browser:
            answer = await browser.get(path)
            assert answer.status_code == 200
            assert said in answer.text


async def test_parked_records_are_counted_by_day_and_reason() -> None:
    async with opened() as (whole, made):
        for number in range(1_100):
            made.bucket.keys[f"parked/date=2026-01-31/reason=undecodable/s-{number:05d}.json"] = START
        made.bucket.keys["parked/date=2026-01-30/reason=judge_failed/s-1.json"] = START
        async with whole.browser(key=OPERATOR_KEY) as browser:
            rows = rows_of((await browser.get("/evaluations?format=csv&table=parked")).text)
            assert [(row["day"], row["reason"], row["records"]) for row in rows] == [
                ("2026-01-31", "undecodable", "1000"),
                ("2026-01-30", "judge_failed", "1"),
            ]
            assert "at least" in (await browser.get("/evaluations")).text


async def test_labels_that_look_like_html_are_text() -> None:
    async with opened() as (whole, made):
        series = series_of(epoch="<b>x")
        made.detector.put_statuses("acme", status_of(series, START))
        made.detector.put_minutes(series, [minute(START - timedelta(minutes=5), 3)])
        async with whole.browser(key=OPERATOR_KEY) as browser:
            for path in ("/evaluations", "/evaluations/acme", f"/evaluations/acme?model={HOSTILE}"):
                page = (await browser.get(path)).text
                assert "<b>x" not in page
                assert "<script>alert" not in page
            assert (await browser.get("/evaluations/acme?dimension=beauty")).status_code == 400
