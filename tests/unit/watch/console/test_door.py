"""Who comes in, and what of it all they see: forged, expired and revoked credentials stay outside."""

import base64
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, Request, Response
from jinja2 import ChoiceLoader, DictLoader

from harness.console import (
    ACME_KEY,
    BILLING_KEY,
    OPERATOR_KEY,
    ZETA_KEY,
    Console,
    console,
    hidden,
    sign_in,
)
from llmplatform import apikeys
from llmplatform.testing import make_policy
from watch.console import rendering
from watch.console.observe import CONTENT_SECURITY_POLICY, log_content_read
from watch.console.pages.asking import Asked, SignedIn
from watch.console.parts import ConsoleParts
from watch.console.rendering import as_csv, page
from watch.console.tables import Column, Row, Table

TENANTS = """{% extends "layout.html" %}{% from "macros/tables.html" import table with context %}
{% block content %}{{ table(tenants) }}{% endblock %}"""


@pytest.fixture(autouse=True, scope="module")
def _template() -> Iterator[None]:
    environment = rendering.environment()
    before = environment.loader
    assert before is not None
    environment.loader = ChoiceLoader([DictLoader({"tenants.html": TENANTS}), before])
    yield
    environment.loader = before


def pages(parts: ConsoleParts) -> APIRouter:
    """Pages as others write them: one of a tenant, one that changes something, one that breaks."""
    router = APIRouter()

    @router.get("/")
    async def tenants(request: Request, viewer: SignedIn, range_: Asked) -> Response:
        seen = [policy for policy in parts.policies.policies() if viewer.may_see(policy.tenant_id)]
        rows: list[Row] = [{"tenant": one.tenant_id, "name": one.display_name} for one in seen]
        columns = (Column("tenant", "Tenant"), Column("name", "Name"))
        table = Table(caption="Tenants", columns=columns, rows=rows).sorted_as(request.query_params)
        if (file := as_csv(request, table)) is not None:
            return file
        return page(request, "tenants.html", viewer=viewer, title="Tenants", range=range_, tenants=table)

    @router.get("/proof/{tenant_id}")
    async def tenant(tenant_id: str, viewer: SignedIn) -> Response:
        viewer.check_sees(tenant_id)
        return Response(f"page of {tenant_id}")

    @router.get("/content/{tenant_id}")
    async def content(request: Request, tenant_id: str, viewer: SignedIn) -> Response:
        if viewer.may_read_content(parts.policies.policy_of(tenant_id)):
            log_content_read(request, tenant_id, "4bf92f3577b34da6a3ce929d0e0e4736")
            return Response("content")
        return Response("withheld")

    @router.post("/change")
    async def change(viewer: SignedIn) -> Response:
        return Response(f"changed by {viewer.role}")

    @router.get("/broken")
    async def broken() -> Response:
        raise ValueError("a prompt of acme's")

    return router


@pytest_asyncio.fixture
async def made() -> AsyncIterator[Console]:
    async with console(pages=(pages,)) as whole:
        yield whole


async def test_a_person_is_led_to_the_login_page_and_back(made: Console) -> None:
    async with made.browser() as browser:
        sent_away = await browser.get("/proof/acme?last=1h")
        assert (sent_away.status_code, sent_away.headers["location"]) == (
            303,
            "/login?next=/proof/acme%3Flast%3D1h",
        )
        back = await sign_in(browser, OPERATOR_KEY, next_path="/proof/acme?last=1h")
        assert (back.status_code, back.headers["location"]) == (303, "/proof/acme?last=1h")
        assert (await browser.get("/proof/acme")).text == "page of acme"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "//[",
        "http://[",
        "evil",
    ],
)
async def test_nobody_is_led_elsewhere(made: Console, elsewhere: str) -> None:
    async with made.browser() as browser:
        assert (await sign_in(browser, OPERATOR_KEY, next_path=elsewhere)).headers["location"] == "/"


async def test_the_session_holds_no_key_and_no_script_reads_it(made: Console) -> None:
    async with made.browser() as browser:
        cookie = (await sign_in(browser, ACME_KEY)).headers["set-cookie"]
    assert "HttpOnly" in cookie
    # An alarm's message is read on another site, and its link must not end at the login page.
    assert "samesite=lax" in cookie.lower()
    body = cookie.partition("=")[2].partition(".")[0]
    assert ACME_KEY.rpartition("_")[2] not in base64.urlsafe_b64decode(body + "==").decode()


