"""The page in Chromium: it shows what is true, and says so when it does not know."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def is_live(page: Page) -> None:
    """This page's own stream is open; one that a page before left may be counted for a while."""
    expect(page.locator("body")).to_have_attribute("data-link", "live")


def row(page: Page, symbol: str) -> Any:
    return page.locator(f'#quotes tr[data-key="{symbol}"]')


def test_a_login_leads_to_the_terminal(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    assert page.url.endswith("/login")
    page.fill("#tenant", "demo")
    page.fill("#username", "trader")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    expect(page.locator("#problem")).to_contain_text("Wrong password.")
    page.fill("#password", "right")
    page.press("#password", "Enter")
    page.wait_for_url("**/")
    expect(page.locator("#banner-halted")).to_be_visible()


def test_a_login_link_works_where_the_login_page_is_open_already(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/login")
    with page.expect_request("**/api/v1/auth/link") as sent:
        page.goto("/login#link=CODE")  # only the fragment changes: no page load
    assert sent.value.post_data_json == {"code": "CODE"}
    expect(page).not_to_have_url(re.compile("CODE"))


def test_the_login_asks_for_no_session_where_there_is_none(context: BrowserContext) -> None:
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/login", wait_until="networkidle")
    assert not [url for url in asked if "/auth/" in url]


def test_a_session_that_lacks_a_fresh_token_goes_on_without_a_login(
    terminal: Page, context: BrowserContext
) -> None:
    is_live(terminal)
    context.clear_cookies()
    with terminal.expect_request("**/api/v1/auth/refresh"):
        terminal.goto("/login")


def test_quotes_move_when_the_stream_says_so(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(row(terminal, "EURUSD").locator('[data-field="bid"]')).to_have_text("1.08340")
    expect(row(terminal, "EURUSD").locator('[data-field="spread"]')).to_have_text("8")
    backend.quote("EURUSD", "1.08345", "1.08353", provisional=True)
    expect(row(terminal, "EURUSD").locator('[data-field="bid"]')).to_have_text("1.08345")
    expect(row(terminal, "EURUSD").locator('[data-field="move"]')).to_have_text("+5")
    expect(row(terminal, "EURUSD").locator('[data-field="provisional"]')).to_have_text("◦")
    expect(terminal.locator("body")).to_have_attribute("data-link", "live")


def test_a_lost_stream_is_announced_and_its_prices_are_old(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    backend.quote("GBPUSD", "1.26871", "1.26883")
    expect(row(terminal, "GBPUSD")).not_to_have_attribute("data-old", "")
    backend.streaming = False
    backend.hang_up()
    expect(terminal.locator("#banner-link")).to_contain_text("CONNECTION LOST since")
    expect(terminal.locator("body")).to_have_attribute("data-link", "lost")
    expect(row(terminal, "GBPUSD")).to_have_attribute("data-old", "")
    expect(row(terminal, "GBPUSD").locator('[data-field="state"]')).to_have_text("UNKNOWN")
    expect(terminal.locator("#feeds-live")).to_have_text("?/1")
    backend.streaming = True
    expect(terminal.locator("#banner-link")).to_be_hidden(timeout=40_000)
    is_live(terminal)
    state = row(terminal, "GBPUSD").locator('[data-field="state"]')
    expect(state).to_have_attribute("title", "not told since the stream is open")
    expect(state).to_have_text("UNKNOWN")
    backend.quote("GBPUSD", "1.26872", "1.26884")
    expect(row(terminal, "GBPUSD")).not_to_have_attribute("data-old", "")
    expect(terminal.locator("#events")).to_contain_text("connection lost")


def test_an_old_quote_ages_in_view(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    backend.quote("XAUUSD", "2034.51", "2034.76", time=backend.stamp(30))
    expect(row(terminal, "XAUUSD").locator('[data-field="age"]')).to_have_text(
        re.compile(r"^3\ds$")
    )
    expect(row(terminal, "XAUUSD")).to_have_attribute("data-old", "")


def test_feed_states_and_the_platform_follow_the_server(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    backend.quote("USDJPY", "149.325", "149.339")
    backend.send(type="feed", symbol="USDJPY", state="DEAD", reason="device gone")
    expect(row(terminal, "USDJPY").locator('[data-field="state"]')).to_have_text("DEAD")
    expect(terminal.locator("#events")).to_contain_text("feed LIVE → DEAD · device gone")
    backend.fail("data-bridge")
    bridge = terminal.locator('#services tr[data-key="data-bridge"] [data-field="state"]')
    expect(bridge).to_have_text("FAILED")
    expect(terminal.locator("#events")).to_contain_text("HEALTHY → FAILED")


def test_what_is_old_or_missing_is_said(terminal: Page, backend: Any) -> None:
    expect(terminal.locator("#banner-problems")).to_be_hidden()
    backend.problem("data-bridge has not answered since 03:00.")
    expect(terminal.locator("#banner-problems")).to_contain_text("data-bridge has not answered")


def test_who_is_connected_is_shown_and_how_old_that_is(terminal: Page, backend: Any) -> None:
    expect(terminal.locator("#connections-note")).to_have_text("nobody")
    link = {
        "id": "1",
        "kind": "link",
        "name": "<b>desk</b>",
        "since": backend.stamp(90),
        "feeds": 4,
    }
    backend.connected = [{**link, "round_trip_ms": 12.345, "unconfirmed": 7}]
    row = terminal.locator('#connections tr[data-key="1"]')
    for field, text in (
        ("name", "<b>desk</b>"),
        ("kind", "link"),
        ("round_trip_ms", "12.35"),
        ("unconfirmed", "7"),
    ):
        expect(row.locator(f'[data-field="{field}"]')).to_have_text(text)
    expect(row.locator('[data-field="age"]')).to_have_text(re.compile("1m"))
    backend.connected = None
    expect(terminal.locator("#connections-note")).to_contain_text("as of")


def test_a_barred_device_and_an_absent_terminal_are_told_with_what_to_do(
    backend: Any, terminal: Page
) -> None:
    expect(terminal.locator("#device-notes li")).to_have_count(0)
    month = {
        "terminal": "mt5",
        "month": "2026-11",
        "up_s": 900.0,
        "wedged_s": 60.0,
        "away_s": 40.0,
    }
    older = {**month, "month": "2026-10"}
    backend.standing = [
        {
            "device": "d1",
            "exposure": {"barred": True, "reason": "the device reported altered files"},
            "report": {"terminals": [month, older]},
        }
    ]
    terminal.reload()
    notes = terminal.locator("#device-notes li")
    expect(notes).to_have_count(2)
    expect(notes.nth(0)).to_contain_text("desk may open nothing new: the device reported altered")
    expect(notes.nth(0)).to_contain_text("Install it again.")
    expect(notes.nth(1)).to_contain_text("desk, mt5: up 90.00 %")


def test_alerts_of_clients_are_told_once_and_when_they_end(terminal: Page, backend: Any) -> None:
    alert = {
        "id": "1", "symbol": "EURUSD", "rule": "EURUSD spread><b>20", "value": "25",
        "raised_at": backend.stamp(1), "cleared_at": None, "cleared_value": None,
    }  # fmt: skip
    backend.alerts = [alert]
    told = terminal.locator("#events li", has_text="alert spread")
    expect(told).to_have_text([re.compile("EURUSDalert spread><b>20: 25")])
    backend.alerts = [{**alert, "cleared_at": backend.stamp(0), "cleared_value": "9"}]
    expect(told.first).to_contain_text("ended: 9")
    expect(told).to_have_count(2)


def test_gaps_are_told_once_and_when_they_are_repaired(terminal: Page, backend: Any) -> None:
    gap = {
        "id": "1", "symbol": "EURUSD", "reason": "lost on <b>this disk", "state": "OPEN",
        "repaired_ticks": None,
    }  # fmt: skip
    backend.gaps = [gap]
    told = terminal.locator("#events li", has_text="lost on")
    expect(told).to_have_text([re.compile("EURUSDgap: lost on <b>this disk")])
    backend.gaps = [{**gap, "state": "REPAIRED", "repaired_ticks": 7}]
    expect(told.first).to_contain_text("7 ticks fetched again")
    expect(told).to_have_count(2)


def test_the_chart_says_what_is_proved_of_the_day(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    backend.quote("EURUSD", "1.10000", "1.10010")
    proof = terminal.locator("#day-proof")
    expect(proof).to_have_text("12,345 of 12,345 ticks today")
    expect(proof).to_have_attribute("data-state", "OPEN")


def test_unknown_health_is_announced(terminal: Page, backend: Any) -> None:
    backend.healthy = False
    expect(terminal.locator("#banner-health")).to_contain_text("PLATFORM STATE UNKNOWN")
    backend.healthy = True
    expect(terminal.locator("#banner-health")).to_be_hidden()


def test_the_keyboard_does_everything(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    for symbol in ("EURUSD", "GBPUSD", "USDJPY"):
        backend.quote(symbol, "1.10000", "1.10010")
    expect(row(terminal, "USDJPY")).to_be_visible()
    expect(row(terminal, "EURUSD")).to_have_attribute("aria-selected", "true")
    terminal.keyboard.press("j")
    expect(row(terminal, "GBPUSD")).to_have_attribute("aria-selected", "true")
    expect(terminal.locator("#chart-symbol")).to_have_text("GBPUSD")
    terminal.keyboard.press("G")
    terminal.keyboard.press("k")
    expect(row(terminal, "GBPUSD")).to_have_attribute("aria-selected", "true")
    terminal.keyboard.press("/")
    terminal.keyboard.type("jpy")
    expect(row(terminal, "EURUSD")).to_be_hidden()
    expect(row(terminal, "USDJPY")).to_have_attribute("aria-selected", "true")
    terminal.keyboard.press("Escape")
    expect(row(terminal, "EURUSD")).to_be_visible()
    terminal.keyboard.press("t")
    expect(terminal.locator("html")).to_have_attribute("data-theme", "light")
    terminal.keyboard.press("?")
    expect(terminal.locator("#help")).to_be_visible()
    terminal.keyboard.press("Escape")
    expect(terminal.locator("#help")).to_be_hidden()


def test_a_hostile_symbol_is_text(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    backend.quote("<img src=x onerror=alert(1)>", "1.00000", "1.00010")
    expect(terminal.locator("#quotes tbody")).to_contain_text("<img src=x onerror=alert(1)>")
    assert terminal.locator("#quotes img").count() == 0


PROTOTYPE_NAMES = ("__proto__", "constructor", "toString", "hasOwnProperty")


def test_no_name_from_outside_reaches_what_all_objects_share(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    shared = "() => JSON.stringify([Object, Array, Map, Function].map(each => Object.getOwnPropertyNames(each.prototype)))"
    before = terminal.evaluate(shared)
    for name in PROTOTYPE_NAMES:
        backend.quote(name, "1.00000", "1.00010", __proto__={"polluted": "yes"})
        expect(row(terminal, name).locator('[data-field="bid"]')).to_have_text("1.00000")
        backend.send(type="feed", symbol=name, state="STALE", __proto__={"polluted": "yes"})
        backend.send(type=name, symbol="EURUSD")
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(row(terminal, "EURUSD").locator('[data-field="bid"]')).to_have_text("1.08340")
    assert terminal.evaluate("() => ({}).polluted ?? null") is None
    assert terminal.evaluate(shared) == before


def test_a_name_from_outside_is_one_value_of_an_address(terminal: Page, backend: Any) -> None:
    is_live(terminal)
    hostile = "javascript:alert(1)//&limit=9#/../../x?symbol=OTHER"
    asked: list[str] = []
    terminal.on("request", lambda request: asked.append(request.url))
    backend.quote(hostile, "1.00000", "1.00010")
    with terminal.expect_request("**/api/v1/ticks?*"):
        row(terminal, hostile).click()
    expect(terminal.locator("#chart-symbol")).to_contain_text(hostile)
    named = [urlsplit(url) for url in asked if "alert" in url]
    assert {url.path for url in named} <= {"/api/v1/ticks", "/api/v1/feeds/certificate"}
    assert {tuple(parse_qs(url.query)["symbol"]) for url in named} == {(hostile,)}
    assert not any(url.fragment for url in named)
    links = terminal.evaluate(
        "() => [...document.querySelectorAll('[href], [src]')].map(e => e.href || e.src)"
    )
    assert {urlsplit(link).scheme for link in links} == {"https"}


def test_logging_out_ends_at_the_login(terminal: Page) -> None:
    terminal.click("#logout")
    expect(terminal).to_have_url(re.compile("/login$"))


def test_a_logout_with_an_old_token_renews_it_and_ends_the_session(
    terminal: Page, backend: Any, until: Any
) -> None:
    backend.token_is_old = True
    terminal.click("#logout")
    expect(terminal).to_have_url(re.compile("/login$"))
    until(lambda: backend.logouts == 1)


def test_a_logout_that_failed_is_not_shown_as_one_and_empties_the_page(
    terminal: Page, backend: Any
) -> None:
    is_live(terminal)
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(row(terminal, "EURUSD")).to_be_visible()
    backend.healthy = False
    terminal.click("#logout")
    expect(terminal.locator("#left")).to_contain_text("STILL LOGGED IN No answer. Wait.")
    assert "1.08340" not in terminal.content()
    assert "trader" not in terminal.content()
    backend.healthy = True
    terminal.click("#left a")
    is_live(terminal)
    terminal.click("#logout")
    terminal.wait_for_url("**/login")


def test_a_page_that_cannot_reach_the_server_empties_itself_too(
    terminal: Page, context: BrowserContext, backend: Any
) -> None:
    is_live(terminal)
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(row(terminal, "EURUSD")).to_be_visible()
    context.set_offline(True)
    terminal.click("#logout")
    expect(terminal.locator("#left")).to_contain_text("The server cannot be reached.")
    assert "1.08340" not in terminal.content()
    assert terminal.evaluate("history.length") <= 2, "the page is no place to go back to"


def test_a_page_left_open_for_longer_than_its_session_empties_itself(
    context: BrowserContext, site: Any
) -> None:
    page = context.new_page()
    page.clock.install()
    cookie = {"name": "__Host-aitrading", "value": site.tokens.make(), "secure": True}
    context.add_cookies([{**cookie, "url": f"https://localhost:{site.config.port}"}])
    page.goto("/")
    is_live(page)
    page.route("**/auth/refresh", lambda route: route.abort())
    page.clock.fast_forward("24:00:00")
    expect(page.locator("#quotes")).to_be_visible()
    page.clock.fast_forward(7 * 24 * 3_600_000)
    expect(page.locator("#left")).to_contain_text("LOGGED OUT")


def test_every_page_is_also_json(site: Any) -> None:
    json_only = {"accept": "application/json"}
    logged_in = json_only | {"cookie": f"__Host-aitrading={site.tokens.make()}"}
    assert site.request("/", headers=json_only).status == 401
    view = site.request("/", headers=logged_in).json
    assert view["trading"]["state"] == "HALTED"
    assert view["tenant"] == "demo"
    assert "/api/v1/quotes" in site.request("/docs", headers=json_only).json["paths"]


def test_static_files_are_cached_for_good_and_only_under_their_fingerprint(site: Any) -> None:
    page = site.request("/login").body.decode()
    url = next(part for part in page.split('"') if part.endswith("css/base.css"))
    answer = site.request(url, headers={"accept-encoding": "gzip"})
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    fingerprint = url.split("/")[2]
    assert site.request(url.replace(fingerprint, "0" * 16)).status == 404
    assert site.request(f"/static/{fingerprint}/css/none.css").status == 404


def test_the_page_allows_no_foreign_or_inline_code(site: Any) -> None:
    answer = site.request("/login")
    policy = answer.headers["content-security-policy"]
    for directive in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    assert "style=" not in answer.body.decode()
    assert "onclick" not in answer.body.decode()


def test_every_text_names_its_charset(site: Any) -> None:
    page = site.request("/login")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    urls = [part for part in page.body.decode().split('"') if part.startswith("/static/")]
    kinds = {site.request(url).headers["content-type"] for url in urls}
    assert {"text/css; charset=utf-8", "text/javascript; charset=utf-8"} <= kinds
    assert all("charset=utf-8" in kind for kind in kinds if kind.startswith("text/"))
    assert site.request("/api/v1/quotes").headers["content-type"] == "application/json"


def test_a_renewal_whose_answer_was_lost_is_asked_again_as_the_same_one(terminal: Page) -> None:
    """Under another key the server would see somebody who came by a used token, and end both."""
    keys: list[str] = []

    def answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.abort("connectionreset")
        elif len(keys) == 2:
            route.fulfill(status=503, json={})
        else:
            route.continue_()

    is_live(terminal)
    terminal.route("**/api/v1/auth/refresh", answer)
    terminal.evaluate(
        "import(new URL('renewal.js', document.querySelector('script[type=module]').src))"
        ".then(async ({ renew }) => {"
        " for (const _ of [1, 2, 3]) await renew().catch(() => null); })"
    )
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
