"""From a phone to a desk: what a feed is worth, and names, can be read at every width."""

from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, expect

from aitrading.server.dashboard.report import GuardLine

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

WIDTHS_PX = (320, 360, 480, 501, 581, 641, 768, 800, 1101, 1280)
HEIGHT_PX = 900
PEERS = ("data-bridge", "database-service", "trading-engine")

NOT_SEEN = """selector => [...document.querySelectorAll(selector)].filter(element => {
  const box = element.getBoundingClientRect();
  const middle = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  const inside = box.width > 0 && box.left >= 0 && box.right <= innerWidth;
  return !inside || !element.contains(middle);
}).map(element => element.textContent)"""
"""The elements that a person does not see: outside the window, or under something else."""

CUT_OFF = """selector => [...document.querySelectorAll(selector)]
  .filter(element => !element.clientWidth || element.scrollWidth > element.clientWidth)
  .map(element => element.textContent)"""
"""Cells that do not show all of their text."""


@pytest.fixture
def terminal_with_feeds(terminal: Page, backend: Any) -> Page:
    expect(terminal.locator("body")).to_have_attribute("data-link", "live")
    backend.quote("EURUSD", "1.08340", "1.08348", sequence=1_234_567)
    for login in (1, 2):
        account = f"Simulated-Demo:5000000{login}"
        backend.quote("XAUUSD.raw", "12034.51", "12034.76", account=account)
    backend.quote("GBPUSD", "1.26871", "1.26883", time=backend.stamp(754))
    backend.send(type="feed", symbol="GBPUSD", state="STALE", reason="silent")
    expect(terminal.locator('#quotes [data-state="STALE"]')).to_have_count(1)
    return terminal


def test_the_state_and_age_of_every_feed_are_seen_at_every_width(
    terminal_with_feeds: Page,
) -> None:
    page = terminal_with_feeds
    expect(page.locator("#quotes tbody tr")).to_have_count(4)
    for width in WIDTHS_PX:
        page.set_viewport_size({"width": width, "height": HEIGHT_PX})
        states = '#quotes tbody [data-field="state"], #quotes tbody [data-field="age"]'
        for what in (states, '#quotes tbody [data-field="symbol"]', "#feeds-live", "#day-proof"):
            assert page.evaluate(NOT_SEEN, what) == [], f"{what} at {width} px"
        spilled = page.locator(".chart > header").evaluate(
            "element => element.scrollHeight > element.clientHeight"
        )
        assert not spilled, f"the chart's header at {width} px"


def test_the_word_for_the_stream_is_none_of_the_words_for_feeds(terminal_with_feeds: Page) -> None:
    page = terminal_with_feeds
    expect(page.locator("#link-text")).to_have_text("connected")
    colour = "element => getComputedStyle(element).color"
    stream = page.locator("#link-text").evaluate(colour)
    assert stream != page.locator('#quotes [data-state="LIVE"]').first.evaluate(colour)


def test_names_of_services_and_breakers_are_whole_at_every_width(
    terminal: Page, backend: Any
) -> None:
    guards = tuple(
        GuardLine(
            service="api-gateway", kind="breaker", name=f"gateway.peer.{peer}", state="CLOSED"
        )
        for peer in PEERS
    )
    backend.view = msgspec.structs.replace(backend.view, guards=guards)
    expect(terminal.locator("#guards tbody tr")).to_have_count(len(PEERS))
    for width in WIDTHS_PX:
        terminal.set_viewport_size({"width": width, "height": HEIGHT_PX})
        assert terminal.evaluate(CUT_OFF, ".fixed tbody th") == [], f"{width} px"
