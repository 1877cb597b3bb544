"""The pages of one request's life, in process: who sees what, and what is said when something is missing."""

import asyncio
import base64
import csv
import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from corpus.eval_results import TENANT_KEY, make_event, make_result
from harness.console import ACME_KEY, BILLING_KEY, OPERATOR_KEY, ZETA_KEY, Console, console, hidden, sign_in
from harness.ledger_table import Account, account, make_call
from llmplatform import ids
from llmplatform.aws.envelope import KeyUnavailable
from llmplatform.aws.eval_content import ContentReader
from llmplatform.aws.tables import EVAL_RESULTS, REQUEST_LEDGER
from llmplatform.evaluations import EvalContent, encode_content, encode_result
from llmplatform.invocation import InvocationRecord, Outcome
from llmplatform.policy import ContentMode
from llmplatform.samples import Envelope
from llmplatform.testing import FakeClock, make_record
from llmplatform.tracecontext import TraceContext
from llmplatform.usage import TokenUsage
from watch.console.links import DEBUG_BOARD, Links
from watch.console.pages import requests, traces
from watch.reading.traces import AROUND

HOSTILE = "<script>alert(1)</script>\"'&"
SAID = "the moon is made of cheese"


@asynccontextmanager
async def opened(**parts: Any) -> AsyncIterator[tuple[Console, Account]]:
    clock = FakeClock()
    made_account = account(clock)
    given = {"clock": clock, "lives": made_account.readers, "links": Links("us-east-1"), **parts}
    async with console(pages=(requests.routes, traces.routes), parts=given) as made:
        yield made, made_account


def record(number: int, clock: Any, **fields: Any) -> InvocationRecord:
    """A request that ended `number` seconds ago, under a trace of its own."""
    completed_at = clock.now() - timedelta(seconds=number)
    received_at = completed_at - timedelta(milliseconds=1_500)
    made = {
        "request_id": ids.request_id(int(received_at.timestamp() * 1_000), number.to_bytes(10, "big")),
        "trace": TraceContext(f"{number:032x}", "00f067aa0ba902b7", None, "minted"),
        "received_at": received_at,
        "completed_at": completed_at,
        "attempts": (make_call(5, 1_490, usage=TokenUsage(input_tokens=12, output_tokens=34)),),
        "gateway_overhead_ms": 5.0,
    }
    return make_record(**{**made, **fields})


def path_of(record: InvocationRecord) -> str:
    return f"/traces/{ids.as_uuid(record.trace.trace_id)}"


def evaluated(record: InvocationRecord, **fields: Any) -> Any:
    event = make_event(
        request_id=record.request_id,
        trace_id=ids.as_uuid(record.trace.trace_id),
        tenant_id=record.tenant_id,
        completed_at=record.completed_at,
    )
    content = EvalContent(prompt=f"user: {SAID}?", completion=SAID, reasons={"relevance": f"It says {SAID}."})
    return make_result(event, **{"content": content, **fields})


def segment(id_: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "name": id_, "start_time": 1.0, "end_time": 2.0, **fields}


