"""Silence is never shown as life: states age in the page, whatever the server stopped saying."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SOON = {"delayed_after_s": 1, "stale_after_s": 2, "dead_after_s": 3, "heartbeat_s": 20}
LONG = {"delayed_after_s": 300, "stale_after_s": 600, "dead_after_s": 900, "heartbeat_s": 6}
PHONE = {"width": 360, "height": 700}


def feed(page: Page, symbol: str = "EURUSD") -> Any:
    return page.locator(f'#quotes tr[data-key="{symbol}"] [data-field="state"]')


def reopened(page: Page, limits: dict[str, float], backend: Any) -> Page:
    """The page of an installation with these limits."""
    backend.limits = limits
    page.set_viewport_size(PHONE)
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-link", "live")
    return page


def test_a_feed_ages_without_any_message(terminal: Page, backend: Any) -> None:
    page = reopened(terminal, SOON, backend)
    backend.quote("GBPUSD", "1.26871", "1.26883", time=backend.stamp(-600))
    backend.quote("EURUSD", "1.08340", "1.08348")
    for state in ("DELAYED", "STALE", "DEAD"):
        expect(page.locator("#events")).to_contain_text(f"→ {state} · nothing new for")
    expect(feed(page)).to_have_text("DEAD")
    expect(feed(page, "GBPUSD")).to_have_text("DEAD")  # a clock ahead hides no silence
    expect(page.locator("#feeds-live")).to_have_text("0/2")
    expect(page.locator("#feeds")).to_have_attribute("title", "2 DEAD")
    expect(page.locator("body")).to_have_attribute("data-link", "live")  # pings are answered
    backend.quote("EURUSD", "1.08341", "1.08349")
    expect(page.locator("#feeds-live")).to_have_text("1/2")


def test_a_stream_that_says_nothing_is_lost_within_its_heartbeat(
    terminal: Page, backend: Any
) -> None:
    page = reopened(terminal, LONG, backend)
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(feed(page)).to_have_text("LIVE")
    backend.answering = backend.streaming = False  # the socket stays open, as of a frozen process
    expect(page.locator("body")).to_have_attribute(
        "data-link", "lost", timeout=LONG["heartbeat_s"] * 1_000
    )
    expect(feed(page)).to_have_text("UNKNOWN")
    expect(page.locator("#feeds-live")).to_have_text("?/1")
    expect(page.locator("#banner-link")).to_be_visible()


def test_a_quiet_stream_that_answers_stays_connected(
    terminal: Page, backend: Any, until: Any
) -> None:
    page = reopened(terminal, LONG, backend)
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    answered = backend.pongs
    until(lambda: backend.pongs >= answered + 4)  # more than the three seconds of its patience
    expect(page.locator("body")).to_have_attribute("data-link", "live")
    assert opened == []


def test_without_the_limits_no_feed_is_live(terminal: Page, backend: Any) -> None:
    terminal.route("**/api/v1/quotes*", lambda route: route.abort())
    page = reopened(terminal, LONG, backend)
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(feed(page)).to_have_text("UNKNOWN")
    expect(page.locator("#feeds-live")).to_have_text("0/1")
    terminal.unroute("**/api/v1/quotes*")
    expect(feed(page)).to_have_text("LIVE")


def test_a_recalled_quote_gives_its_row_to_the_feed(terminal: Page, backend: Any) -> None:
    backend.known = [
        {"symbol": "EURUSD", "bid": "1.08340", "ask": "1.08348", "time": backend.stamp(2),
         "state": "UNKNOWN", "provisional": False, "sequence": 1, "account": ""},
    ]  # fmt: skip
    page = reopened(terminal, LONG, backend)
    expect(feed(page)).to_have_text("UNKNOWN")
    backend.quote("EURUSD", "1.08341", "1.08349", account="Simulated-Demo:50000001")
    expect(page.locator("#quotes tbody tr")).to_have_count(1)
    expect(page.locator("#feeds-live")).to_have_text("1/1")


def test_prices_that_a_lapsed_subscription_holds_are_not_shown_as_life(
    terminal: Page, backend: Any
) -> None:
    page = reopened(terminal, LONG, backend)
    backend.quote("EURUSD", "1.08340", "1.08348")
    expect(feed(page)).to_have_text("LIVE")
    told = {"message": "The subscription does not count: it is paused.", "remedy": "Renew it."}
    backend.send(type="held", code="SUBSCRIPTION_INACTIVE", **told)
    expect(page.locator("#banner-held")).to_contain_text("it is paused. Renew it.")
    expect(feed(page)).to_have_text("UNKNOWN")
    expect(page.locator("#feeds-live")).to_have_text("?/1")
    backend.send(type="held", code=None, message=None, remedy=None)
    backend.quote("EURUSD", "1.08341", "1.08349")
    expect(page.locator("#banner-held")).to_be_hidden()
    expect(feed(page)).to_have_text("LIVE")
