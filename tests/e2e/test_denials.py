"""Who is logged in and is refused, by whatever service, is in the organisation's own trail."""

from typing import Any
from uuid import UUID

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
EVENTS = "/api/v1/security-events?limit=500&type="
REFUSED = {
    "api-gateway": ("GET", "/api/v1/auth/rules"),
    "database-service": ("GET", "/api/v1/store"),
    "trading-engine": ("POST", "/api/v1/kill"),
}
AFTER_LOGOUT = {
    "data-bridge": "/api/v1/quotes",
    "trading-engine": "/api/v1/risk",
    "database-service": "/api/v1/ticks",
}


def told(platform: Platform, action: str) -> list[dict[str, Any]]:
    status, page = platform.request("GET", f"{EVENTS}{action}", person="demo/auditor")
    assert status == 200, page
    return list(page["items"])


def services(platform: Platform, action: str, reason: str) -> set[str]:
    found = (each["details"] for each in told(platform, action))
    return {str(each["service"]) for each in found if each["reason"] == reason}


def test_refusals_of_a_viewer_and_uses_of_an_ended_token_are_told(platform: Platform) -> None:
    for method, path in REFUSED.values():
        for _ in range(3):
            body = {"reason": "x"} if method == "POST" else None
            status, answer = platform.request(method, path, person="demo/viewer", body=body)
            assert (status, answer["error"]["code"]) == (403, "SCOPE_MISSING"), path
    foreign = f"/api/v1/traces/{UUID(int=5).hex}"
    assert platform.request("GET", foreign, person="demo/owner")[0] == 404
    ended = {
        "authorization": f"Bearer {platform.cli_json('token', '--for', 'demo/viewer')['token']}"
    }
    status, _ = platform.request("POST", "/api/v1/auth/logout", person=None, headers=ended)
    assert status in {200, 204}
    for path in AFTER_LOGOUT.values():
        wait_until(
            lambda path=path: platform.request("GET", path, person=None, headers=ended)[0] == 401,
            what=path,
        )
    wait_until(
        lambda: services(platform, "access.refused", "SCOPE_MISSING") >= set(REFUSED),
        what="the refusals of each service",
    )
    wait_until(
        lambda: services(platform, "identity.token.misused", "ended") >= set(AFTER_LOGOUT),
        what="the uses of an ended token",
    )
    events = told(platform, "access.refused")
    assert any("{" in each["subject"] for each in events), "an object that is not theirs"
    assert {(each["outcome"], each["security"]) for each in events} == {("denied", True)}
    assert all(each["actor"].startswith("user:") for each in events)
    shown = platform.cli("audit", "security", "--tenant", "demo", "--type", "access.refused")
    assert "access.refused" in shown.stdout