async def table_of(browser: httpx.AsyncClient, query: str = "") -> list[dict[str, str]]:
    answer = await browser.get(f"/requests?format=csv&{query}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_requests_are_listed_newest_first_with_what_they_cost_and_whose_they_are() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        aws.tables.put(*(record(n, made.clock, tenant_id="acme" if n % 2 else "zeta") for n in (70, 3, 40)))
        listed = await table_of(browser)
        assert [row["tenant"] for row in listed] == ["acme", "zeta", "zeta"]
        assert [row["input"] for row in listed] == ["12", "12", "12"]
        assert listed[0]["cost"] == ""  # its model has no price: unknown, not nothing


async def test_a_tenant_sees_its_own_requests_alone_whatever_it_asks_for() -> None:
    async with opened() as (made, aws), made.browser(key=ZETA_KEY) as browser:
        aws.tables.put(record(3, made.clock), record(4, made.clock, tenant_id="zeta"))
        assert {row["tenant"] for row in await table_of(browser)} == {"zeta"}
        assert (await browser.get("/requests?tenant=acme")).status_code == 404
        assert (await browser.get("/requests/tail?after=2026-01-01T00:00Z&tenant=acme")).status_code == 404
        tail = await browser.get("/requests/tail?after=2026-01-31T23:00Z")
        assert tail.text.count("data-request=") == 1


async def test_a_tenant_is_offered_the_models_that_it_may_use() -> None:
    async with opened() as (made, _):
        made.put_tenant("zeta", ZETA_KEY, allowed_models=frozenset({"nova-2-lite"}))
        for key, offered in ((ZETA_KEY, False), (ACME_KEY, True), (OPERATOR_KEY, True)):
            async with made.browser(key=key) as browser:
                page = (await browser.get("/requests")).text
                assert '<option value="nova-2-lite">' in page
                assert ('<option value="llama-3-8b-support">' in page) == offered


async def test_every_filter_is_heeded_and_kept_in_the_form() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        aws.tables.put(
            record(1, made.clock),
            record(2, made.clock, outcome=Outcome.REFUSED, error_code="budget_spent", model_id=None),
            record(3, made.clock, total_latency_ms=61_000.0),
        )
        assert len(await table_of(browser, "outcome=refused")) == 1
        assert len(await table_of(browser, "error=budget_spent")) == 1
        assert [row["total"] for row in await table_of(browser, "slow=1")] == ["61000.0"]
        assert await table_of(browser, "model=large") == []
        page = await browser.get("/requests?error=budget_spent&outcome=refused")
        assert 'value="budget_spent"' in page.text
        assert '<option value="refused" selected>' in page.text
        link = page.text.partition("Link to this time")[0].rpartition("<a href=")[2]
        assert "error=budget_spent&amp;outcome=refused&amp;from=2026-01-31T" in link
        assert (await browser.get("/requests?outcome=fine")).status_code == 400


async def test_pages_follow_one_another_without_a_gap_or_a_repetition() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        rows = [record(n * 97, made.clock, tenant_id="acme" if n % 3 else "zeta") for n in range(1, 131)]
        aws.tables.put(*rows)
        seen: list[str] = []
        query = "last=24h"
        for _ in range(5):
            page = await browser.get(f"/requests?{query}")
            seen += [row["trace"] for row in await table_of(browser, query)]
            following = page.text.partition('rel="next" href="')[2].partition('"')[0]
            if not following:
                break
            query = following.partition("?")[2].replace("&amp;", "&")
        assert seen == [ids.as_uuid(row.trace.trace_id) for row in rows]


async def test_low_scores_are_found_by_their_dimension() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        bad, good = record(3, made.clock, sampled=True), record(4, made.clock, sampled=True)
        aws.tables.put(bad, good)
        aws.tables.put_result(
            evaluated(bad, scores={"relevance": 1, "coherence": 5}),
            evaluated(good, scores={"relevance": 5, "coherence": 2}),
        )
        found = await table_of(browser, "score=2&dimension=relevance")
        assert [(row["trace"], row["score"]) for row in found] == [(ids.as_uuid(bad.trace.trace_id), "1")]
        assert len(await table_of(browser, "score=2")) == 2
        assert [row["score"] for row in await table_of(browser)] == ["1", "2"]


async def test_the_tail_brings_what_has_ended_since_and_not_what_is_an_hour_old() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        aws.tables.put(record(5, made.clock), record(300, made.clock))
        since = (made.clock.now() - timedelta(seconds=10)).isoformat().replace("+00:00", "Z")
        tail = await browser.get(f"/requests/tail?after={since}")
        assert tail.text.count("data-request=") == 1
        assert tail.headers["x-tail-after"] == "2026-01-31T23:59:25Z"
        assert (await browser.get("/requests/tail")).status_code == 400
        assert (await browser.get("/requests/tail?after=0001-01-01T00:00Z")).status_code == 200


@pytest.mark.parametrize("form", ["{uuid}", "{hex}", "{xray}", "chatcmpl-{request}", "{request}", " {UUID} "])
async def test_a_trace_is_found_by_any_id_that_an_answer_gives(form: str) -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, made.clock)
        aws.tables.put(one)
        trace_id = one.trace.trace_id
        text = form.format(
            uuid=ids.as_uuid(trace_id),
            UUID=ids.as_uuid(trace_id).upper(),
            hex=trace_id,
            xray=ids.as_xray(trace_id),
            request=one.request_id,
        )
        page = await browser.get("/requests", params={"q": text}, follow_redirects=True)
        assert page.status_code == 200
        assert str(page.url.path) == path_of(one)


async def test_what_is_no_id_is_said_to_be_none() -> None:
    async with opened() as (made, _), made.browser(key=OPERATOR_KEY) as browser:
        page = await browser.get("/requests?q=hello")
        assert "That is no id" in page.text
        missing = await browser.get("/traces/hello")
        assert missing.status_code == 404
        assert "is no id" in missing.text


