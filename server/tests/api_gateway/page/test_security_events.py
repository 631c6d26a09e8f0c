"""Security events on the page: for who audits, page by page, never fresher than they are."""

from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
LINES = "#security tbody tr"


def event(number: int, **given: Any) -> dict[str, Any]:
    entry = {
        "id": f"{number:032x}",
        "occurred_at": "2026-11-28T13:37:30.123456Z",
        "service": "identity",
        "actor": "unknown",
        "action": "identity.login.refused",
        "subject": f"user:{number}",
        "outcome": "denied",
        "security": True,
        "trace_id": None,
        "details": {"attempts": number},
    }
    return {**entry, **given}


@pytest.fixture
def auditing(terminal: Page, backend: Any) -> Page:
    backend.view = msgspec.structs.replace(backend.view, audits=True)
    backend.audited = [event(number) for number in reversed(range(60))]
    terminal.reload()
    expect(terminal.locator(LINES)).to_have_count(25)
    return terminal


def test_who_may_not_audit_has_no_such_panel(terminal: Page) -> None:
    expect(terminal.locator("#quotes")).to_be_visible()
    expect(terminal.locator("#security")).to_have_count(0)


def test_older_ones_come_page_by_page_and_the_newest_are_one_click_away(auditing: Page) -> None:
    first = auditing.locator(f"{LINES} .subject").first
    expect(first).to_have_text("user:59")
    expect(auditing.locator("#security-newest")).to_be_disabled()
    for newest in ("user:34", "user:9"):
        auditing.locator("#security-older").click()
        expect(first).to_have_text(newest)
    expect(auditing.locator(LINES)).to_have_count(10)
    expect(auditing.locator("#security-older")).to_be_disabled()
    auditing.locator("#security-newest").click()
    expect(first).to_have_text("user:59")


def test_what_is_not_told_is_unknown_and_greys(auditing: Page, backend: Any) -> None:
    backend.auditable = False
    auditing.locator("#security-older").click()
    expect(auditing.locator("#security-told")).to_contain_text("UNKNOWN for")
    expect(auditing.locator("#security-told")).to_contain_text("No answer.")
    expect(auditing.locator(LINES)).to_have_count(25)
    backend.auditable = True
    auditing.locator("#security-newest").click()
    expect(auditing.locator("#security-told")).to_contain_text("newest, seen")


def test_a_hostile_subject_is_text(auditing: Page, backend: Any) -> None:
    words = "<img src=x onerror=alert(1)>"
    backend.audited = [event(99, subject=words, details={"kind": words})]
    auditing.locator("#security-older").click()
    auditing.locator("#security-newest").click()
    expect(auditing.locator(f"{LINES} .subject")).to_have_text(words)
    expect(auditing.locator("#security img")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_time_outcome_and_event_are_seen_at_every_width(auditing: Page, width: int) -> None:
    auditing.set_viewport_size({"width": width, "height": 900})
    for what in (".time", ".outcome", ".action"):
        cell = auditing.locator(f"{LINES} {what}").first
        cell.scroll_into_view_if_needed()
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth"), f"{what} is cut off"
    assert auditing.evaluate("document.documentElement.scrollWidth") <= width
