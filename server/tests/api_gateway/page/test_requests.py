"""Requests on the page: the worst first, one step by step, nothing drawn for what did not come."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ROWS = "#traces-list button"
STEPS = "#trace-steps li"
TRACE = "0af7651916cd43dd8448eb211c80319c"  # pragma: allowlist secret
SLOW = "GET /api/v1/a/rather/long/path/with/{names}/that/do/not/fit/in/one/line/of/a/phone"


def kept(number: int, **given: Any) -> dict[str, Any]:
    entry = {
        "trace_id": f"{number:032x}",
        "began_at": "2026-11-28T13:37:30.123456Z",
        "took_ms": 12.5,
        "outcome": "ok",
        "code": None,
        "name": f"GET /api/v1/thing/{number}",
        "service": "edge",
    }
    return {**entry, **given}


def step(number: int, depth: int, **given: Any) -> dict[str, Any]:
    entry = {
        "id": f"{number:016x}",
        "parent": f"{number - 1:016x}" if number else None,
        "depth": depth,
        "service": "database-service",
        "kind": "database",
        "name": f"store.statement_{number}",
        "offset_ms": float(number),
        "took_ms": 20.0 - number,
        "outcome": "ok",
        "code": None,
        "fingerprint": None,
        "orphan": False,
    }
    return {**entry, **given}


@pytest.fixture
def requests(terminal: Page, backend: Any) -> Page:
    backend.traces = [
        kept(1, trace_id=TRACE, outcome="failed", code="DATABASE_CONNECTION_LOST", name=SLOW),
        *(kept(number) for number in range(2, 80)),
    ]
    backend.trace = {
        "trace_id": TRACE,
        "began_at": "2026-11-28T13:37:30.123456Z",
        "took_ms": 20.0,
        "outcome": "failed",
        "complete": True,
        "missing": [],
        "cut": 0,
        "spans": [
            step(0, 0, kind="edge", service="edge"),
            step(1, 1, kind="request", name=SLOW),
            step(2, 2, outcome="failed", code="DATABASE_CONNECTION_LOST"),
        ],
    }
    terminal.locator("#traces-open").click()
    expect(terminal.locator(ROWS)).to_have_count(50)
    return terminal


def test_the_list_and_the_steps_of_one(requests: Page) -> None:
    expect(requests.locator(ROWS).first).to_contain_text("DATABASE_CONNECTION_LOST")
    requests.locator("#traces-more").click()
    expect(requests.locator(ROWS)).to_have_count(79)
    expect(requests.locator("#traces-more")).to_be_hidden()
    requests.locator(ROWS).first.click()
    expect(requests.locator(STEPS)).to_have_count(3)
    expect(requests.locator("#trace-head")).not_to_contain_text("INCOMPLETE")
    lane, bar = (
        requests.locator(f"{STEPS} {what}").nth(2).bounding_box()
        for what in (".span-lane", ".span-bar")
    )
    assert lane is not None
    assert bar is not None
    assert abs((bar["x"] - lane["x"]) / lane["width"] - 2 / 20) < 0.01
    assert abs(bar["width"] / lane["width"] - 18 / 20) < 0.01


def test_what_is_missing_is_said(requests: Page, backend: Any) -> None:
    backend.trace = {**backend.trace, "complete": False, "missing": ["f" * 16], "cut": 7}
    requests.locator(ROWS).first.click()
    expect(requests.locator("#trace-head")).to_contain_text(
        "INCOMPLETE: 1 steps did not come, 7 steps were too many"
    )


def test_no_answer_is_not_an_empty_list(requests: Page, backend: Any) -> None:
    backend.traced = False
    requests.locator("#traces-again").click()
    expect(requests.locator("#traces-told")).to_contain_text("unknown: No answer.")
    expect(requests.locator(ROWS)).to_have_count(50)


def test_the_key_and_the_address_open_it(terminal: Page, requests: Page) -> None:
    requests.keyboard.press("Escape")
    expect(requests.locator("#traces")).not_to_be_visible()
    requests.keyboard.press("r")
    expect(requests.locator("#traces")).to_be_visible()
    requests.keyboard.press("Escape")
    terminal.evaluate(f"location.hash = '#trace={TRACE}'")
    expect(terminal.locator(STEPS)).to_have_count(3)


def test_a_hostile_name_is_text(requests: Page, backend: Any) -> None:
    words = "<img src=x onerror=alert(1)>"
    backend.trace = {**backend.trace, "spans": [step(0, 0, name=words, code=words)]}
    requests.locator(ROWS).first.click()
    expect(requests.locator(f"{STEPS} .span-name")).to_contain_text(words)
    expect(requests.locator("#traces img")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_steps_are_seen_at_every_width(requests: Page, width: int) -> None:
    requests.set_viewport_size({"width": width, "height": 700})
    requests.locator(ROWS).first.click()
    expect(requests.locator(STEPS)).to_have_count(3)
    for what in (".span-name", ".span-took", ".span-lane", ".span-service"):
        cell = requests.locator(f"{STEPS} {what}").nth(1)
        cell.scroll_into_view_if_needed()
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth + 1"), what
    assert requests.evaluate("document.documentElement.scrollWidth") <= width
