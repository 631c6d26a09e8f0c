"""A false token at the door of a running platform ends up where an auditor looks."""

import base64
import json

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]


def test_a_forged_token_becomes_a_security_event(platform: Platform) -> None:
    head, claims, _ = platform.token().split(".")
    altered = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"scope": "read trade admin"}
    body = base64.urlsafe_b64encode(json.dumps(altered).encode()).decode().rstrip("=")
    forged = {"authorization": f"Bearer {head}.{body}.{'A' * 86}"}
    for _ in range(9):
        status, _answer = platform.request("GET", "/api/v1/quotes", person=None, headers=forged)
        assert status == 401

    def told() -> bool:
        done = platform.cli("audit", "security", "--json")
        return "edge.token.refused" in done.stdout

    wait_until(told, what="the security event")