async def test_a_trace_that_is_another_tenants_is_as_one_that_is_not_there() -> None:
    async with opened() as (made, aws), made.browser(key=ZETA_KEY) as browser:
        one = record(3, made.clock, sampled=True)
        aws.tables.put(one)
        aws.tables.put_result(evaluated(one))
        theirs = await browser.get(path_of(one))
        never = await browser.get(f"/traces/{ids.as_uuid('f' * 32)}")
        assert theirs.status_code == never.status_code == 404
        assert "90 days" in theirs.text
        by_request = await browser.get(f"/traces/{one.request_id}")
        assert by_request.status_code == 404
        assert (await browser.post(f"{path_of(one)}/content")).status_code == 404
        assert "acme" not in theirs.text + by_request.text


async def test_of_a_shared_trace_a_tenant_sees_its_part_as_if_it_were_all() -> None:
    async with opened() as (made, aws):
        mine = record(3, made.clock, trace_kept="slow")
        other = record(4, made.clock, tenant_id="zeta", trace=mine.trace, trace_kept="slow")
        aws.tables.put(mine, other)
        aws.spans.documents[mine.trace.trace_id] = [
            segment("a", name="of zeta", annotations={"tenant.id": "zeta"}),
            segment("b", name="called by zeta", parent_id="a"),
            segment("c", name="of acme", parent_id="b", annotations={"tenant.id": "acme"}),
            segment("d", name="called by acme", parent_id="c"),
        ]
        aws.log.lines = [
            f'{{"tenant_id":"{tenant}","trace_id":"{ids.as_uuid(mine.trace.trace_id)}"}}'
            for tenant in ("acme", "zeta")
        ]
        async with made.browser(key=ACME_KEY) as browser:
            page = (await browser.get(f"{path_of(mine)}?log=1")).text
            assert mine.request_id in page
            assert other.request_id not in page
            assert "zeta" not in page
            assert "called by acme" in page
            assert page.count("{&#34;tenant_id&#34;") == 1
        async with made.browser(key=OPERATOR_KEY) as browser:
            page = (await browser.get(f"{path_of(mine)}?log=1")).text
            assert other.request_id in page
            assert "called by zeta" in page
            assert page.count("{&#34;tenant_id&#34;") == 2


async def test_a_trace_tells_its_calls_its_time_and_its_tokens() -> None:
    async with opened() as (made, aws), made.browser(key=ACME_KEY) as browser:
        usage = TokenUsage(input_tokens=1_000, output_tokens=500)
        one = record(
            3,
            made.clock,
            attempts=(
                make_call(
                    2,
                    30,
                    outcome=Outcome.BACKEND_FAILED,
                    error_code="backend_throttled",
                    error_type="Throttling",
                ),
                make_call(50, 1_440, reason="fallback", model_id="large", usage=usage),
            ),
            model_id="large",
            time_to_first_token_ms=300.0,
            first_token_delivered_ms=301.0,
            gateway_overhead_ms=2.0,
        )
        aws.tables.put(one)
        page = (await browser.get(path_of(one))).text
        for said in (
            "fallback",
            "Throttling",
            "Call 1: failed",
            "Gateway, between calls",
            "1,500.0",
            "style=",
        ):
            assert (said in page) is (said != "style=")
        assert "Not chosen for evaluation" in page
        assert "https://us-east-1.console.aws.amazon.com/xray/home?region=us-east-1#/traces/1-" in page
        tokens = await browser.get(f"{path_of(one)}?format=csv&table=tokens-1")
        rows = list(csv.DictReader(io.StringIO(tokens.text)))
        assert [(row["class"], row["tokens"]) for row in rows if row["call"] == "2"] == [
            ("input", "1000"),
            ("output", "500"),
        ]


@pytest.mark.parametrize("failing", ["spans", "scores"])
async def test_a_source_that_fails_costs_its_own_part_alone(failing: str) -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, made.clock, sampled=True, trace_kept="evaluated")
        aws.tables.put(one)
        aws.spans.fails = failing == "spans"
        aws.tables.fails = EVAL_RESULTS.name if failing == "scores" else None
        page = await browser.get(path_of(one))
        assert page.status_code == 200
        assert one.request_id in page.text
        assert ("X-Ray cannot be read now" in page.text) is (failing == "spans")
        assert ("Scores cannot be read now" in page.text) is (failing == "scores")


async def test_without_the_ledger_there_is_no_page() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        aws.tables.fails = REQUEST_LEDGER.name
        assert (await browser.get("/requests")).status_code == 503
        assert (await browser.get(f"/traces/{ids.as_uuid('f' * 32)}")).status_code == 503


