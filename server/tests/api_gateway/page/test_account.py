"""The account dialog: one's own password."""

import json
from typing import Any

from playwright.sync_api import Page, Route

AUTH = "**/api/v1/auth"


def answering(page: Page, path: str, *answers: tuple[int, Any]) -> list[Any]:
    """Let the address give these answers, the last one from then on; tells what came."""
    seen: list[Any] = []

    def answer(route: Route) -> None:
        seen.append(json.loads(route.request.post_data or "null"))
        status, body = answers[min(len(seen), len(answers)) - 1]
        route.fulfill(status=status, json=body)

    page.route(f"{AUTH}/{path}", answer)
    return seen


def opened(page: Page) -> Page:
    factors = {"recovery_codes_left": 0, "step_up_with": "password"}
    answering(page, "factors", (200, factors))
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