async def test_a_tenant_sees_itself_and_of_others_not_that_they_exist(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, ACME_KEY)
        assert (await browser.get("/proof/acme")).status_code == 200
        other, nobody = await browser.get("/proof/zeta"), await browser.get("/proof/nobody")
        assert (other.status_code, nobody.status_code) == (404, 404)
        ids = (other.headers["x-request-id"], nobody.headers["x-request-id"])
        assert other.text.replace(ids[0], "") == nobody.text.replace(ids[1], "")
        assert "zeta" not in (await browser.get("/")).text
        assert "zeta" not in (await browser.get("/?format=csv")).text


async def test_the_roles_see_all_tenants(made: Console) -> None:
    for key in (OPERATOR_KEY, BILLING_KEY):
        async with made.browser(key=key) as script:
            assert (await script.get("/?format=csv")).text.count("\r\n") == 3


@pytest.mark.parametrize("scheme", ["Basic", "bearer "])
async def test_a_wrong_credential_is_refused_though_a_session_would_hold(made: Console, scheme: str) -> None:
    async with made.browser() as browser:
        await sign_in(browser, OPERATOR_KEY)
        answer = await browser.get("/proof/acme", headers={"authorization": f"{scheme} x", "accept": "*/*"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_forged_cookie_opens_nothing(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, ACME_KEY)
        name, value = next(iter(browser.cookies.items()))
        (name, value) = next((n, v) for n, v in browser.cookies.items() if n.startswith("watch_session"))
    body, _, mac = value.partition(".")
    as_operator = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(body + "==").replace(b'"tenant"', b'"operator"')
    ).decode()
    forgeries = [
        f"{as_operator.rstrip('=')}.{mac}",
        f"{body}.",
        f"{body}.{mac[:-2]}xx",
        "",
        ".",
        "é.é",
        f".{mac}",
    ]
    for forged in forgeries:
        async with made.browser() as browser:
            headers = [(b"cookie", f"{name}={forged}".encode("latin-1"))]
            answer = await browser.get("/proof/acme", headers=headers)
            assert answer.status_code == 303, forged


async def test_a_session_expires(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, OPERATOR_KEY)
        made.clock.advance(s=12 * 3_600 - 1)
        assert (await browser.get("/proof/acme")).status_code == 200
        made.clock.advance(s=1)
        assert (await browser.get("/proof/acme")).status_code == 303


async def test_a_session_ends_with_its_key(made: Console) -> None:
    async with made.browser() as operator, made.browser() as tenant:
        await sign_in(operator, OPERATOR_KEY)
        await sign_in(tenant, ACME_KEY)
        made.put_roles(billing=BILLING_KEY)
        await made.access.refresh()
        made.put_tenant("acme", apikeys.mint(make_policy("acme").tenant_id, bytes(32)))
        assert (await operator.get("/proof/acme")).status_code == 303
        assert (await tenant.get("/proof/acme")).status_code == 303


async def test_a_session_does_not_outlive_a_key_that_expires(made: Console) -> None:
    made.put_tenant("acme", ACME_KEY, expires_in=timedelta(minutes=5))
    async with made.browser() as tenant:
        await sign_in(tenant, ACME_KEY)
        made.clock.advance(s=301)
        assert (await tenant.get("/proof/acme")).status_code == 303


async def test_a_store_that_was_never_read_ends_no_session_and_shows_no_empty_platform(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, OPERATOR_KEY)
        made.policies.age_s = None
        answer = await browser.get("/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "tenants are not loaded yet" in answer.text
        assert "set-cookie" not in answer.headers
        made.policies.age_s = 0.0
        assert (await browser.get("/")).status_code == 200


async def test_signing_out_ends_it(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, OPERATOR_KEY)
        token = hidden((await browser.get("/")).text, "csrf_token")
        assert (await browser.post("/logout", data={"csrf_token": token})).headers["location"] == "/login"
        assert (await browser.get("/proof/acme")).status_code == 303


async def test_a_change_needs_the_sessions_own_token(made: Console) -> None:
    async with made.browser() as acme, made.browser() as operator:
        await sign_in(acme, ACME_KEY)
        await sign_in(operator, OPERATOR_KEY)
        foreign = hidden((await acme.get("/")).text, "csrf_token")
        own = hidden((await operator.get("/")).text, "csrf_token")
        for sent in ({}, {"csrf_token": ""}, {"csrf_token": foreign}, {"csrf_token": "é"}):
            assert (await operator.post("/change", data=sent)).status_code == 403
        assert (await operator.post("/change", data={"csrf_token": own})).text == "changed by operator"
        assert (await operator.post("/change", headers={"x-csrf-token": own})).status_code == 200


async def test_a_change_is_not_taken_from_another_site(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, OPERATOR_KEY)
        data = {"csrf_token": hidden((await browser.get("/")).text, "csrf_token")}
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
        ):
            assert (await browser.post("/change", data=data, headers=headers)).status_code == 403
        ours = {"origin": "http://127.0.0.1:8100", "sec-fetch-site": "same-origin"}
        assert (await browser.post("/change", data=data, headers=ours)).status_code == 200


async def test_a_script_with_a_key_needs_no_token(made: Console) -> None:
    async with made.browser(key=OPERATOR_KEY) as script:
        assert (await script.post("/change")).status_code == 200


async def test_a_login_form_of_another_browser_signs_nobody_in(made: Console) -> None:
    async with made.browser() as mine, made.browser() as other:
        token = hidden((await mine.get("/login")).text, "csrf_token")
        await other.get("/login")
        answer = await other.post("/login", data={"csrf_token": token, "key": OPERATOR_KEY})
        assert answer.status_code == 403
        assert not any(name.startswith("watch_session") for name in other.cookies)


async def test_keys_are_not_tried_for_ever(made: Console) -> None:
    async with made.browser() as browser:
        for _ in range(10):
            assert (await sign_in(browser, "llmp_acme_wrong")).status_code == 401
        limited = await sign_in(browser, "llmp_acme_wrong")
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "6")
        assert (await sign_in(browser, OPERATOR_KEY)).status_code == 303
        made.clock.advance(s=6)
        assert (await sign_in(browser, "llmp_acme_wrong")).status_code == 401