async def test_what_was_said_is_shown_on_request_alone_and_each_reading_leaves_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "watch.console")
    async with opened() as (made, aws), made.browser() as browser:
        one = record(3, made.clock, sampled=True)
        aws.tables.put(one)
        aws.tables.put_result(evaluated(one))
        await sign_in(browser, ACME_KEY)
        page = await browser.get(path_of(one))
        assert SAID not in page.text
        assert "never calibrated" in page.text
        assert not [line for line in caplog.records if line.message == "content_read"]
        refused = await browser.post(f"{path_of(one)}/content")
        assert refused.status_code == 403
        shown = await browser.post(
            f"{path_of(one)}/content", data={"csrf_token": hidden(page.text, "csrf_token")}
        )
        assert shown.text.count(SAID) == 3
        (line,) = [line for line in caplog.records if line.message == "content_read"]
        assert (line.__dict__["tenant_id"], line.__dict__["trace_id"]) == (
            "acme",
            ids.as_uuid(one.trace.trace_id),
        )
        assert SAID not in caplog.text


@pytest.mark.parametrize(
    ("key", "mode", "said"),
    [
        (BILLING_KEY, ContentMode.FULL, "your role reads none"),
        (OPERATOR_KEY, ContentMode.HASH_ONLY, "not kept by policy (hash_only)"),
        (ACME_KEY, ContentMode.HASH_ONLY, "not kept by policy (hash_only)"),
    ],
)
async def test_where_policy_or_role_forbid_it_nothing_that_was_said_is_shown(
    key: str, mode: ContentMode, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watch.console")
    async with opened() as (made, aws), made.browser(key=key) as browser:
        made.put_tenant("acme", ACME_KEY, content_mode=mode)
        one = record(3, made.clock, sampled=True)
        aws.tables.put(one)
        aws.tables.put_result(evaluated(one))
        page = await browser.get(path_of(one))
        assert said in page.text
        assert "Show what was said" not in page.text
        forced = await browser.post(f"{path_of(one)}/content")
        assert SAID not in page.text + forced.text
        assert not [line for line in caplog.records if line.message == "content_read"]


class Keys:
    """A tenant's key as KMS lets it be used."""

    def __init__(self, refusal: str | None) -> None:
        self._refusal = refusal

    async def open(self, ciphertext: bytes, *, kms_key: str, tenant_id: str, request_id: str) -> bytes:
        """What was sealed for this tenant, or KMS's refusal."""
        assert (kms_key, tenant_id) == (TENANT_KEY, "acme")
        assert request_id
        if self._refusal is not None:
            raise KeyUnavailable(self._refusal)
        return ciphertext


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (None, SAID),
        ("KMSInvalidStateException", "erased: under the tenant&#39;s key"),
        ("AccessDeniedException", "not readable with your permissions"),
    ],
)
async def test_content_under_a_tenants_key_is_opened_with_it_or_said_to_be_gone(
    refusal: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watch.console")
    keys: Any = Keys(refusal)
    clock = FakeClock()
    aws = account(clock, content=ContentReader(lambda: keys))
    parts = {"clock": clock, "lives": aws.readers}
    async with opened(**parts) as (made, _), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, clock, sampled=True)
        aws.tables.put(one)
        content = encode_content(EvalContent(prompt="user: ?", completion=SAID), 10_000)
        sealed = Envelope(TENANT_KEY, base64.b64encode(content).decode())
        row = encode_result(evaluated(one, content=sealed))
        row["enc"] = {"B": base64.b64decode(row["enc"]["B"])}  # as an SDK gives it
        aws.tables.results.append(row)
        first = await browser.get(path_of(one))
        assert SAID not in first.text
        shown = await browser.post(f"{path_of(one)}/content")
        assert said in shown.text
        lines = [line for line in caplog.records if line.message == "content_read"]
        assert len(lines) == (refusal is None)


async def test_a_key_service_that_hangs_holds_up_neither_the_page_nor_one_text_after_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watch.console")
    monkeypatch.setattr(traces, "_OPENED_WITHIN_S", 0.02)

    class Hanging:
        async def said(self, *_: Any) -> Any:
            await asyncio.Event().wait()

    clock = FakeClock()
    content: Any = Hanging()
    aws = account(clock, content=content)
    async with opened(clock=clock, lives=aws.readers) as (made, _), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, clock, sampled=True)
        aws.tables.put(one)
        for minute in range(5):
            aws.tables.put_result(evaluated(one, judged_at=clock.now() + timedelta(minutes=minute)))
        shown = await browser.post(f"{path_of(one)}/content")
    assert shown.status_code == 200
    assert "KMS does not answer in time" in shown.text
    assert not [line for line in caplog.records if line.message == "content_read"]


