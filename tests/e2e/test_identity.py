"""Login, sessions and enrolment through the real edge, as people, scripts and attackers do it."""

import base64
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness.platform import Platform, wait_until
from harness.program import Program

from aitrading.core.security.crypto import TlsKey, create_csr, inspect_certificate
from aitrading.core.security.enrolment import parse_enrolment_code, require_pinned_ca

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
ACCESS, REFRESH = "__Host-aitrading", "__Secure-aitrading-refresh"
SESSION = "__Host-aitrading-session"
EVERY_SERVICE = (
    "/api/v1/auth/me",
    "/api/v1/quotes",
    "/api/v1/risk",
    "/api/v1/ticks?symbol=EURUSD",
)


@dataclass
class Answer:
    status: int
    cookies: dict[str, str]
    body: Any


class Browser:
    """Keeps cookies and names its origin, as a browser does."""

    def __init__(self, platform: Platform, origin: str | None = None) -> None:
        self._place = urlsplit(platform.url)
        self._context = ssl.create_default_context(cafile=platform.home / "trust/edge-ca.pem")
        self._origin = origin or platform.url
        self.cookies: dict[str, str] = {}

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        connection = http.client.HTTPSConnection(
            self._place.hostname or "", self._place.port, timeout=30, context=self._context
        )
        headers = {"content-type": "application/json"} if body is not None else {}
        if method != "GET":
            headers["origin"] = self._origin
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={v}" for name, v in self.cookies.items())
        content = None if body is None else json.dumps(body)
        connection.request(method, path, body=content, headers=headers)
        response = connection.getresponse()
        raw = response.read()
        set_now = response.headers.get_all("set-cookie") or []
        connection.close()
        pairs = (cookie.partition(";")[0].partition("=") for cookie in set_now)
        given = {name: value for name, _, value in pairs}
        self.cookies.update(given)
        return Answer(response.status, given, json.loads(raw) if raw else None)


def logged_in(platform: Platform, user: str = "trader") -> Browser:
    browser = Browser(platform)
    body = {"tenant": "demo", "username": user, "password": platform.password(user)}
    answer = browser.send("POST", "/api/v1/auth/login", body)
    assert answer.status == 200, answer.body
    assert set(answer.cookies) == {ACCESS, SESSION, REFRESH}
    return browser


def changed(token: str) -> dict[str, str]:
    """Forgeries of a real token."""
    head, payload, signature = token.split(".")

    def part(text: str, **changes: Any) -> str:
        value = {**json.loads(base64.urlsafe_b64decode(text + "==")), **changes}
        raw = json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return {
        "no signature": f"{head}.{payload}.",
        "alg none": f"{part(head, alg='none')}.{payload}.",
        "more scope": f"{head}.{part(payload, scope='admin')}.{signature}",
        "another tenant": f"{head}.{part(payload, tid='0')}.{signature}",
        "later end": f"{head}.{part(payload, exp=2**40)}.{signature}",
        "another key": f"{part(head, kid='x')}.{payload}.{signature}",
        "cut": token[:-2],
        "twice": f"{token}.{token}",
    }


def test_a_cookie_opens_every_service_and_a_logout_closes_them(platform: Platform) -> None:
    browser = logged_in(platform)
    for path in EVERY_SERVICE:
        assert browser.send("GET", path).status in {200, 404}, path
    kept = dict(browser.cookies)
    assert browser.send("POST", "/api/v1/auth/logout").status == 204
    browser.cookies = kept

    def refused_everywhere() -> bool:
        return all(browser.send("GET", path).status == 401 for path in EVERY_SERVICE)

    wait_until(refused_everywhere, what="the logout reaching every service")
    assert browser.send("POST", "/api/v1/auth/refresh").status == 401


def test_a_session_is_renewed_and_the_old_token_of_renewal_is_not(platform: Platform) -> None:
    browser = logged_in(platform)
    before = dict(browser.cookies)
    answer = browser.send("POST", "/api/v1/auth/refresh")
    assert answer.status == 200
    assert browser.cookies[ACCESS] != before[ACCESS]
    assert browser.send("GET", "/api/v1/auth/me").body["person"]["name"] == "trader"
    browser.cookies = before
    assert browser.send("POST", "/api/v1/auth/refresh").status in {401, 409}


def test_a_stolen_cookie_opens_nothing_as_bearer_or_alone(platform: Platform) -> None:
    token = logged_in(platform).cookies[ACCESS]
    for path in EVERY_SERVICE:
        for headers in ({"authorization": f"Bearer {token}"}, {"cookie": f"{ACCESS}={token}"}):
            status, body = platform.request("GET", path, person=None, headers=headers)
            assert (status, body["error"]["code"]) == (401, "TOKEN_REFUSED"), path


def test_a_program_that_proves_its_key_is_let_in_everywhere_once_a_proof(
    platform: Platform,
) -> None:
    program = Program(platform)
    for path in EVERY_SERVICE:
        proven = program.proven("GET", path)
        assert program.send("GET", path, proven)[0] in {200, 404}, path
        assert program.send("GET", path, proven)[0] == 401, path


def test_another_site_can_use_no_cookie(platform: Platform) -> None:
    ours = logged_in(platform, "owner")
    evil = Browser(platform, origin="https://evil.example")
    evil.cookies = dict(ours.cookies)
    for path in ("/api/v1/auth/logout", "/api/v1/auth/refresh", "/api/v1/kill", "/api/v1/orders"):
        answer = evil.send("POST", path, {})
        assert answer.status == 403, (path, answer.body)
    assert ours.send("GET", "/api/v1/auth/me").status == 200


def test_forged_tokens_open_nothing(platform: Platform) -> None:
    token = platform.token("demo/viewer")
    for name, forged in changed(token).items():
        for path in EVERY_SERVICE:
            for headers in (
                {"authorization": f"Bearer {forged}"},
                {"cookie": f"{ACCESS}={forged}"},
            ):
                status, _ = platform.request("GET", path, person=None, headers=headers)
                assert status == 401, (name, path)


def test_no_answer_tells_who_exists(platform: Platform) -> None:
    browser = Browser(platform)
    bodies = set()
    for tenant, user in (("demo", "viewer"), ("demo", "nobody"), ("nowhere", "viewer")):
        body = {"tenant": tenant, "username": user, "password": "wrong"}
        answer = browser.send("POST", "/api/v1/auth/login", body)
        assert answer.status == 401
        answer.body["error"] |= {"request_id": "", "trace_id": ""}
        bodies.add(json.dumps(answer.body))
    assert len(bodies) == 1


def test_a_device_is_enrolled_through_the_edge_once(platform: Platform) -> None:
    invited = platform.cli_json("device", "invite", "second-desk", "--tenant", "demo")
    code = parse_enrolment_code(invited["code"])
    _, trust = platform.request("GET", "/api/v1/devices/trust", person=None)
    require_pinned_ca(trust["edge_ca"].encode(), code)
    csr = create_csr(TlsKey.generate(), common_name="x").decode()
    body = {"code": invited["code"], "csr": csr}
    status, enrolled = platform.request("POST", "/api/v1/devices/enroll", person=None, body=body)
    assert status == 200, enrolled
    info = inspect_certificate(enrolled["certificate"].encode())
    assert info.uris == (f"spiffe://aitrading/tenant/{code.tenant}/device/{enrolled['device']}",)
    status, refused = platform.request("POST", "/api/v1/devices/enroll", person=None, body=body)
    assert (status, refused["error"]["code"]) == (403, "CODE_REFUSED")
