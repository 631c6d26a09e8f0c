"""Networks of an organisation on a running platform: set by the host, felt at the edge."""

from http import HTTPStatus
from typing import Any, Final

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
TENANT: Final = "walled"


def log_in(platform: Platform, password: str, **headers: str) -> tuple[int, Any]:
    body = {"tenant": TENANT, "username": "owner", "password": password, "deliver": "token"}
    return platform.request("POST", "/api/v1/auth/login", person=None, body=body, headers=headers)


def feeds(platform: Platform, token: str, **headers: str) -> int:
    """Asks another service than the one that told the end of a token."""
    bearer = {"authorization": f"Bearer {token}", **headers}
    return platform.request("GET", "/api/v1/feeds", person=None, headers=bearer)[0]


def rule(platform: Platform, *arguments: str) -> Any:
    return platform.cli("config", "tenant", *arguments, "--tenant", TENANT)


def test_the_host_walls_an_organisation_in_and_opens_it_again(platform: Platform) -> None:
    platform.cli_json("tenant", "create", TENANT)
    made = platform.cli_json("user", "create", "owner", "--tenant", TENANT, "--role", "owner")
    password = str(made["password"])
    status, given = log_in(platform, password)
    assert status == HTTPStatus.OK
    assert feeds(platform, given["access_token"]) == HTTPStatus.OK
    wrong = rule(platform, "set", "login.networks", "10.0.0.1/8")
    assert wrong.returncode == 1
    assert "nothing but zeros" in wrong.stderr
    assert (
        rule(platform, "set", "login.networks", "198.51.100.0/24, 2001:db8::/32").returncode == 0
    )
    status, answer = log_in(platform, password)
    assert (status, answer["error"]["code"]) == (HTTPStatus.UNAUTHORIZED, "LOGIN_REFUSED")
    wait_until(
        lambda: feeds(platform, given["access_token"]) == HTTPStatus.UNAUTHORIZED,
        what="the end of a token of before",
    )
    forged = {"x-forwarded-for": "198.51.100.7"}
    assert log_in(platform, password, **forged)[0] == HTTPStatus.UNAUTHORIZED, "the edge's word"
    audited = platform.cli(
        "audit", "security", "--type", "identity.network.refused", "--tenant", TENANT
    )
    assert "identity.network.refused" in audited.stdout, audited.stderr
    assert rule(platform, "unset", "login.networks").returncode == 0
    assert log_in(platform, password)[0] == HTTPStatus.OK
    assert rule(platform, "set", "login.second_factor", "all").returncode == 0
    status, answer = log_in(platform, password)
    assert (status, answer["second_factor_missing"]) == (HTTPStatus.OK, True)
