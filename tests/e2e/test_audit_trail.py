"""What was done and refused, as an auditor, the host and everybody else see it."""

import json
from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
AUDITOR: Final = "demo/auditor"
EVENTS: Final = "/api/v1/security-events"
TRAIL: Final = "/api/v1/audit"


def events(platform: Platform, path: str, person: str = AUDITOR) -> list[dict[str, Any]]:
    status, page = platform.request("GET", path, person=person)
    assert status == 200, page
    return list(page["items"])


def test_an_auditor_sees_a_refused_login_and_pages_back_in_time(platform: Platform) -> None:
    platform.token(AUDITOR)
    wrong = {"tenant": "demo", "username": "owner", "deliver": "token"}
    wrong["password"] = "x"  # noqa: S105  # pragma: allowlist secret
    status, _ = platform.request("POST", "/api/v1/auth/login", person=None, body=wrong)
    assert status == 401

    def refused() -> list[dict[str, Any]]:
        return events(platform, f"{EVENTS}?type=identity.login.refused")

    newest = wait_until(refused, what="the refused login in the trail")[0]
    assert (newest["outcome"], newest["actor"], newest["security"]) == ("denied", "unknown", True)
    first = platform.request("GET", f"{TRAIL}?limit=1", person=AUDITOR)[1]
    (second,) = events(platform, f"{TRAIL}?limit=1&cursor={first['next_cursor']}")
    assert second["id"] < first["items"][0]["id"]
    secure = {each["id"] for each in events(platform, f"{EVENTS}?limit=100")}
    everything = events(platform, f"{TRAIL}?limit=500")
    known = {each["id"] for each in everything}
    assert {each for each in secure if each >= min(known)} < known
    assert any(not each["security"] for each in everything)


@pytest.mark.parametrize(("person", "status"), [("viewer", 403), ("trader", 403), ("owner", 200)])
def test_only_the_scope_audit_opens_it(platform: Platform, person: str, status: int) -> None:
    for path in (TRAIL, EVENTS):
        assert platform.request("GET", path, person=f"demo/{person}")[0] == status


@pytest.mark.parametrize(
    "query",
    [
        "type=nonsense",
        "type=%27%20OR%201%3D1--",
        "cursor=7",
        "cursor=%00",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "until=9999-12-31T23:59:59-23:59",
        "limit=501",
        "limit=0",
        "tenant=other",
    ],
)
def test_a_bad_question_is_refused_and_tells_nothing(platform: Platform, query: str) -> None:
    status, answer = platform.request("GET", f"{TRAIL}?{query}", person=AUDITOR)
    if query.startswith("until"):
        assert status == 200
    else:
        assert (status, answer["error"]["code"]) == (400, "REQUEST_INVALID")


def test_the_doctor_tells_how_full_it_is(platform: Platform) -> None:
    def told() -> bool:
        findings = json.loads(platform.cli("doctor", "--json").stdout)["findings"]
        (found,) = [each for each in findings if each["check"] == "audit trail"]
        assert found["verdict"] == "ok", found
        assert any(each["check"].startswith("chain") for each in findings), "ways of data too"
        return "the oldest 0 days old" in found["finding"]

    wait_until(told, what="the size of the trail, whatever other tests do to the platform")


def test_the_host_reads_an_organisation_and_the_platform(platform: Platform) -> None:
    def told(*words: str) -> list[dict[str, Any]]:
        return list(platform.cli_json("audit", *words)["items"])

    ours = told("list", "--tenant", "demo", "--limit", "500")
    assert {each["action"] for each in ours} >= {
        "identity.tenant.created",
        "identity.user.created",
    }
    assert told("security", "--tenant", "demo", "--since", "7d", "--type", "identity.user.created")
    assert not told("security", "--tenant", "demo", "--type", "identity.tenant.created")
    assert not {each["id"] for each in told("list")} & {each["id"] for each in ours}
