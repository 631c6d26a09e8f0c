"""The account dialog: one's own password and sessions."""

import json
from typing import Any

from playwright.sync_api import Page, Route

AUTH = "**/api/v1/auth"
NO_FACTORS = {"recovery_codes_left": 0, "step_up_with": "password", "security_keys": []}


def answering(page: Page, path: str, *answers: tuple[int, Any]) -> list[Any]:
    """Let the address give these answers, the last one from then on; tells what came."""
    seen: list[Any] = []

    def answer(route: Route) -> None:
        seen.append(json.loads(route.request.post_data or "null"))
        status, body = answers[min(len(seen), len(answers)) - 1]
        route.fulfill(status=status, json=body)

    page.route(f"{AUTH}/{path}", answer)
    return seen


def session(number: int, **given: Any) -> dict[str, Any]:
    moment = f"2026-11-21T0{number}:00:00Z"
    known = {"id": f"s{number}", "current": False, "authentication": "pwd", "network": "private"}
    return {**known, "began_at": moment, "used_at": moment, **given}


def opened(page: Page, *sessions: tuple[int, Any]) -> Page:
    answering(page, "sessions", *(sessions or ((200, {"items": []}),)))
    answering(page, "factors", (200, NO_FACTORS))
    page.click("#account-open")
    return page


def test_a_password_is_changed_and_the_session_goes_on(terminal: Page) -> None:
    refused = {"error": {"code": "PROOF_REFUSED", "message": "Refused.", "remedy": "Try again."}}
    seen = answering(terminal, "password", (403, refused), (200, {"sessions_ended": 2}))
    renewals = answering(terminal, "refresh", (200, {}))
    form = opened(terminal).locator("#account-password")
    for old, told in (("wrong", "Refused. Try again."), ("right", "sessions that ended: 2")):
        form.locator("[name=old]").fill(old)
        form.locator("[name=new]").fill("green ladders under quiet rain")
        form.locator("[type=submit]").click()
        form.get_by_text(told).wait_for()
        assert form.locator("[name=new]").input_value() == ""
    assert [each["old_password"] for each in seen] == ["wrong", "right"]
    assert len(renewals) == 1
    assert form.locator(".problem").is_hidden()


def test_sessions_are_shown_and_ended(terminal: Page) -> None:
    mine, hostile = session(1, current=True), session(2, authentication="<b>x</b>")
    both, one = (200, {"items": [hostile, mine]}), (200, {"items": [mine]})
    ended = answering(terminal, "sessions/s2", (204, None))
    panel = opened(terminal, both, one, both, (200, {"sessions_ended": 1}), one).locator(
        "#account-sessions"
    )
    panel.get_by_text("<b>x</b>, since 2026-11-21 02:00Z").wait_for()
    assert panel.locator("li").count() == 2
    panel.locator("li button").click()
    panel.get_by_text("End all others").wait_for(state="hidden")
    assert len(ended) == 1
    assert panel.locator("li").all_inner_texts() == [
        "password, since 2026-11-21 01:00Z, renewed 2026-11-21 01:00Z, private network\nthis one"
    ]
    terminal.locator("#account").press("Escape")
    terminal.click("#account-open")
    panel.get_by_text("End all others").click()
    panel.get_by_text("End all others").wait_for(state="hidden")
    assert panel.locator("li").count() == 1


def test_unknown_sessions_are_said_to_be(terminal: Page) -> None:
    refused = {"error": {"code": "X", "message": "No answer.", "remedy": "Wait."}}
    panel = opened(terminal, (503, refused)).locator("#account-sessions")
    panel.get_by_text("No answer. Wait.").wait_for()


def test_who_lacks_a_second_factor_is_brought_to_where_it_is_set_up(terminal: Page) -> None:
    answering(terminal, "me", (200, {"second_factor_missing": True}))
    answering(terminal, "factors", (200, NO_FACTORS), (200, {**NO_FACTORS, "totp_since": "2026"}))
    answering(terminal, "sessions", (200, {"items": []}))
    terminal.reload()
    asked = terminal.get_by_text("Your organisation asks for a second factor. Set one up here")
    asked.wait_for()
    terminal.keyboard.press("Escape")
    terminal.click("#account-open")
    terminal.get_by_text("and you have one: log out, and log in with it").wait_for()