async def test_scores_that_were_not_read_are_not_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        scored, waiting = record(3, made.clock, sampled=True), record(3, made.clock, sampled=True)
        waiting = replace(waiting, request_id=record(2, made.clock).request_id)
        aws.tables.put(scored, waiting)
        aws.tables.put_result(evaluated(scored))
        assert "and not scored" in (await browser.get(path_of(scored))).text
        monkeypatch.setattr(traces, "MOST_OF_TRACE", 1)
        page = (await browser.get(path_of(scored))).text
        assert "and not scored" not in page
        assert "more scores than are read at once" in page


async def test_the_address_of_what_was_said_shows_it_no_more_when_loaded_again() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, made.clock)
        aws.tables.put(one)
        again = await browser.get(f"{path_of(one)}/content?format=csv&table=calls-1")
        assert (again.status_code, again.headers["location"]) == (
            303,
            f"{path_of(one)}?format=csv&table=calls-1",
        )


async def test_the_log_is_asked_on_demand_alone_for_it_costs_by_what_it_reads() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, made.clock)
        aws.tables.put(one)
        await browser.get(path_of(one))
        assert aws.log.queries == []
        page = await browser.get(f"{path_of(one)}?log=1")
        assert "The log has no line of this trace." in page.text
        assert len(aws.log.queries) == 1


async def test_there_is_no_way_to_a_console_of_aws_where_aws_is_not_aws() -> None:
    links = Links("us-east-1", on_aws=False, grafana_url="https://grafana.example/")
    async with opened(links=links) as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        one = record(3, made.clock)
        aws.tables.put(one)
        page = (await browser.get(path_of(one))).text
        assert "console.aws.amazon.com" not in page
        assert f"https://grafana.example/d/{DEBUG_BOARD}?var-trace_id=00000000-" in page


async def test_hostile_text_in_every_field_is_text() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        one = record(
            3,
            made.clock,
            sampled=True,
            trace_kept=HOSTILE,
            error_code=HOSTILE,
            model_id=HOSTILE,
            requested_model_id=HOSTILE,
            backend_model_id=HOSTILE,
            endpoint_name=HOSTILE,
            route_reason=HOSTILE,
            finish_reason=HOSTILE,
            sample_reason=HOSTILE,
            surface=HOSTILE,
            attempts=(
                make_call(1, 10, model_id=HOSTILE, error_type=HOSTILE, price_key=HOSTILE, reason=HOSTILE),
            ),
        )
        aws.tables.put(one)
        content = EvalContent(prompt=HOSTILE, completion=HOSTILE, reasons={"relevance": HOSTILE})
        aws.tables.put_result(evaluated(one, content=content))
        aws.spans.documents[one.trace.trace_id] = [
            {"id": "a", "name": HOSTILE, "start_time": 1.0, "end_time": 2.0}
        ]
        aws.log.lines = [f"{HOSTILE} {ids.as_uuid(one.trace.trace_id)}"]
        pages = [
            await browser.get("/requests", params={"error": HOSTILE, "q": HOSTILE}),
            await browser.get("/requests"),
            await browser.get(f"{path_of(one)}?log=1"),
            await browser.post(f"{path_of(one)}/content"),
            await browser.get(f"/traces/{HOSTILE.replace('/', '')}"),
            await browser.get("/requests/tail?after=2026-01-31T23:59Z"),
        ]
        for page in pages:
            assert page.status_code in {200, 404}
            assert "<script>alert" not in page.text
            assert "alert(1)" in page.text


async def test_a_page_of_a_trace_asks_two_tables_and_x_ray_only_for_spans_that_were_kept() -> None:
    async with opened() as (made, aws), made.browser(key=OPERATOR_KEY) as browser:
        lost, kept = record(3, made.clock), record(4, made.clock, trace_kept="failed")
        aws.tables.put(lost, kept)
        assert "Not kept" in (await browser.get(path_of(lost))).text
        assert (aws.tables.calls, aws.spans.retrievals) == (["Query", "Query"], [])
        assert "Kept, but X-Ray has none of them yet" in (await browser.get(path_of(kept))).text
        (asked,) = aws.spans.retrievals
        assert asked["TraceIds"] == [ids.as_xray(kept.trace.trace_id)]
        assert asked["StartTime"] == kept.received_at - AROUND
        assert asked["EndTime"] == made.clock.now() + timedelta(seconds=1)
