"""Evidence on the page: what a day's certificate says, and what is missing or not believed, page by page."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
GAPS = "#gaps tbody tr"
STREAM = "5f0c6c1e-9a55-4f5e-8f7a-0d1f5f3d8a01"
DAYS = "#quarantine tbody tr"
TICKS = "#doubted tbody tr"
FINDINGS = "#certificate-streams ul li"
SHOWN_WHOLE = """cell => getComputedStyle(cell).display === 'inline'
  || cell.scrollWidth <= cell.clientWidth + 1"""


def gap(number: int, **given: Any) -> dict[str, Any]:
    entry = {
        "id": f"{number:032x}",
        "symbol": "XAUUSD",
        "state": "OPEN",
        "reason": f"the stream was silent, number {number}",
        "recorded_by": "data-bridge",
        "first_sequence": None,
        "last_sequence": None,
        "from_time": "2026-11-27T10:00:00Z",
        "until_time": "2026-11-27T10:05:30Z",
        "noticed_at": "2026-11-27T10:05:31.123456Z",
        "problem": "",
        "repaired_at": None,
        "repaired_ticks": None,
    }
    return {**entry, **given}


def day(number: int, **given: Any) -> dict[str, Any]:
    entry = {
        "day": f"2026-11-{number:02}",
        "symbol": "XAUUSD",
        "device": f"{1:032x}",
        "stream": STREAM,
        "ticks": 1_204,
        "reasons": {"TIME_BACK": 1_200, "ABSURD": 4},
    }
    return {**entry, **given}


def doubted(number: int, **given: Any) -> dict[str, Any]:
    entry = {
        "time": "2026-11-27T10:00:00.123Z",
        "event_ms": 1_795_773_600_123,
        "bid": "4012.51",
        "ask": "3012.76",
        "last": None,
        "flags": 6,
        "sequence": number,
        "stream": STREAM,
        "reasons": ["TIME_BACK", "CROSSED"],
    }
    return {**entry, **given}


@pytest.fixture
def evidence(terminal: Page, backend: Any) -> Page:
    backend.gaps = [
        gap(1, symbol="EURUSD", first_sequence=100, last_sequence=166, problem="no such history"),
        gap(2, state="REPAIRED", repaired_ticks=7, first_sequence=9, last_sequence=9),
        *(gap(number) for number in range(3, 71)),
    ]
    backend.quarantine = [day(27), day(26, symbol="EURUSD", stream="other")]
    backend.doubted = [
        doubted(1, time=None, event_ms=-(2**50), reasons=["TIME_IMPOSSIBLE"]),
        *(doubted(number) for number in range(2, 151)),
    ]
    expect(terminal.locator("body")).to_have_attribute("data-link", "live")
    backend.quote("XAUUSD", "4012.51", "4012.76")
    expect(terminal.locator("#chart-symbol")).to_have_text("XAUUSD")
    terminal.keyboard.press("e")
    expect(terminal.locator("#certificate-text")).to_have_text("12,345 of 12,345")
    return terminal


def prove(page: Page, day: str) -> None:
    page.fill('#evidence-ask [name="day"]', day)
    page.press('#evidence-ask [name="symbol"]', "Enter")


def test_the_charted_symbol_is_proved_at_once_and_any_other_on_demand(
    evidence: Page, backend: Any
) -> None:
    expect(evidence.locator("#certificate-of")).to_contain_text("XAUUSD on ")
    expect(evidence.locator("#certificate-state")).to_have_text("OPEN")
    backend.certificate |= {"text": "265,015 of 265,015", "state": "COMPLETE"}
    evidence.fill('#evidence-ask [name="symbol"]', "GBPUSD")
    prove(evidence, "2026-11-27")
    expect(evidence.locator("#certificate-of")).to_have_text("GBPUSD on 2026-11-27")
    expect(evidence.locator("#certificate-text")).to_have_text("265,015 of 265,015")
    expect(evidence.locator("#certificate-state")).to_have_text("COMPLETE")
    expect(evidence.locator("#certificate-told")).to_contain_text("every counted tick is stored")


def test_what_is_wrong_with_a_day_is_said(evidence: Page, backend: Any) -> None:
    findings = [
        {"what": "missing", "ticks": 1_067, "text": "", "sequences": [[100, 166], [900, 900]]},
        {"what": "doubled", "ticks": 9, "text": "", "sequences": [[at, at] for at in range(9)]},
    ]
    [stream] = backend.certificate["streams"]
    stream |= {"state": "INCOMPLETE", "findings": findings, "open_gaps": ["a", "b"]}
    backend.certificate |= {"text": "11,278 of 12,345", "state": "INCOMPLETE", "streams": [stream]}
    prove(evidence, "2026-11-27")
    expect(evidence.locator("#certificate-state")).to_have_text("INCOMPLETE")
    expect(evidence.locator(FINDINGS)).to_have_text(
        [
            "missing · 1,067 ticks · at 100\u2013166, 900",
            "doubled · 9 ticks · at 0, 1, 2, 3, 4, …",
            "2 open gaps in time touch this day",
        ]
    )


def test_the_signed_certificate_is_kept_as_it_was_sent(evidence: Page, backend: Any) -> None:
    with evidence.expect_download() as kept:
        evidence.locator("#certificate-keep button").click()
    day = evidence.input_value('#evidence-ask [name="day"]')
    assert kept.value.suggested_filename == f"certificate-XAUUSD-{day}.jws"
    assert kept.value.path().read_text().strip() == backend.signed


def test_open_gaps_come_first_and_all_of_them_page_by_page(evidence: Page) -> None:
    expect(evidence.locator(GAPS)).to_have_count(50)
    expect(evidence.locator(GAPS).first).to_contain_text("100\u2013166")
    expect(evidence.locator(GAPS).first).to_contain_text("no such history")
    expect(evidence.locator(GAPS).nth(1)).to_contain_text("2026-11-27 10:00:00 \u2013 10:05:30")
    evidence.locator("#gaps [data-page=next]").click()
    expect(evidence.locator(GAPS)).to_have_count(19)
    expect(evidence.locator("#gaps [data-page=next]")).to_be_disabled()
    evidence.locator("#gaps [data-page=first]").click()
    expect(evidence.locator(GAPS)).to_have_count(50)
    evidence.locator("#gaps [data-open=false]").click()
    repaired = evidence.locator(GAPS, has_text="7 ticks fetched again")
    expect(repaired.locator(".state")).to_have_text("REPAIRED")


def test_the_lists_can_be_of_the_symbol_alone(evidence: Page) -> None:
    evidence.fill('#evidence-ask [name="symbol"]', "EURUSD")
    evidence.locator("#evidence-only").check()
    expect(evidence.locator(GAPS)).to_have_count(1)
    expect(evidence.locator(DAYS)).to_have_count(1)


def test_what_was_not_believed_is_counted_by_day_and_shown_on_demand(evidence: Page) -> None:
    expect(evidence.locator(DAYS)).to_have_count(2)
    expect(evidence.locator(DAYS).first).to_contain_text("1,200 time back · 4 absurd")
    evidence.locator(f"{DAYS} button").first.click()
    expect(evidence.locator("#doubted-of")).to_have_text("XAUUSD, stream 5f0c6c1e")
    expect(evidence.locator(TICKS)).to_have_count(100)
    expect(evidence.locator(TICKS).first).to_contain_text(f"no date: {-(2**50)} ms")
    expect(evidence.locator(TICKS).nth(1)).to_contain_text("2026-11-27 10:00:00.123")
    expect(evidence.locator(TICKS).nth(1)).to_contain_text("time back · crossed")
    evidence.locator("#doubted [data-page=next]").click()
    expect(evidence.locator(TICKS)).to_have_count(50)
    evidence.keyboard.press("Shift+Tab")
    evidence.locator("#doubted-back").press("Enter")
    expect(evidence.locator(f"{DAYS} button").first).to_be_focused()


def test_a_certificate_and_a_feed_tell_of_ticks_in_quarantine(
    evidence: Page, backend: Any
) -> None:
    backend.certificate["quarantined"] = 1_204
    prove(evidence, "2026-11-27")
    expect(evidence.locator("#certificate-told")).to_contain_text("1,204 of them in quarantine")
    evidence.keyboard.press("Escape")
    bounds = {"delayed_after_s": 10, "stale_after_s": 60, "dead_after_s": 900, "learned": False}
    backend.send(
        type="feed", symbol="XAUUSD", state="LIVE", bounds=bounds, quarantined=7,
        quarantine_reason="TIME_BACK",
    )  # fmt: skip
    state = evidence.locator('#quotes tr[data-key="XAUUSD"] [data-field="state"]')
    expect(state).to_have_attribute("title", re.compile("7 ticks in quarantine.*: time back"))


def test_no_day_in_quarantine_says_so(terminal: Page, backend: Any) -> None:
    terminal.keyboard.press("e")
    expect(terminal.locator("#quarantine [data-told]")).to_have_text(
        "none: every tick was believed"
    )
    expect(terminal.locator("#certificate-told")).to_have_text("Choose a symbol and a day.")
    backend.evident = False
    terminal.locator("#evidence-only").check()
    expect(terminal.locator("#quarantine [data-told]")).to_contain_text("UNKNOWN: No answer.")


def test_no_answer_is_neither_proof_nor_an_empty_list(evidence: Page, backend: Any) -> None:
    backend.evident = False
    prove(evidence, "2026-11-27")
    expect(evidence.locator("#certificate-text")).to_have_text("not proved")
    expect(evidence.locator("#certificate-state")).to_have_text("UNKNOWN")
    expect(evidence.locator("#certificate-told")).to_have_text("No answer. Wait.")
    expect(evidence.locator("#certificate-keep")).to_be_hidden()
    expect(evidence.locator("#gaps [data-told]")).to_have_text("UNKNOWN: No answer. Wait.")
    expect(evidence.locator(GAPS)).to_have_count(50)


def test_words_from_outside_are_text_and_one_value_of_an_address(
    evidence: Page, backend: Any
) -> None:
    words = "<img src=x onerror=alert(1)>&day=1#/../"
    finding = {"what": words, "ticks": 0, "text": words, "sequences": []}
    backend.certificate["streams"][0] |= {"broker": words, "findings": [finding]}
    backend.gaps = [gap(1, symbol=words, reason=words, problem=words)]
    backend.quarantine = [day(27, symbol=words, reasons={words: 1})]
    evidence.fill('#evidence-ask [name="symbol"]', words)
    with evidence.expect_request("**/feeds/certificate?*") as asked:
        prove(evidence, "2026-11-27")
    assert parse_qs(urlsplit(asked.value.url).query) == {"symbol": [words], "day": ["2026-11-27"]}
    expect(evidence.locator(FINDINGS)).to_contain_text(words)
    expect(evidence.locator(GAPS)).to_contain_text(words)
    expect(evidence.locator(DAYS)).to_contain_text(words.lower())
    expect(evidence.locator("#evidence img")).to_have_count(0)


def test_keys_open_it_and_close_it_and_the_lists_are_reached(evidence: Page) -> None:
    reached = set[str]()
    for _ in range(30):
        evidence.keyboard.press("Tab")
        reached.add(evidence.evaluate("document.activeElement.getAttribute('aria-label') ?? ''"))
    lists = {"Gaps, the newest first", "Ticks that were not believed, counted by day of receipt"}
    assert lists | {"Certificate of the day", "Day in UTC"} <= reached
    evidence.keyboard.press("Escape")
    expect(evidence.locator("#evidence")).not_to_be_visible()
    evidence.locator("#day-proof").click()
    expect(evidence.locator("#evidence")).to_be_visible()


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_verdict_and_gaps_are_seen_at_every_width(
    evidence: Page, backend: Any, width: int
) -> None:
    finding = {"what": "missing", "ticks": 7, "text": "", "sequences": [[10**12, 10**12 + 7]] * 5}
    backend.certificate["streams"][0] |= {"findings": [finding]}
    evidence.set_viewport_size({"width": width, "height": 700})
    prove(evidence, "2026-11-27")
    expect(evidence.locator(FINDINGS)).to_have_count(1)
    whole = ("#certificate-text", "#certificate-state", FINDINGS)
    fields = (f"{GAPS} [data-field={name}]" for name in ("symbol", "state", "missing", "reason"))
    days = (f"{DAYS} [data-field={name}]" for name in ("symbol", "day", "ticks", "reasons"))
    for what in (*whole, *fields, *days):
        cell = evidence.locator(what).first
        cell.scroll_into_view_if_needed()
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert cell.evaluate(SHOWN_WHOLE), what
    assert evidence.evaluate("document.documentElement.scrollWidth") <= width