async def test_a_host_that_is_not_ours_is_not_answered(made: Console) -> None:
    for host in ("evil.example:8100", "127.0.0.1.evil.example", "169.254.169.254"):
        async with made.browser(key=OPERATOR_KEY, host=host) as browser:
            assert (await browser.get("/proof/acme")).status_code == 403
            assert (await browser.get("/login")).status_code == 403
            assert (await browser.get("/healthz")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8100/login?", "127.0.0.1:8100#", "evil@127.0.0.1", "[::1", ""])
async def test_a_host_header_does_not_say_which_page_is_asked_for(made: Console, host: str) -> None:
    async with made.browser(key=OPERATOR_KEY) as browser:
        assert (await browser.get("/proof/acme", headers={"host": host})).status_code == 403


async def test_a_body_is_bounded(made: Console) -> None:
    async with made.browser(key=OPERATOR_KEY) as browser:
        assert (await browser.post("/change", content=b"x" * 70_000)).status_code == 413


@pytest.mark.parametrize(
    "path", ["/", "/login", "/nope", "/broken", "/healthz", "/static/0/console.css", "/?last=x"]
)
async def test_every_answer_is_guarded(made: Console, path: str) -> None:
    async with made.browser() as browser:
        if path != "/login":
            await sign_in(browser, OPERATOR_KEY)
        answer = await browser.get(path)
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


async def test_a_page_has_no_script_or_style_of_its_own(made: Console) -> None:
    async with made.browser() as browser:
        texts = [(await browser.get("/login")).text]
        await sign_in(browser, OPERATOR_KEY)
        texts += [(await browser.get("/")).text, (await browser.get("/nope")).text]
    for text in texts:
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text
        assert " on" + "click" not in text


async def test_an_error_says_what_to_do_and_quotes_nothing(made: Console) -> None:
    async with made.browser() as browser:
        await sign_in(browser, OPERATOR_KEY)
        broken = await browser.get("/broken")
        assert broken.status_code == 500
        assert broken.headers["x-request-id"] in broken.text
        assert "prompt" not in broken.text
        assert "ValueError" not in broken.text
        missing = await browser.get("/<script>alert(1)</script>")
        assert missing.status_code == 404
        assert "alert(1)" not in missing.text
        assert (await browser.put("/proof/acme", headers={"accept": "*/*"})).status_code in {403, 405}


async def test_files_are_kept_for_a_year_under_their_own_address(made: Console) -> None:
    async with made.browser() as browser:
        url = (await browser.get("/login")).text.partition('href="/static/')[2].partition('"')[0]
        answer = await browser.get(f"/static/{url}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        for path in ("../settings.py", "0/../../app.py", url.replace(url[:12], "0" * 12)):
            assert (await browser.get(f"/static/{path}")).status_code in {303, 404}


async def test_a_hostile_name_is_text(made: Console) -> None:
    hostile = "</td><script>alert(1)</script>{{ 7*7 }}"
    made.put_tenant("acme", ACME_KEY, display_name=hostile)
    async with made.browser(key=ACME_KEY) as browser:
        shown = (await browser.get("/")).text
    assert "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in shown
    assert "<script>alert" not in shown


async def test_what_is_logged_of_a_request_is_no_secret(
    made: Console, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="watch")
    async with made.browser() as browser:
        await sign_in(browser, ACME_KEY)
        await browser.get(f"/proof/acme?key={ACME_KEY}")
    lines = [record for record in caplog.records if record.message == "request"]
    assert [vars(line)["route"] for line in lines] == ["/login", "/login", "/proof/{tenant_id}"]
    assert vars(lines[-1])["viewer"] == f"tenant:acme:{apikeys.key_hash(ACME_KEY)[:12]}"
    assert all(
        ACME_KEY not in str(vars(record)) for record in caplog.records if record.name == "watch.console"
    )


@pytest.mark.parametrize(
    ("key", "mode", "read"),
    [
        (OPERATOR_KEY, "full", True),
        (OPERATOR_KEY, "hash_only", False),
        (BILLING_KEY, "full", False),
        (ACME_KEY, "truncated", True),
        (ZETA_KEY, "full", False),
    ],
)
async def test_content_is_read_by_who_may_and_leaves_one_line(
    made: Console, caplog: pytest.LogCaptureFixture, key: str, mode: str, *, read: bool
) -> None:
    caplog.set_level(logging.INFO, logger="watch")
    made.put_tenant("acme", ACME_KEY, content_mode=mode)
    async with made.browser(key=key) as browser:
        assert (await browser.get("/content/acme")).text == ("content" if read else "withheld")
    lines = [vars(record) for record in caplog.records if record.message == "content_read"]
    assert [(line["tenant_id"], line["trace_id"]) for line in lines] == (
        [("acme", "4bf92f3577b34da6a3ce929d0e0e4736")] if read else []
    )


async def test_by_https_cookies_are_bound_to_the_host() -> None:
    async with (
        console(host="0.0.0.0", public_url="https://watch.example.com", pages=(pages,)) as made,
        made.browser(host="watch.example.com") as browser,
    ):
        cookie = (await sign_in(browser, OPERATOR_KEY)).headers["set-cookie"]
        assert cookie.startswith("__Host-watch_session=")
        assert "Secure" in cookie
        answer = await browser.get("/proof/acme")
        assert answer.status_code == 200
        assert "strict-transport-security" in answer.headers
        assert (await browser.get("/proof/acme", headers={"host": "127.0.0.1:8100"})).status_code == 403
        # What another host of the domain may have set is none of ours.
        tossed = {"cookie": cookie.partition(";")[0].removeprefix("__Host-")}
        browser.cookies.clear()
        assert (await browser.get("/proof/acme", headers=tossed)).status_code == 303


async def test_not_ready_until_tenants_and_roles_are_read(made: Console) -> None:
    async with made.browser() as browser:
        assert (await browser.get("/readyz")).json() == {"ready": True, "waiting_for": []}
        made.policies.age_s = None
        answer: httpx.Response = await browser.get("/readyz")
        assert (answer.status_code, answer.json()["waiting_for"]) == (503, ["tenants"])
